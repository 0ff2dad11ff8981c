"""One query as its events tell it: a state machine from bytes to what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    RouteOpened,
    UpdatePosted,
)
from deepring_chain.types import ZERO, Address, ArrangementId, Attempt, Digest, Hop, QueryId, QueryPhase, RejectReason

QueryEvent = QueryRejected | RouteOpened | UpdatePosted | OutputDisputed | AnswerDelivered


@dataclass(frozen=True)
class Session:
    """State of one query.

    Attributes:
        sealed_input, sealing_key: pointer to the input, and the querent's X25519 key.
        trail: rolling hash over all accepted entries.
        phase: as on the ledger.
        arrangement: the one that was in force when the route was opened; its keys open the notes and envelopes.
        attempt, next_hop, hops: the attempt that runs, the hop that is due, and how many there are.
        route, notes: the route's link that is left, and the pointer to the sealed notes.
        updates: the last accepted update of each hop.
        answer: pointer to the sealed answer, and the ouroboros's commitment to it.
        dispute: the recorded violation of eq. 13.
        reject_reason: why the query was turned down.
    """

    query: QueryId
    querent: Address
    sealed_input: Digest
    sealing_key: Digest
    trail: Digest
    phase: QueryPhase = QueryPhase.SUBMITTED
    arrangement: ArrangementId = field(default=ArrangementId(0))
    attempt: Attempt = field(default=Attempt(0))
    next_hop: Hop = field(default=Hop(0))
    hops: int = 0
    route: Digest = ZERO
    notes: Digest = ZERO
    updates: Mapping[Hop, UpdatePosted] = field(default_factory=lambda: MappingProxyType({}))
    answer: AnswerDelivered | None = None
    dispute: OutputDisputed | None = None
    reject_reason: RejectReason | None = None

    @classmethod
    def submitted(cls, event: QuerySubmitted) -> Session:
        """A new query."""
        return cls(event.query, event.querent, event.sealed_input, event.sealing_key, event.trail)

    @property
    def is_open(self) -> bool:
        """Whether the query still waits for somebody."""
        return self.phase in (QueryPhase.SUBMITTED, QueryPhase.ROUTED, QueryPhase.COMPUTED)

    def commitment_of(self, hop: Hop) -> Digest:
        """The ledger's commitment to what `hop` sent."""
        return self.updates[hop].signed.update.output

    def apply(self, event: QueryEvent, arrangement: ArrangementId, seats: int) -> Session:
        """The state after `event`, which the ledger emitted.

        Args:
            event: an event of this query.
            arrangement: the arrangement in force.
            seats: how many it has: one hop for each.
        """
        match event:
            case QueryRejected():
                return replace(self, phase=QueryPhase.REJECTED, reject_reason=event.reason)
            case RouteOpened():
                return self._opened(event, arrangement, seats)
            case UpdatePosted():
                return self._updated(event)
            case OutputDisputed():
                return replace(self, phase=QueryPhase.DISPUTED, dispute=event, answer=None)
            case AnswerDelivered():
                return replace(self, phase=QueryPhase.DELIVERED, trail=event.trail, answer=event)
        raise ProtocolError(f"query {self.query}: an event of another kind")

    def _opened(self, event: RouteOpened, arrangement: ArrangementId, seats: int) -> Session:
        return replace(
            self,
            phase=QueryPhase.ROUTED,
            arrangement=arrangement,
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
            self,
            phase=QueryPhase.COMPUTED if done else self.phase,
            next_hop=Hop(hop + 1),
            route=event.signed.next_route,
            trail=event.trail,
            updates=MappingProxyType({**self.updates, hop: event}),
        )
