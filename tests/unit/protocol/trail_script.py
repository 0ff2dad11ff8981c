"""Writes trails without a chain: a small ring with real keys and signatures, and the events its ledger would emit.

It repeats what the contract does in a few lines each and trusts its caller: a test can write any trail, also one that
no ledger would accept. `tests/chain/test_auditor.py` holds the same verifier against a real ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    Event,
    ModelRegistered,
    QuerySubmitted,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    WorkerAdmitted,
)
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import (
    ZERO,
    Address,
    ArrangementId,
    Attestation,
    BlockHash,
    Domain,
    Leaf,
    Position,
    QueryId,
    Question,
)
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_names import DOMAIN, LAYERS, QUERENT, SEATS, Call, Placed, Sent, named, place_events

NO_HASH = BlockHash(ZERO)
"""Of a ring without an arrangement."""


@dataclass
class ScriptedTrail:
    """A trail as it is written.

    Attributes:
        calls: the events so far.
        seats: who sits where.
        arrangement: the one in force.
        leaves: attested in it.
        rounds: restores in it, by seat.
        tampered: seats that attest another leaf than expected, until they are restored.
        block, time: of the last call; two calls stand in a block.
    """

    domain: Domain = DOMAIN
    calls: list[Call] = field(default_factory=list)
    seats: tuple[LocalAccount, ...] = SEATS
    version: int = 0
    arrangement: int = 0
    leaves: dict[int, Leaf] = field(default_factory=dict)
    folded: list[BlockHash] = field(default_factory=list)
    rounds: Counter[int] = field(default_factory=Counter)
    tampered: set[int] = field(default_factory=set)
    recorded: BlockHash = NO_HASH
    queries: int = 0
    made: int = 0
    in_block: int = 0
    block: int = 100
    time: int = 1_000_000

    def emit(self, *events: Event, wait: int = 0, leaves: Sequence[Leaf] = (), is_run: bool = False) -> None:
        """One call, `wait` seconds after the one before; in a run, one log holds all of a query's updates."""
        self.time = self.next_time(wait)
        if wait or self.in_block == 2:
            self.block, self.in_block = self.block + 1, 0
        self.made, self.in_block = self.made + 1, self.in_block + 1
        sent = Sent(self.made, self.block, self.time, tuple(leaves), is_run=is_run)
        self.calls.extend((sent, event) for event in events)

    def next_time(self, wait: int = 0) -> int:
        """When the next call is mined."""
        return self.time + 1 + wait if wait or self.in_block == 2 else self.time

    def placed(self) -> list[Placed]:
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

    def leaf(self, position: int) -> Leaf:
        """Leaf that is expected of a seat in the arrangement and round in force."""
        return Leaf(named(f"leaf {self.arrangement}/{position}/{self.rounds[position]}"))

    def expected(self) -> list[Leaf]:
        """Of all seats."""
        return [self.leaf(position) for position in range(len(self.seats))]

    def arrange(
        self, seats: tuple[LocalAccount, ...] = SEATS, recorded: BlockHash | None = None, tampered: Sequence[int] = ()
    ) -> None:
        """A new seating."""
        self.arrangement += 1
        self.seats, self.leaves, self.folded = seats, {}, []
        self.rounds, self.tampered = Counter(), set(tampered)
        self.recorded = recorded or fold_leaves(self.expected())[-1]
        addresses = tuple(Address(seat.address) for seat in seats)
        notes = named(f"arrangement notes {self.arrangement}")
        self.emit(RingArranged(ArrangementId(self.arrangement), self.version, addresses, self.recorded, notes))

    def attested(self, position: int, **changes: Any) -> BlockAttested:
        """A seat's leaf, with some fields changed before it is signed."""
        seat, arrangement = self.seats[position], ArrangementId(self.arrangement)
        leaf = named(f"what is in seat {position}") if position in self.tampered else self.leaf(position)
        key = named(f"key {seat.address} in {arrangement}")
        honest = Attestation(arrangement, Position(position), self.rounds[position], leaf, key)
        attestation = replace(honest, **changes)
        return BlockAttested(attestation, Address(seat.address), sign_message(seat, self.domain, attestation))

    def attest(self, *positions: int) -> None:
        """Attests these seats in one call, and folds what can be folded."""
        attested = [self.attested(position) for position in positions]
        self.leaves.update({event.attestation.position: event.attestation.leaf for event in attested})
        events: list[Event] = [*attested]
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

    def order_restore(self, position: int, /, leaves: Sequence[Leaf] | None = None, **changes: Any) -> None:
        """Orders the restore of a seat, with other evidence or fields than the honest ones."""
        expected = self.expected()
        recorded = fold_leaves(expected)[position]
        self.rounds[position] += 1
        event = RestoreOrdered(
            ArrangementId(self.arrangement),
            Position(position),
            Address(self.seats[position].address),
            self.rounds[position],
            recorded,
            self.folded[position],
            fold_leaves(self.expected())[position],
            fold_leaves(self.expected())[-1],
            named(f"parameters {self.arrangement}/{position}"),
        )
        self.recorded, self.folded = event.recorded_last, self.folded[:position]
        self.tampered.discard(position)
        self.leaves.pop(position, None)
        self.emit(replace(event, **changes), leaves=expected[position:] if leaves is None else leaves)

    def report_restore(self, position: int, /, **changes: Any) -> None:
        """A restored worker's report."""
        seat = Address(self.seats[position].address)
        place = ArrangementId(self.arrangement), Position(position)
        self.emit(replace(RestoreReported(*place, seat, self.rounds[position], "layer 2: weight"), **changes))

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
        question = Question(sealed_input, key, self.next_time())
        trail = start_trail(query, querent, question)
        self.emit(QuerySubmitted(query, querent, sealed_input, key, trail))
        return ScriptedQuery(self, query, trail)
