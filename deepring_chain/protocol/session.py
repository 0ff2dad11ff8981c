"""One query as its events tell it: a state machine from events to what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    QueryWithdrawn,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.types import ZERO, Address, ArrangementId, Attempt, Digest, Hop, QueryId, QueryPhase, RejectReason

QueryEvent = (
    QueryRejected
    | RouteOpened
    | QueryResumed
    | UpdatePosted
    | OutputDisputed
    | EnvelopeDisputed
    | VerdictPosted
    | HopTimedOut
    | QueryWithdrawn
    | AnswerDelivered
)
TrailEvent = UpdatePosted | EnvelopeDisputed | VerdictPosted | AnswerDelivered

OPEN_PHASES = frozenset(
    {
        QueryPhase.SUBMITTED,
        QueryPhase.ROUTED,
        QueryPhase.COMPUTED,
        QueryPhase.DISPUTED,
        QueryPhase.INTERRUPTED,
    }
)


class FaultKind(Enum):
    """How a hop failed."""

    GUILTY = "guilty"
    SILENT = "silent"
    UNSETTLED = "unsettled"
    """It missed an envelope that the referee could read: nobody is guilty, but another worker may fare better."""


@dataclass(frozen=True)
class Fault:
    """A hop that failed in an attempt, by verdict or by timeout."""

    attempt: Attempt
    hop: Hop
    kind: FaultKind


@dataclass(frozen=True)
class Session:
    """State of one query.

    Attributes:
        sealed_input, sealing_key: pointer to the input, and the querent's X25519 key.
        trail: rolling hash over all accepted entries.
        phase: as on the ledger.
        arrangements: the one that was in force when each attempt's route was opened; its keys open that attempt's notes
            and envelopes.
        attempt, next_hop, hops: the attempt that runs, the hop that is due (or in dispute), and how many there are.
        route, notes: the route's link that is left, and the pointer to the sealed notes.
        updates: the last accepted update of each hop; one that violates eq. 13 is not among them.
        history: the events that the trail binds, in order.
        faults: hops that failed, in order.
        answer: pointer to the sealed answer, and the ouroboros's commitment to it.
        dispute: the violation or complaint that waits for a verdict, or was judged last.
        reject_reason: why the query was turned down.
    """

    query: QueryId
    querent: Address
    sealed_input: Digest
    sealing_key: Digest
    trail: Digest
    phase: QueryPhase = QueryPhase.SUBMITTED
    arrangements: Mapping[Attempt, ArrangementId] = field(default_factory=lambda: MappingProxyType({}))
    attempt: Attempt = Attempt(0)
    next_hop: Hop = Hop(0)
    hops: int = 0
    route: Digest = ZERO
    notes: Digest = ZERO
    updates: Mapping[Hop, UpdatePosted] = field(default_factory=lambda: MappingProxyType({}))
    history: tuple[TrailEvent, ...] = ()
    faults: tuple[Fault, ...] = ()
    answer: AnswerDelivered | None = None
    dispute: OutputDisputed | EnvelopeDisputed | None = None
    reject_reason: RejectReason | None = None

    @classmethod
    def submitted(cls, event: QuerySubmitted) -> Session:
        """A new query."""
        return cls(event.query, event.querent, event.sealed_input, event.sealing_key, event.trail)

    @property
    def is_open(self) -> bool:
        """Whether the query still waits for somebody."""
        return self.phase in OPEN_PHASES

    @property
    def arrangement(self) -> ArrangementId:
        """The arrangement of the current attempt; 0 before the first."""
        return self.arrangements.get(self.attempt, ArrangementId(0))

    def apply(self, event: QueryEvent, arrangement: ArrangementId, seats: int) -> Session:
        """The state after `event`, which the ledger emitted.

        Args:
            event: an event of this query.
            arrangement: the arrangement in force.
            seats: how many it has: one hop for each.
        """
        match event:
            case RouteOpened():
                return self._opened(event, arrangement, seats)
            case QueryResumed():
                return self
            case UpdatePosted():
                return self._updated(event)
            case OutputDisputed():
                return self._contradicted(event)
            case EnvelopeDisputed():
                return replace(self._extended(event), phase=QueryPhase.DISPUTED, dispute=event)
            case VerdictPosted():
                return self._judged(event)
            case HopTimedOut():
                silent = Fault(event.attempt, event.hop, FaultKind.SILENT)
                return replace(self, phase=QueryPhase.INTERRUPTED, faults=(*self.faults, silent))
            case AnswerDelivered():
                return replace(self._extended(event), phase=QueryPhase.DELIVERED, answer=event)
            case QueryRejected():
                return replace(self, phase=QueryPhase.REJECTED, reject_reason=event.reason)
            case QueryWithdrawn():
                return replace(self, phase=QueryPhase.WITHDRAWN)
        raise ProtocolError(f"query {self.query}: an event of another kind")

    def _opened(self, event: RouteOpened, arrangement: ArrangementId, seats: int) -> Session:
        return replace(
            self,
            phase=QueryPhase.ROUTED,
            arrangements=MappingProxyType({**self.arrangements, event.attempt: arrangement}),
            attempt=event.attempt,
            next_hop=event.first_hop,
            hops=seats,
            route=event.route,
            notes=event.notes,
        )

    def _updated(self, event: UpdatePosted) -> Session:
        hop = event.signed.update.hop
        done = hop + 1 == self.hops
        return replace(
            self._extended(event),
            phase=QueryPhase.COMPUTED if done else self.phase,
            next_hop=Hop(hop + 1),
            route=event.signed.next_route,
            updates=MappingProxyType({**self.updates, hop: event}),
        )

    def _contradicted(self, event: OutputDisputed) -> Session:
        """The entry just taken in violates eq. 13: it is on the trail, but not accepted."""
        accepted = {hop: update for hop, update in self.updates.items() if hop != event.hop}
        return replace(
            self,
            phase=QueryPhase.DISPUTED,
            next_hop=event.hop,
            updates=MappingProxyType(accepted),
            dispute=event,
            answer=None,
        )

    def _judged(self, event: VerdictPosted) -> Session:
        verdict = event.verdict
        sides = ((verdict.sender_guilty, verdict.hop - 1), (verdict.receiver_guilty, verdict.hop))
        guilty = tuple(Fault(verdict.attempt, Hop(hop), FaultKind.GUILTY) for is_guilty, hop in sides if is_guilty)
        if not guilty:
            guilty = (Fault(verdict.attempt, verdict.hop, FaultKind.UNSETTLED),)
        return replace(self._extended(event), phase=QueryPhase.INTERRUPTED, faults=self.faults + guilty)

    def _extended(self, event: TrailEvent) -> Session:
        return replace(self, trail=event.trail, history=(*self.history, event))
