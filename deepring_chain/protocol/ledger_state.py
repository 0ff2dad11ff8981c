"""The ledger as its events tell it: every actor builds this from the chain alone, at the start and after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from deepring_chain.crypto.sealing import is_usable_key
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    LoggedEvent,
    ModelRegistered,
    QuerySubmitted,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    WorkerAdmitted,
    query_of,
)
from deepring_chain.protocol.session import Moment, QueryEvent, Session
from deepring_chain.types import Address, Attestation, BlockHash, Position, QueryId, QueryPhase, RingMode, SealingKey

RESTORES_IN_VAIN = 3
"""A worker that had to be restored so often does not want to hold its parameters; it counts as one failure."""


@dataclass
class ArrangementState:
    """The current seating and how far its attestation went."""

    arranged: RingArranged
    attestations: dict[Position, Attestation] = field(default_factory=dict)
    block_hashes: list[BlockHash] = field(default_factory=list)
    is_authentic: bool | None = None
    restores: dict[Position, RestoreOrdered] = field(default_factory=dict)
    reports: list[RestoreReported] = field(default_factory=list)
    keyless: set[Position] = field(default_factory=set)
    """The seats whose worker attested a key to which nothing can be sealed."""
    authentic_block: int = 0
    """Where the flag became true last."""
    follows_restores: bool = False
    """Whether the arrangement before this one had to be restored, too."""

    def position_of(self, worker: Address) -> Position | None:
        """The seat of `worker`, if it has one."""
        seats = self.arranged.seats
        return Position(seats.index(worker)) if worker in seats else None

    def round_of(self, position: Position) -> int:
        """How often this seat was restored in this arrangement."""
        order = self.restores.get(position)
        return order.round if order else 0

    def failing_workers(self) -> list[Address]:
        """Who has not attested, or with a key that is of no use, or falsely after all restores."""
        seats = {*self.missing_seats(), *self.keyless, *self.incurable_seats()}
        return [self.arranged.seats[position] for position in seats]

    def missing_seats(self) -> list[Position]:
        """The seats whose attestation is awaited."""
        return [Position(seat) for seat in range(len(self.arranged.seats)) if seat not in self.attestations]

    def incurable_seats(self) -> list[Position]:
        """The seats that were restored again and again, in vain."""
        return [position for position, order in self.restores.items() if order.round >= RESTORES_IN_VAIN]

    def sealing_key_of(self, worker: Address) -> SealingKey | None:
        """The key that `worker` attested for this arrangement."""
        position = self.position_of(worker)
        attested = None if position is None else self.attestations.get(position)
        return attested.sealing_key if attested else None


@dataclass
class LedgerState:
    """Projection of all events of one ledger, in order.

    Attributes:
        keeps_ended: whether ended queries stay as they were. Who works for years has no use for them: without it they
            are dropped at the next arrangement, but for how those ended in which somebody failed.
        forgotten: how many were dropped, by phase.
        newest: the last query that was submitted; they are numbered from 1.
    """

    keeps_ended: bool = True
    forgotten: Counter[QueryPhase] = field(default_factory=Counter)
    newest: int = 0
    model: ModelRegistered | None = None
    sealing_keys: dict[Address, SealingKey] = field(default_factory=dict)
    arrangement: ArrangementState | None = None
    sessions: dict[QueryId, Session] = field(default_factory=dict)
    absences: Counter[Address] = field(default_factory=Counter)
    """How often each worker's attestation was missing, or its key of no use, when the ring was arranged anew."""
    restores: Counter[Address] = field(default_factory=Counter)
    """How often each worker was restored, in all arrangements."""

    @property
    def mode(self) -> RingMode:
        """The mode, as the ledger derives it."""
        current = self.arrangement
        if current is None or self.model is None or current.arranged.model_version != self.model.version:
            return RingMode.SETUP
        if current.is_authentic is None:
            return RingMode.ATTESTING
        return RingMode.QUERY if current.is_authentic else RingMode.TRACKING

    def open_sessions(self) -> list[Session]:
        """The queries that wait for somebody, oldest first."""
        return [session for session in self.sessions.values() if session.is_open]

    def has_ended(self, query: QueryId) -> bool:
        """Whether a query was submitted and waits for nobody any more; one that was dropped has ended."""
        session = self.sessions.get(query)
        return query <= self.newest if session is None else not session.is_open

    def phases(self) -> Counter[QueryPhase]:
        """How many queries are in each phase, since the ledger's first block."""
        return self.forgotten + Counter(session.phase for session in self.sessions.values())

    def apply_all(self, events: Iterable[LoggedEvent]) -> None:
        """Takes in events in the ledger's order."""
        for logged in events:
            self.apply(logged)

    def apply(self, logged: LoggedEvent) -> None:
        """Takes in the next event.

        Raises:
            ProtocolError: it speaks of a query that no event has opened.
        """
        match logged.event:
            case ModelRegistered() as event:
                self.model = event
            case WorkerAdmitted() as event:
                self.sealing_keys[event.worker] = event.sealing_key
            case RingArranged() as event:
                self._arrange(event)
            case (
                BlockAttested() | BlockHashed() | AuthenticityDerived() | RestoreOrdered() | RestoreReported() as event
            ):
                self._apply_to_arrangement(event, logged.block_number)
            case QuerySubmitted() as event:
                self.sessions[event.query] = Session.submitted(event, logged.block_number)
                self.newest = max(self.newest, event.query)
            case _ as event:
                self._apply_to_session(event, logged.block_number)

    def _arrange(self, event: RingArranged) -> None:
        before = self.arrangement
        if before is not None:
            self.absences.update(before.failing_workers())
        self.arrangement = ArrangementState(event, follows_restores=before is not None and bool(before.restores))
        if not self.keeps_ended:
            self._forget_ended()

    def _forget_ended(self) -> None:
        """Drops what nothing asks for any more: only the current arrangement's ended queries are counted one by one."""
        for session in [session for session in self.sessions.values() if not session.is_open]:
            if session.faults:
                self.sessions[session.query] = session.without_work()
            else:
                del self.sessions[session.query]
                self.forgotten[session.phase] += 1

    def _apply_to_arrangement(
        self, event: BlockAttested | BlockHashed | AuthenticityDerived | RestoreOrdered | RestoreReported, block: int
    ) -> None:
        current = self.arrangement
        if current is None:
            return
        match event:
            case BlockAttested():
                current.attestations[event.attestation.position] = event.attestation
                if not is_usable_key(event.attestation.sealing_key):
                    current.keyless.add(event.attestation.position)
            case BlockHashed():
                current.block_hashes.append(event.block_hash)
            case AuthenticityDerived():
                current.is_authentic = event.is_authentic
                current.authentic_block = block if event.is_authentic else current.authentic_block
            case RestoreOrdered():
                # The fold begins again at the restored seat.
                del current.block_hashes[event.position :]
                current.attestations.pop(event.position, None)
                current.restores[event.position] = event
                self.restores[event.worker] += 1
                current.is_authentic = None
            case RestoreReported():
                current.reports.append(event)

    def _apply_to_session(self, event: QueryEvent, block: int) -> None:
        query = query_of(event)
        if query is None or query not in self.sessions:
            raise ProtocolError(f"query {query}: the events begin after it; read them from the ledger's first block")
        self.sessions[query] = self.sessions[query].apply(event, self.moment(block))

    def moment(self, block: int) -> Moment:
        """What the ledger holds now, for an event of this block."""
        if self.arrangement is None:
            return Moment(block=block)
        arranged = self.arrangement.arranged
        return Moment(arranged.arrangement, len(arranged.seats), arranged.model_version, block)
