"""The queries' half of the model: each a plain record with its history, where the ledger keeps one word."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from assurance.invariants import hashes
from assurance.invariants.hashes import NOBODY, RENEWAL, VIOLATION, ZERO
from assurance.invariants.reasons import ANY, BAD_VALUE, ModelRefusal, Reasons
from assurance.invariants.ring_model import Event, RingModel

OVERFLOW = ("Panic", (0x11,))

Model = TypeVar("Model", bound="QueryModel")


class Phase(IntEnum):
    """`ILedger.QueryPhase`."""

    NONE = 0
    SUBMITTED = 1
    ROUTED = 2
    COMPUTED = 3
    DELIVERED = 4
    DISPUTED = 5
    REJECTED = 6
    INTERRUPTED = 7
    WITHDRAWN = 8


WAITING = frozenset({Phase.SUBMITTED, Phase.INTERRUPTED})
FINAL = frozenset({Phase.DELIVERED, Phase.REJECTED, Phase.WITHDRAWN})


class State(NamedTuple):
    """`ILedger.Query`."""

    phase: int = 0
    attempt: int = 0
    hop: int = 0
    items: int = 0
    version: int = 0
    touched: int = 0
    route: bytes = ZERO
    expected: bytes = ZERO
    trail: bytes = ZERO

    @property
    def word(self) -> bytes:
        """What the ledger stores of it."""
        return hashes.state_word(self)


class Item(NamedTuple):
    """One entry of a trail: what was signed, by whom, and the trail before it. A mark is signed by nobody."""

    digest: bytes
    signer: str
    before: bytes


@dataclass(frozen=True)
class QueryRecord:
    """A query: its state, who asked what, and all that its trail binds."""

    state: State
    querent: str
    question: tuple[bytes, bytes, int]
    history: tuple[Item, ...] = ()

    def extended(self, digest: bytes, signer: str) -> QueryRecord:
        """With one more entry."""
        before = self.state.trail
        state = self.state._replace(trail=hashes.next_trail(before, digest, signer))
        return replace(self, state=state, history=(*self.history, Item(digest, signer, before)))

    def marked(self, mark: bytes) -> QueryRecord:
        """With a mark, which nobody signs."""
        return self.extended(mark, NOBODY)

    def at(self, **changes: Any) -> QueryRecord:
        """In another state."""
        return replace(self, state=self.state._replace(**changes))

    def entries_after(self, index: int) -> list[tuple[bytes, str]]:
        """Digest and signer of all entries after one; -1 for all."""
        return [(item.digest, item.signer) for item in self.history[index + 1 :]]


class Opening(NamedTuple):
    """What is behind a link of a route."""

    signer: str
    salt: bytes
    rest: bytes


NOTHING = QueryRecord(State(), NOBODY, (ZERO, ZERO, 0))


@dataclass
class QueryModel:
    """What the ledger holds of the queries.

    Attributes:
        ring: the other half.
        hop_seconds, withdraw_seconds: the deadlines.
        openings: what is behind each link that was ever made: only who made a link can open it.
        records: the queries.
    """

    ring: RingModel
    hop_seconds: int
    withdraw_seconds: int
    openings: dict[bytes, Opening]
    records: dict[int, QueryRecord] = field(default_factory=dict)
    changes: list[tuple[int, int]] = field(default_factory=list)
    """Every change of a query's phase, from which to which."""

    def copy(self: Model) -> Model:
        """Another one in the same state."""
        return replace(self, ring=self.ring.copy(), records=dict(self.records), changes=list(self.changes))

    def record(self, query: int) -> QueryRecord:
        """A query; one that never was is in phase None."""
        return self.records.get(query, NOTHING)

    def _put(self, query: int, record: QueryRecord) -> None:
        self.changes.append((self.record(query).state.phase, record.state.phase))
        self.records[query] = record

    def deadline(self, touched: int) -> int:
        """Until when the hop is due."""
        since = self.ring.authentic_at if self.ring.is_authentic else 0
        return max(touched, since) + self.hop_seconds

    # ------------------------------------------------------------------ checks

    def shown(self, reasons: Reasons, query: int, shown: Any) -> tuple[QueryRecord, State]:
        """Whoever acts on a query shows its state."""
        record, state = self.record(query), State(*shown)
        if state.phase > max(Phase):
            reasons.found.append(BAD_VALUE)
        stored = record.state.word if query in self.records else ZERO
        reasons.add(state != record.state or query not in self.records, "UnexpectedState", query, stored, state.word)
        return record, state

    def same_model(self, reasons: Reasons, query: int, state: State) -> None:
        """The attempt belongs to the model that the ring holds."""
        version = self.ring.arranged_version
        reasons.add(state.version != version, "ModelChanged", query, version, state.version)

    def entries(self, reasons: Reasons, query: int, place: Any, output: bytes, entries: Any) -> list[tuple[bytes, str]]:
        """Digest and signer of each entry of a run, which starts at a place with an output."""
        attempt, hop, items, _, trail = place
        found: list[tuple[bytes, str]] = []
        for index, (envelope, next_output, _, r, vs) in enumerate(entries):
            update = (query, attempt, hop + index, items, envelope, output, next_output, trail)
            signer = self.ring.signer(reasons, hashes.UPDATE, hashes.expanded(r, vs), *update)
            if signer is None:
                raise ModelRefusal(reasons.found)
            found.append((hashes.digest(self.ring.domain, hashes.UPDATE, *update), signer))
            trail, output = hashes.next_trail(trail, *found[-1]), next_output
        return found

    def opens(self, route: bytes, signers: list[str], salts: list[bytes], rest: bytes) -> bool:
        """Whether these accounts with these salts, in this order, are what was committed to."""
        for signer, salt in zip(signers, salts, strict=True):
            opening = self.openings.get(route)
            if opening is None or (opening.signer, opening.salt) != (signer, salt):
                return False
            route = opening.rest
        return route == rest

    # ------------------------------------------------------------------ the ordinary way

    def submit_query(self, sender: str, time: int, sealed_input: bytes, key: bytes) -> list[Event]:
        """`submitQuery`."""
        reasons = Reasons()
        reasons.add(self.ring.version == 0, "ModelMissing")
        reasons.add(key == ZERO, "ZeroSealingKey", sender)
        reasons.settle()
        query, question = len(self.records) + 1, (sealed_input, key, time)
        trail = hashes.first_trail(query, sender, question)
        self._put(query, QueryRecord(State(Phase.SUBMITTED, touched=time, trail=trail), sender, question))
        return [("QuerySubmitted", (query, sender, sealed_input, key, trail))]

    def reject_query(self, sender: str, _time: int, query: int, shown: Any, reason: int) -> list[Event]:
        """`rejectQuery`."""
        reasons = Reasons()
        self.ring.owner_only(reasons, sender)
        record, state = self.shown(reasons, query, shown)
        reasons.add(reason > 4, *BAD_VALUE[:1])
        reasons.add(state.phase not in WAITING, "UnexpectedPhase", query, Phase.SUBMITTED, state.phase)
        reasons.settle()
        self._put(query, record.at(phase=Phase.REJECTED))
        return [("QueryRejected", (query, reason))]

    def open_route(
        self, sender: str, time: int, query: int, shown: Any, route: bytes, notes: bytes, items: int
    ) -> list[Event]:
        """`openRoute`."""
        reasons = Reasons()
        self.ring.owner_only(reasons, sender)
        self.ring.authentic_only(reasons)
        record, state = self.shown(reasons, query, shown)
        reasons.add(state.phase not in WAITING, "UnexpectedPhase", query, Phase.SUBMITTED, state.phase)
        reasons.add(route == ZERO, "EmptyRoute", query)
        reasons.add(items == 0 or state.items not in {0, items}, "UnexpectedItems", query, state.items, items)
        reasons.settle()
        if state.attempt and state.version != self.ring.arranged_version:
            record = record.marked(RENEWAL)
        return [self._begin(query, record.at(expected=ZERO, items=items), time, 0, route, notes)]

    def _begin(self, query: int, record: QueryRecord, time: int, hop: int, route: bytes, notes: bytes) -> Event:
        attempt = record.state.attempt + 1
        version = self.ring.arranged_version
        self._put(
            query,
            record.at(phase=Phase.ROUTED, attempt=attempt, hop=hop, version=version, touched=time, route=route),
        )
        return "RouteOpened", (query, attempt, hop, record.state.items, route, notes)

    def post(
        self, _sender: str, time: int, query: int, place: Any, output: bytes, entry: Any, rest: bytes
    ) -> list[Event]:
        """`post`."""
        self._take_run(time, query, place, output, [entry], rest)
        return [("UpdatePosted", (query, *place[:3], place[4], output, rest, tuple(entry)))]

    def post_runs(self, _sender: str, time: int, runs: Any) -> list[Event]:
        """`postRuns`."""
        trial, events = self.copy(), []
        for query, place, output, rest, entries in runs:
            trial._take_run(time, query, place, output, entries, rest)
            values = (query, *place[:3], place[4], output, rest, tuple(map(tuple, entries)))
            events.append(("RunPosted", values))
        self.records, self.changes = trial.records, trial.changes
        return events

    def _take_run(self, time: int, query: int, place: Any, output: bytes, entries: Any, rest: bytes) -> None:
        reasons = Reasons()
        self.ring.authentic_only(reasons)
        record, signed = self._due(reasons, time, query, place, output, output, entries, rest)
        reasons.settle()
        for digest, signer in signed:
            record = record.extended(digest, signer)
        hop = place[1] + len(entries)
        done = hop == len(self.ring.seats)
        self._put(
            query,
            record.at(
                phase=Phase.COMPUTED if done else Phase.ROUTED,
                hop=hop,
                touched=0 if done else time,
                route=rest,
                expected=entries[-1][1],
            ),
        )

    def post_contradiction(
        self, _sender: str, time: int, query: int, place: Any, expected: bytes, output: bytes, entry: Any, rest: bytes
    ) -> list[Event]:
        """`postContradiction`."""
        reasons = Reasons()
        self.ring.authentic_only(reasons)
        reasons.add(expected == output, "OutputsAgree", query, output)
        reasons.add(place[1] == 0, "OutputsAgree", query, output)
        record, signed = self._due(reasons, time, query, place, expected, output, [entry], rest)
        reasons.settle()
        record = record.extended(*signed[0]).marked(VIOLATION)
        self._put(query, record.at(phase=Phase.DISPUTED, touched=time, route=rest))
        attempt, hop, items, _, trail = place
        return [
            ("UpdatePosted", (query, attempt, hop, items, trail, output, rest, tuple(entry))),
            ("OutputDisputed", (query, attempt, hop, expected, output)),
        ]

    def _due(
        self,
        reasons: Reasons,
        time: int,
        query: int,
        place: Any,
        expected: bytes,
        output: bytes,
        entries: Any,
        rest: bytes,
    ) -> tuple[QueryRecord, list[tuple[bytes, str]]]:
        """What a run of entries needs: time, signatures, place, turn, and the right output to be expected."""
        attempt, hop, items, touched, trail = place
        last, seats = hop + len(entries), len(self.ring.seats)
        if reasons.add(not entries or last > seats, "UnexpectedLength", query, seats, last):
            reasons.settle()
        deadline = self.deadline(touched)
        reasons.add(time > deadline, "DeadlinePassed", query, hop, deadline, time)
        signed = self.entries(reasons, query, place, output, entries)
        record = self.record(query)
        state = record.state
        here = State(Phase.ROUTED, attempt, hop, items, self.ring.arranged_version, touched, trail=trail)
        is_here = here == state._replace(route=ZERO, expected=ZERO)
        is_expected = hop == 0 or expected == state.expected
        in_turn = self.opens(state.route, [signer for _, signer in signed], [entry[2] for entry in entries], rest)
        stored = state.word if query in self.records else ZERO
        reasons.add(not (is_here and is_expected and in_turn), "UnexpectedState", query, stored, ANY)
        return record, signed

    def deliver(
        self, _sender: str, _time: int, query: int, shown: Any, answer: bytes, output: bytes, signature: bytes
    ) -> list[Event]:
        """`deliver`."""
        reasons = Reasons()
        self.ring.authentic_only(reasons)
        record, state = self.shown(reasons, query, shown)
        reasons.add(state.phase != Phase.COMPUTED, "UnexpectedPhase", query, Phase.COMPUTED, state.phase)
        self.same_model(reasons, query, state)
        delivery = (query, state.attempt, answer, output, state.trail)
        record = self._by_owner(reasons, query, record, hashes.DELIVERY, signature, delivery)
        reasons.settle()
        event = ("AnswerDelivered", (query, state.attempt, answer, output, signature, record.state.trail))
        if output == state.expected:
            self._put(query, record.at(phase=Phase.DELIVERED))
            return [event]
        self._put(query, record.marked(VIOLATION).at(phase=Phase.DISPUTED))
        return [event, ("OutputDisputed", (query, state.attempt, state.hop, state.expected, output))]

    def _by_owner(
        self, reasons: Reasons, query: int, record: QueryRecord, kind: bytes, signature: bytes, message: Any
    ) -> QueryRecord:
        signer = self.ring.signer(reasons, kind, signature, *message)
        if signer is None:
            return record
        reasons.add(signer != self.ring.owner, "UnexpectedOwner", query, self.ring.owner, signer)
        return record.extended(hashes.digest(self.ring.domain, kind, *message), signer)
