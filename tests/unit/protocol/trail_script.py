"""Writes trails without a chain: a small ring with real keys and signatures, and the events its ledger would emit.

It repeats what the contract does in a few lines each and trusts its caller: a test can write any trail, also one that
no ledger would accept. `tests/chain/test_auditor.py` holds the same verifier against a real ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest, sign_message
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    Event,
    LoggedEvent,
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    WorkerAdmitted,
)
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import (
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Delivery,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    RejectReason,
    Update,
)

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
LAYERS = 3
FIRST = Attempt(1)


def named(label: object) -> Digest:
    """32 bytes that look random and are the same in every run."""
    return Digest(hashlib.sha256(str(label).encode()).digest())


def account_named(label: str) -> LocalAccount:
    """An account whose key follows from its name."""
    account: LocalAccount = Account.from_key(named(f"account {label}"))
    return account


OWNER = account_named("owner")
WORKERS = tuple(account_named(f"worker {layer}") for layer in range(1, LAYERS + 1))
QUERENT = account_named("querent")
STRANGER = account_named("stranger")
SEATS = (OWNER, *reversed(WORKERS))
OUROBOROS = Address(OWNER.address)

Call = tuple[str, Event]
"""An event and the name of the call that emitted it; a call is a transaction here."""


def place_events(calls: Sequence[Call]) -> list[LoggedEvent]:
    """Gives events their places: a transaction for each call, two transactions for each block, logs without a gap."""
    placed: list[LoggedEvent] = []
    names: list[str] = []
    for name, event in calls:
        if name not in names:
            names.append(name)
        block = 100 + names.index(name) // 2
        is_first = not placed or placed[-1].block_number != block
        index = 0 if is_first else placed[-1].log_index + 1
        placed.append(LoggedEvent(event, block, named(f"block {block}"), named(f"transaction {name}"), index))
    return placed


@dataclass
class ScriptedTrail:
    """A trail as it is written.

    Attributes:
        calls: the events so far.
        seats: who sits where.
        arrangement: the one in force.
        leaves: attested in it.
    """

    domain: Domain = DOMAIN
    calls: list[Call] = field(default_factory=list)
    seats: tuple[LocalAccount, ...] = SEATS
    version: int = 0
    arrangement: int = 0
    leaves: dict[int, Digest] = field(default_factory=dict)
    folded: list[Digest] = field(default_factory=list)
    recorded: Digest = ZERO
    queries: int = 0
    made: int = 0

    def emit(self, *events: Event) -> None:
        """One call."""
        self.made += 1
        self.calls.extend((f"call {self.made}", event) for event in events)

    def placed(self) -> list[LoggedEvent]:
        """The trail."""
        return place_events(self.calls)

    # ------------------------------------------------------------------ ring

    def register(self) -> None:
        """The next model version."""
        self.version += 1
        self.emit(ModelRegistered(self.version, named(f"root {self.version}"), named("card"), LAYERS))

    def admit(self) -> None:
        """Everyone who gets a seat."""
        self.emit(*(WorkerAdmitted(Address(seat.address), named(f"key {seat.address}")) for seat in SEATS))

    def leaf(self, position: int) -> Digest:
        """Leaf of a seat in the arrangement in force."""
        return named(f"leaf {self.arrangement}/{position}")

    def arrange(self, seats: tuple[LocalAccount, ...] = SEATS, recorded: Digest | None = None) -> None:
        """A new seating."""
        self.arrangement += 1
        self.seats, self.leaves, self.folded = seats, {}, []
        expected = fold_leaves([self.leaf(position) for position in range(len(seats))])[-1]
        self.recorded = recorded or expected
        addresses = tuple(Address(seat.address) for seat in seats)
        notes = named(f"arrangement notes {self.arrangement}")
        self.emit(RingArranged(ArrangementId(self.arrangement), self.version, addresses, self.recorded, notes))

    def attested(self, position: int) -> BlockAttested:
        """A seat's signed leaf."""
        seat, arrangement = self.seats[position], ArrangementId(self.arrangement)
        key = named(f"key {seat.address} in {arrangement}")
        attestation = Attestation(arrangement, Position(position), self.leaf(position), key)
        return BlockAttested(attestation, Address(seat.address), sign_message(seat, self.domain, attestation))

    def attest(self, *positions: int) -> None:
        """Attests these seats in one call, and folds what can be folded."""
        events: list[Event] = [self.attested(position) for position in positions]
        self.leaves.update({position: self.leaf(position) for position in positions})
        arrangement = ArrangementId(self.arrangement)
        before = len(self.folded)
        ready = 0
        while ready in self.leaves:
            ready += 1
        self.folded = fold_leaves([self.leaves[position] for position in range(ready)])
        for position in range(before, ready):
            events.append(BlockHashed(arrangement, Position(position), self.folded[position]))
        if before < ready == len(self.seats):
            last = self.folded[-1]
            events.append(AuthenticityDerived(arrangement, last == self.recorded, self.recorded, last))
        self.emit(*events)

    def make_authentic(self) -> ScriptedTrail:
        """A fresh ledger up to query mode."""
        self.register()
        self.admit()
        self.arrange()
        self.attest(0, 1, 2, 3)
        return self

    # ------------------------------------------------------------------ queries

    def submit(self) -> ScriptedQuery:
        """The next query."""
        self.queries += 1
        query = QueryId(self.queries)
        sealed_input, key = named(f"input {query}"), named("querent's key")
        querent = Address(QUERENT.address)
        trail = start_trail(query, querent, sealed_input, key)
        self.emit(QuerySubmitted(query, querent, sealed_input, key, trail))
        return ScriptedQuery(self, query, trail)


@dataclass
class ScriptedQuery:
    """A query of a scripted trail, and what comes next in it."""

    script: ScriptedTrail
    query: QueryId
    trail: Digest
    hop: int = 0
    attempt: Attempt = FIRST
    signers: tuple[LocalAccount, ...] = (OWNER, *WORKERS)
    links: list[Digest] = field(default_factory=list)

    def reject(self) -> None:
        """Turns it down."""
        self.script.emit(QueryRejected(self.query, RejectReason.MALFORMED))

    def salts(self) -> list[Digest]:
        """Of each hop."""
        return [named(f"salt {self.query}/{hop}") for hop in range(len(self.signers))]

    def open_route(self) -> ScriptedQuery:
        """Commits the route."""
        self.links = self.links or build_route([Address(signer.address) for signer in self.signers], self.salts())
        self.script.emit(
            RouteOpened(self.query, self.attempt, Hop(self.hop), self.links[0], named(f"notes {self.query}"))
        )
        return self

    def posted(self, **changes: Any) -> UpdatePosted:
        """The update that is due, with some fields changed before it is signed."""
        honest = Update(
            self.query,
            self.attempt,
            Hop(self.hop),
            named(f"envelope {self.query}/{self.hop}"),
            named(f"output {self.query}/{self.hop}"),
            named(f"output {self.query}/{self.hop + 1}"),
            self.trail,
        )
        update, signer = replace(honest, **changes), self.signers[self.hop]
        signed = sign_update(signer, self.script.domain, update, self.salts()[self.hop], self.links[self.hop + 1])
        address = Address(signer.address)
        self.trail = extend_trail(update.trail, message_digest(self.script.domain, update), address)
        self.hop += 1
        return UpdatePosted(signed, address, self.trail)

    def post(self, **changes: Any) -> ScriptedQuery:
        """Posts the update that is due."""
        self.script.emit(self.posted(**changes))
        return self

    def delivered(self, signer: LocalAccount = OWNER, **changes: Any) -> AnswerDelivered:
        """The closing entry, with some fields changed before it is signed."""
        output = named(f"output {self.query}/{self.hop}")
        delivery = replace(Delivery(self.query, self.attempt, named("answer"), output, self.trail), **changes)
        signature = sign_message(signer, self.script.domain, delivery)
        digest = message_digest(self.script.domain, delivery)
        self.trail = extend_trail(self.trail, digest, Address(signer.address))
        return AnswerDelivered(
            delivery.query, delivery.attempt, delivery.answer, delivery.output, signature, self.trail
        )

    def deliver(self) -> None:
        """Posts the closing entry."""
        self.script.emit(self.delivered())

    def disputed(self, actual: Digest) -> OutputDisputed:
        """The record of a violation of eq. 13 by the hop before the next."""
        hop = self.hop - 1
        return OutputDisputed(self.query, self.attempt, Hop(hop), named(f"output {self.query}/{hop}"), actual)


def full_trail() -> list[Call]:
    """Arrangements attested in different ways, one of them wrong; queries of all fates, two of them interleaved."""
    script = ScriptedTrail()
    script.register()
    script.admit()
    script.arrange()
    script.attest(2)
    script.attest(1, 0)
    script.attest(3)
    first, second = script.submit(), script.submit()
    _interleave(script, first.open_route(), second.open_route())
    third, fourth = script.submit(), script.submit()
    third.reject()
    script.arrange(recorded=named("what the parameters should give"))
    script.attest(3, 2, 1, 0)
    script.arrange((OWNER, *WORKERS))
    script.attest(0)
    script.attest(1)
    script.attest(2, 3)
    _dispute_delivery(script, fourth)
    script.register()
    fifth = script.submit()
    script.arrange()
    script.attest(0, 1, 2, 3)
    fifth.open_route().post().post().post().post().deliver()
    script.submit().open_route().post().post()
    script.submit()
    return script.calls


def _interleave(script: ScriptedTrail, first: ScriptedQuery, second: ScriptedQuery) -> None:
    """The first is delivered, the second disputed at hop 2."""
    first.post()
    second.post()
    first.post()
    second.post()
    lie = named("a lie")
    posted = second.posted(output=lie)
    script.emit(posted, second.disputed(lie))
    first.post().post().deliver()


def _dispute_delivery(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.open_route().post().post().post().post()
    lie = named("another lie")
    delivered = query.delivered(output=lie)
    expected = named(f"output {query.query}/{query.hop}")
    script.emit(delivered, OutputDisputed(query.query, query.attempt, Hop(query.hop), expected, lie))
