"""Who plays: the ouroboros, workers, querents and strangers, with sensible moves for the state that the model is in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import coincurve
from eth_hash.auto import keccak

from assurance.invariants import hashes
from assurance.invariants.calls import Call, another, put
from assurance.invariants.hashes import NOBODY, RENEWAL, ZERO
from assurance.invariants.model import LedgerModel
from assurance.invariants.query_model import Opening, Phase, QueryRecord, State
from assurance.invariants.ring_model import Mode

WORKERS = 7
STRANGERS = 3
Move = Callable[[], Call]


class Players:
    """Keys, secrets and memory of all of them.

    Attributes:
        model: the state that they see; it holds what the ledger's events tell.
        time: the chain's.
        chance: where all choices come from.
        openings: what is behind each link of a route.
        updates: every update that was signed, by digest, with its signer.
        wrong: the seats, by arrangement, position and round, whose worker attests another leaf than expected.
    """

    def __init__(self, model: LedgerModel, chance: random.Random) -> None:
        self.model, self.chance, self.time = model, chance, 0
        self.openings = model.openings
        self.updates: dict[bytes, tuple[tuple[Any, ...], str]] = {}
        self.wrong: dict[tuple[int, int, int], bytes] = {}
        self.expected: dict[tuple[int, int, int], bytes] = {}
        self.keys = {hashes.address_of(key.public_key): key for key in map(player_key, range(1 + WORKERS + STRANGERS))}
        accounts = list(self.keys)
        self.owner, self.workers, self.strangers = accounts[0], accounts[1 : 1 + WORKERS], accounts[1 + WORKERS :]

    @property
    def accounts(self) -> list[str]:
        """All of them."""
        return list(self.keys)

    def word(self) -> bytes:
        """32 random bytes."""
        return self.chance.randbytes(32)

    def sign(self, account: str, kind: bytes, *fields: Any) -> bytes:
        """An account's signature over a message."""
        return hashes.sign(self.keys[account], hashes.digest(self.model.ring.domain, kind, *fields))

    def slip(self, message: tuple[Any, ...]) -> tuple[Any, ...]:
        """A message before it is signed; now and then with another value in one place."""
        if self.chance.random() > 0.06:
            return message
        place = self.chance.randrange(len(message))
        return put(message, (place,), another(message[place], self.chance, [], self.accounts))  # type: ignore[no-any-return]

    # ------------------------------------------------------------------ the ring

    def register_model(self) -> Call:
        """Another version; now and then without a root, or with a number of layers that cannot be."""
        layers = self.chance.choice([1, 2, 2, 3, 3, 4, 4, 4, 0, 127, 128, 2**16 - 1])
        root = self.word() if self.chance.random() < 0.8 else ZERO
        return Call(self.owner, "registerModel", (root, self.word(), layers))

    def admit_workers(self) -> Call:
        """All who may get a seat, the ouroboros among them."""
        admitted = [self.owner, *self.workers]
        return Call(self.owner, "admitWorkers", (admitted, [self.word() for _ in admitted]))

    def arrange(self) -> Call:
        """A fresh order; now and then somebody will attest what the ouroboros does not expect."""
        seats = [self.owner, *self.chance.sample(self.workers, min(self.model.ring.layers, WORKERS))]
        arrangement = self.model.ring.arrangement + 1
        leaves = [self.leaf(arrangement, position, 0) for position in range(len(seats))]
        for position in range(len(seats)):
            if self.chance.random() < 0.12:
                self.wrong[arrangement, position, 0] = self.word()
        return Call(self.owner, "arrange", (seats, hashes.fold(leaves)[-1], self.word()))

    def leaf(self, arrangement: int, position: int, round_: int) -> bytes:
        """What the ouroboros expects."""
        return self.expected.setdefault((arrangement, position, round_), self.word())

    def attest(self) -> Call:
        """Some of the seats that have not, in one transaction."""
        ring = self.model.ring
        missing = [position for position, seat in enumerate(ring.seats) if seat.leaf is None]
        chosen = self.chance.sample(missing, self.chance.randint(0, len(missing)) if missing else 0) or missing
        attestations = []
        for position in chosen:
            place = (ring.arrangement, position, ring.seats[position].round)
            leaf = self.wrong.get(place) or self.leaf(*place)
            attestations.append(self.slip((*place, leaf, self.word())))
        signatures = [
            self.sign(ring.seats[position].worker, hashes.ATTESTATION, *attestation)
            for position, attestation in zip(chosen, attestations, strict=True)
        ]
        return Call(self.chance.choice(self.accounts), "attest", (attestations, signatures))

    def order_restore(self) -> Call:
        """Of the first block that differs, with the evidence; now and then of one before it, or in vain."""
        ring = self.model.ring
        leaves = [self.leaf(ring.arrangement, position, seat.round) for position, seat in enumerate(ring.seats)]
        differing = [position for position, seat in enumerate(ring.seats) if seat.leaf != leaves[position]]
        position = differing[0] if differing else 0
        if self.chance.random() < 0.2:
            position = self.chance.randint(0, position)
        after = list(leaves)
        if position < len(ring.seats):
            following = (ring.arrangement, position, ring.seats[position].round + 1)
            after[position] = self.leaf(*following)
            if self.chance.random() < 0.1:
                self.wrong[following] = self.word()
        renewed = hashes.fold(after)[position] if position < len(after) else ZERO
        if differing and self.chance.random() < 0.1:
            renewed = self.chance.choice([hashes.fold(leaves)[position], *ring.block_hashes[position : position + 1]])
        return Call(self.owner, "orderRestore", (position, leaves[position:], renewed, self.word()))

    def report_restore(self) -> Call:
        """By the worker of a seat that was restored, if there is one."""
        seats = self.model.ring.seats
        due = [position for position, seat in enumerate(seats) if seat.round != seat.reported]
        position = self.chance.choice(due or list(range(len(seats))) or [0])
        worker = seats[position].worker if position < len(seats) else self.workers[0]
        return Call(
            worker, "reportRestore", (position, self.chance.choice(["layer1.weight", "", "x" * 256, "x" * 257]))
        )

    # ------------------------------------------------------------------ a query

    def submit_query(self) -> Call:
        """Anyone asks."""
        return Call(self.chance.choice(self.accounts), "submitQuery", (self.word(), self.word()))

    def reject_query(self, query: int) -> Call:
        """The ouroboros turns it down."""
        return Call(self.owner, "rejectQuery", (query, self.state(query), self.chance.randint(0, 4)))

    def open_route(self, query: int) -> Call:
        """From hop 0."""
        state = self.state(query)
        items = state.items or self.chance.choice([1, 2, 1000])
        if self.chance.random() < 0.05:
            items = self.chance.choice([0, items + 1])
        return Call(self.owner, "openRoute", (query, state, self.draw_route(0), self.word(), items))

    def draw_route(self, first_hop: int) -> bytes:
        """Commits to a signer and a salt for every hop from the first on."""
        layers = max(len(self.model.ring.seats) - 1, 0)
        signers = [self.owner, *self.chance.sample(self.workers, min(layers, WORKERS))][first_hop:]
        link = ZERO
        for signer in reversed(signers):
            opening = Opening(signer, self.word(), link)
            link = hashes.link(*opening)
            self.openings[link] = opening
        return link

    def state(self, query: int) -> State:
        """Its state, as the events tell it."""
        return self.model.record(query).state

    def place(self, query: int) -> tuple[int, int, int, int, bytes]:
        """Where its next hop is due."""
        state = self.state(query)
        return state.attempt, state.hop, state.items, state.touched, state.trail

    def post(self, query: int) -> Call:
        """The next hop, by whom the route names, carried by anyone."""
        output = self.next_output(query)
        entries, rest = self.run(query, output, 1)
        return Call(self.chance.choice(self.accounts), "post", (query, self.place(query), output, entries[0], rest))

    def post_runs(self, query: int) -> Call:
        """The next hops of this query, and of others that wait for theirs; what a relay does."""
        others = [number for number, record in self.model.records.items() if record.state.phase == Phase.ROUTED]
        chosen = dict.fromkeys([query, *self.chance.sample(others, min(len(others), self.chance.randint(0, 2)))])
        runs = []
        for each in chosen:
            output, left = self.next_output(each), max(len(self.model.ring.seats) - self.state(each).hop, 1)
            length = 0 if self.chance.random() < 0.03 else self.chance.randint(1, left)
            entries, rest = self.run(each, output, length)
            runs.append((each, self.place(each), output, rest, entries))
        return Call(self.chance.choice(self.accounts), "postRuns", (runs,))

    def next_output(self, query: int) -> bytes:
        """What the next hop must have computed; anything, if nothing is expected of it."""
        state = self.state(query)
        return state.expected if state.hop else self.word()

    def run(self, query: int, output: bytes, length: int) -> tuple[list[tuple[bytes, ...]], bytes]:
        """Signed entries, and what is left of the route after them."""
        state = self.state(query)
        route, trail = state.route, state.trail
        entries: list[tuple[bytes, ...]] = []
        for hop in range(state.hop, state.hop + length):
            opening = self.openings.get(route, Opening(self.workers[0], self.word(), ZERO))
            # Now and then the signer agreed with another on more items than the query has.
            items = state.items + (self.chance.random() < 0.02)
            update = (query, state.attempt, hop, items, self.word(), output, self.word(), trail)
            signature = self.sign(opening.signer, hashes.UPDATE, *update)
            entries.append((update[4], update[6], opening.salt, *hashes.compact(signature)))
            digest = hashes.digest(self.model.ring.domain, hashes.UPDATE, *update)
            self.updates[digest] = update, opening.signer
            trail, output, route = hashes.next_trail(trail, digest, opening.signer), update[6], opening.rest
        return entries, route

    def post_contradiction(self, query: int) -> Call:
        """A hop whose output is not the expected one; or is, and is disputed all the same."""
        output = self.word() if self.chance.random() < 0.8 else self.state(query).expected
        entries, rest = self.run(query, output, 1)
        values = (query, self.place(query), self.state(query).expected, output, entries[0], rest)
        return Call(self.chance.choice(self.accounts), "postContradiction", values)

    def deliver(self, query: int) -> Call:
        """The answer; sometimes not what the last hop expects."""
        state = self.state(query)
        output = state.expected if self.chance.random() < 0.85 else self.word()
        answer = self.word()
        signature = self.sign(self.owner, hashes.DELIVERY, query, state.attempt, answer, output, state.trail)
        return Call(self.chance.choice(self.accounts), "deliver", (query, state, answer, output, signature))

    def complain(self, query: int) -> Call:
        """By whose turn it is."""
        state = self.state(query)
        opening = self.openings.get(state.route, Opening(self.owner, self.word(), ZERO))
        recipient = self.owner if state.phase == Phase.COMPUTED else opening.signer
        kind, evidence = self.chance.randint(0, 3), self.word()
        message = (query, state.attempt, state.hop, kind, evidence, state.trail)
        signature = self.sign(recipient, hashes.COMPLAINT, *message)
        values = (query, state, kind, evidence, (opening.salt, opening.rest), signature)
        return Call(self.chance.choice(self.accounts), "complain", values)

    def judge(self, query: int) -> Call:
        """A verdict."""
        state, evidence = self.state(query), self.word()
        guilty = (self.chance.random() < 0.5, self.chance.random() < 0.5)
        message = (query, state.attempt, state.hop, *guilty, evidence, state.trail)
        signature = self.sign(self.owner, hashes.VERDICT, *message)
        return Call(self.chance.choice(self.accounts), "judge", (query, state, *guilty, evidence, signature))

    def resume_route(self, query: int) -> Call:
        """After one of the updates on the trail, whichever."""
        record = self.model.record(query)
        known = [index for index, item in enumerate(record.history) if item.digest in self.updates]
        anchor: tuple[Any, ...] = (query, 1, 0, 1, *[ZERO] * 4)
        signer, hop = self.owner, 0
        later: list[tuple[bytes, str]] = []
        if known:
            index = self._anchor(record, known)
            anchor, signer = self.updates[record.history[index].digest]
            later, hop = record.entries_after(index), anchor[2]
        route = self.draw_route(hop + 1) or self.word()
        return Call(self.owner, "resumeRoute", (query, record.state, anchor, signer, later, route, self.word()))

    def _anchor(self, record: QueryRecord, known: list[int]) -> int:
        """An entry to go on from: mostly a good one, else one that lies early enough and is none for another reason."""
        marks = [index for index, item in enumerate(record.history) if item.signer == NOBODY]
        renewed = max((index for index in marks if record.history[index].digest == RENEWAL), default=-1)
        last = len(self.model.ring.seats) - 1
        hops = {index: self.updates[record.history[index].digest][0][2] for index in known}
        early = [index for index, hop in hops.items() if hop < record.state.hop]
        good = [i for i in early if i > renewed and i + 1 not in marks and hops[i] < last]
        bad = [i for i in early if i not in good]
        draw = self.chance.random()
        return self.chance.choice((good if draw < 0.6 else bad if draw < 0.9 else known) or early or known)

    def time_out(self, query: int) -> Call:
        """Anyone."""
        return Call(self.chance.choice(self.accounts), "timeOut", (query, self.state(query)))

    def withdraw_query(self, query: int) -> Call:
        """The querent, with all that happened."""
        record = self.model.record(query)
        values = (query, record.state, record.question, record.entries_after(-1))
        return Call(record.querent, "withdrawQuery", values)

    # ------------------------------------------------------------------ what is sensible

    def ring_moves(self) -> list[Move]:
        """What would bring the ring forward."""
        ring = self.model.ring
        if not 0 < ring.layers <= WORKERS:
            return [self.register_model]
        if not ring.keys:
            return [self.admit_workers]
        moves: dict[Mode, list[Move]] = {
            Mode.SETUP: [self.arrange],
            Mode.ATTESTING: [self.attest],
            Mode.TRACKING: [self.order_restore] * 5 + [self.arrange],
            Mode.QUERY: [self.arrange, self.report_restore],
        }
        return moves[ring.mode]

    def query_moves(self, query: int) -> list[Move]:
        """What somebody would do with a query in its phase, the likely ones several times."""
        state = self.state(query)
        if state.phase == Phase.ROUTED and self.time > self.model.deadline(state.touched):
            return [lambda: self.time_out(query)] * 4 + [lambda: self.post(query), lambda: self.complain(query)]
        moves: dict[int, Sequence[Callable[[int], Call]]] = {
            Phase.SUBMITTED: [self.open_route] * 8 + [self.reject_query],
            Phase.ROUTED: [self.post] * 7
            + [self.post_runs] * 5
            + [self.post_contradiction, self.complain, self.time_out],
            Phase.COMPUTED: [self.deliver] * 6 + [self.complain],
            Phase.DISPUTED: [self.judge],
            Phase.INTERRUPTED: [self.resume_route] * 4 + [self.open_route] * 3 + [self.reject_query],
        }
        chosen = moves.get(state.phase, [self.withdraw_query])
        return [lambda move=move: move(query) for move in chosen]  # type: ignore[misc]

    def all_query_moves(self) -> list[Callable[[int], Call]]:
        """Every call about a query, whatever phase it is in."""
        return [
            self.reject_query, self.open_route, self.post, self.post_runs, self.post_contradiction, self.deliver,
            self.complain, self.judge, self.resume_route, self.time_out, self.withdraw_query,
        ]  # fmt: skip

    def all_ring_moves(self) -> list[Move]:
        """Every call about the ring."""
        return [
            self.register_model, self.admit_workers, self.arrange, self.attest, self.order_restore,
            self.report_restore, self.submit_query,
        ]  # fmt: skip


def player_key(index: int) -> coincurve.PrivateKey:
    """A player's account, the same in every run."""
    return coincurve.PrivateKey(keccak(f"player {index}".encode()))
