"""What a ledger's events say of its ring: seats, waiting queries and what each waits for, who was last active when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from deepring_chain.chain.client import LOG_RANGE, LedgerClient
from deepring_chain.health.races import Arranged
from deepring_chain.health.snapshot import Awaited, QueryFacts, RingFacts, SeatFacts
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    EnvelopeDisputed,
    LoggedEvent,
    QuerySubmitted,
    RestoreReported,
    RingArranged,
    UpdatePosted,
    query_of,
)
from deepring_chain.protocol.ledger_state import ArrangementState, LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.types import Address, ArrangementId, Position, QueryId, QueryPhase, RingMode

OWNERS_EVENTS = frozenset(
    {
        "ModelRegistered",
        "RingArranged",
        "RestoreOrdered",
        "QueryRejected",
        "RouteOpened",
        "VerdictPosted",
        "AnswerDelivered",
    }
)
"""The events that only the ouroboros's own signature or transaction brings about."""


@dataclass
class LedgerView:
    """The projection of all events, and where each part of it was touched last: numbers of blocks.

    Attributes:
        state: the projection.
        seats: of every arrangement.
        arranged: every arrangement, and how it came about.
        touched, submitted: by query: its last event, and its first.
        active: by account: its last entry.
        authentic_block: when the flag was last derived.
        ring_block: the last event that is no query's.
    """

    ouroboros: Address
    state: LedgerState = field(default_factory=LedgerState)
    seats: dict[ArrangementId, tuple[Address, ...]] = field(default_factory=dict)
    arranged: list[Arranged] = field(default_factory=list)
    touched: dict[QueryId, int] = field(default_factory=dict)
    submitted: dict[QueryId, int] = field(default_factory=dict)
    active: dict[Address, int] = field(default_factory=dict)
    authentic_block: int | None = None
    ring_block: int | None = None

    def take(self, logged: LoggedEvent) -> None:
        """Takes in the next event."""
        if isinstance(logged.event, RingArranged):
            self.arranged.append(self._arranged(logged.event, logged.block_number))
        self.state.apply(logged)
        event, block = logged.event, logged.block_number
        query = query_of(event)
        if query is not None:
            self.touched[query] = block
        else:
            self.ring_block = block
        match event:
            case RingArranged():
                self.seats[event.arrangement] = event.seats
            case AuthenticityDerived():
                self.authentic_block = block
            case QuerySubmitted():
                self.submitted[event.query] = block
        author = author_of(logged, self.ouroboros)
        if author is not None:
            self.active[author] = block

    def _arranged(self, event: RingArranged, block: int) -> Arranged:
        """An arrangement beside the one that it replaces, which the state still has."""
        before = self.state.arrangement
        is_early = before is not None and self.state.mode is RingMode.ATTESTING and not before.restores
        return Arranged(event.arrangement, block, event.notes, self.arranged[-1].block if is_early else None)


def author_of(logged: LoggedEvent, ouroboros: Address) -> Address | None:
    """Whose doing an event is; None if anybody may have carried it, or it follows from others."""
    match logged.event:
        case BlockAttested() | RestoreReported() as event:
            return event.worker
        case UpdatePosted() as event:
            return event.signer
        case EnvelopeDisputed() as event:
            return event.recipient
        case QuerySubmitted() as event:
            return event.querent
    return ouroboros if type(logged.event).__name__ in OWNERS_EVENTS else None


def read_view(client: LedgerClient, first_block: int, head: int) -> LedgerView:
    """Reads a ledger's events, some thousand blocks at a time.

    Raises:
        ChainError, ProtocolError: the node stopped answering, or its events make no sense.
    """
    view = LedgerView(client.ouroboros)
    for start in range(first_block, head + 1, LOG_RANGE):
        for logged in client.events(start, min(start + LOG_RANGE - 1, head)):
            view.take(logged)
    return view


def ring_facts(
    view: LedgerView,
    layers: Mapping[Address, int],
    deadlines: tuple[int, int],
    time_of: Callable[[int], int],
) -> RingFacts:
    """The ring's facts.

    Args:
        view: all events.
        layers: which layer each worker serves, as far as known: only the model's owner can say.
        deadlines: the ledger's seconds for a hop, and until a withdrawal.
        time_of: Unix time of a block.
    """
    state, current = view.state, view.state.arrangement
    return RingFacts(
        mode=state.mode,
        ouroboros=view.ouroboros,
        model_version=state.model.version if state.model else None,
        arrangement=current.arranged.arrangement if current else None,
        seats=_seats(current) if current else (),
        queries=dict(Counter(session.phase for session in state.sessions.values())),
        waiting=tuple(_query(view, session, layers, deadlines, time_of) for session in state.open_sessions()),
        is_restoring=_is_restoring(state),
        hop_seconds=deadlines[0],
        withdraw_seconds=deadlines[1],
        since=None if view.ring_block is None else time_of(view.ring_block),
    )


def _seats(current: ArrangementState) -> tuple[SeatFacts, ...]:
    missing = set(current.missing_seats())
    return tuple(
        SeatFacts(Position(seat), address, seat not in missing, current.round_of(Position(seat)))
        for seat, address in enumerate(current.arranged.seats)
    )


def _is_restoring(state: LedgerState) -> bool:
    """Whether the flag is off: the contract is in tracking mode, or awaits a restored block's attestation."""
    current = state.arrangement
    if current is None or state.mode is RingMode.QUERY:
        return False
    return state.mode is RingMode.TRACKING or bool(current.restores)


def _query(
    view: LedgerView,
    session: Session,
    layers: Mapping[Address, int],
    deadlines: tuple[int, int],
    time_of: Callable[[int], int],
) -> QueryFacts:
    awaits, whom = awaited(view, session, layers)
    since = time_of(view.touched[session.query])
    deadline = None
    if awaits is Awaited.HOP and view.authentic_block is not None:
        deadline = max(since, time_of(view.authentic_block)) + deadlines[0]
    withdraw_after = time_of(view.submitted[session.query]) + deadlines[1]
    place = (session.query, session.phase, session.attempt, session.next_hop, session.hops)
    return QueryFacts(*place, awaits, whom, since, deadline, withdraw_after)


def awaited(view: LedgerView, session: Session, layers: Mapping[Address, int]) -> tuple[Awaited, tuple[Address, ...]]:
    """What an open query waits for, and on whom."""
    state, owner = view.state, (view.ouroboros,)
    if session.phase is QueryPhase.DISPUTED:
        return Awaited.VERDICT, owner
    current = state.arrangement
    if state.mode is RingMode.SETUP or current is None:
        return Awaited.ARRANGEMENT, owner
    if state.mode is RingMode.TRACKING:
        return Awaited.RESTORE, owner
    if state.mode is RingMode.ATTESTING:
        whom = tuple(current.arranged.seats[position] for position in current.missing_seats())
        return (Awaited.RESTORE if current.restores else Awaited.ATTESTATION), whom
    if session.phase is QueryPhase.ROUTED:
        return Awaited.HOP, _signer(view, session, layers)
    return (Awaited.DELIVERY if session.phase is QueryPhase.COMPUTED else Awaited.ROUTE), owner


def _signer(view: LedgerView, session: Session, layers: Mapping[Address, int]) -> tuple[Address, ...]:
    """Who must sign the next hop: whoever of the attempt's ring serves that layer."""
    if session.next_hop == 0:
        return (view.ouroboros,)
    seats = view.seats.get(session.arrangement, ())
    return tuple(seat for seat in seats if layers.get(seat) == session.next_hop)
