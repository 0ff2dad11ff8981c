"""One query as its events tell it: a state machine from events to what comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, mark_trail
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    Address,
    ArrangementId,
    Attempt,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    RouteLink,
    SealingKey,
    TrailHash,
)

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
TrailEvent = UpdatePosted | OutputDisputed | RouteOpened | EnvelopeDisputed | VerdictPosted | AnswerDelivered
"""What the trail binds. A recorded violation leaves a mark on it, and so does a route after a change of the model."""

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
    """A hop that failed in an attempt, by verdict or by timeout.

    Attributes:
        attempt, hop, kind: what failed, and how.
        signer: who had posted the hop's last accepted update; None where none was accepted.
    """

    attempt: Attempt
    hop: Hop
    kind: FaultKind
    signer: Address | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Moment:
    """What the ledger held when it took an event in.

    Attributes:
        arrangement, seats, model_version: of the ring; zero before the first arrangement.
        block: the event's.
    """

    arrangement: ArrangementId = ArrangementId(0)
    seats: int = 0
    model_version: int = 0
    block: int = 0


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
        items: number of items in the query's batch, as its first route told; 0 before that.
        route, notes: the route's link that is left, and the pointer to the sealed notes.
        model_version: that the attempt's route was opened for.
        expected_output: H of the last accepted hop; zero before hop 0.
        submitted_block, touched_block: where the query was asked, and where the deadline of the hop that is due begins.
        updates: the last accepted update of each hop; one that violates eq. 13 is not among them.
        history: the events that the trail binds, in order.
        faults: hops that failed, in order.
        answer: pointer to the sealed answer, and the ouroboros's commitment to it.
        dispute: the violation or complaint that waits for a verdict, or was judged last.
        reject_reason: why the query was turned down.
    """

    query: QueryId
    querent: Address
    sealed_input: Pointer
    sealing_key: SealingKey
    trail: TrailHash
    phase: QueryPhase = QueryPhase.SUBMITTED
    arrangements: Mapping[Attempt, ArrangementId] = field(default_factory=lambda: MappingProxyType({}))
    attempt: Attempt = Attempt(0)
    next_hop: Hop = Hop(0)
    hops: int = 0
    items: int = 0
    route: RouteLink = NO_ROUTE
    notes: Pointer = NO_BLOB
    model_version: int = 0
    expected_output: OutputCommitment = NO_OUTPUT
    submitted_block: int = 0
    touched_block: int = 0
    updates: Mapping[Hop, UpdatePosted] = field(default_factory=lambda: MappingProxyType({}))
    history: tuple[TrailEvent, ...] = ()
    faults: tuple[Fault, ...] = ()
    answer: AnswerDelivered | None = None
    dispute: OutputDisputed | EnvelopeDisputed | None = None
    reject_reason: RejectReason | None = None

    @classmethod
    def submitted(cls, event: QuerySubmitted, block: int = 0) -> Session:
        """A new query, asked in this block."""
        bare = cls(event.query, event.querent, event.sealed_input, event.sealing_key, event.trail)
        return replace(bare, submitted_block=block, touched_block=block)

    @property
    def is_open(self) -> bool:
        """Whether the query still waits for somebody."""
        return self.phase in OPEN_PHASES

    @property
    def arrangement(self) -> ArrangementId:
        """The arrangement of the current attempt; 0 before the first."""
        return self.arrangements.get(self.attempt, ArrangementId(0))

    def state(self, time_of: Callable[[int], int]) -> QueryState:
        """What whoever acts on the query shows to the ledger.

        Args:
            time_of: Unix time of a block, in seconds.
        """
        is_computed = self.hops > 0 and self.next_hop == self.hops
        return QueryState(
            phase=self.phase,
            attempt=self.attempt,
            hop=self.next_hop,
            items=self.items,
            model_version=self.model_version,
            touched_at=0 if is_computed else time_of(self.touched_block),
            route=self.route,
            expected_output=self.expected_output,
            trail=self.trail,
        )

    def question(self, time_of: Callable[[int], int]) -> Question:
        """What the querent asked; `time_of` as for `state`."""
        return Question(self.sealed_input, self.sealing_key, time_of(self.submitted_block))

    def without_work(self) -> Session:
        """What is left to know of an ended query: how it ended, and who failed in it."""
        none: Mapping[Hop, UpdatePosted] = MappingProxyType({})
        return replace(self, updates=none, history=(), dispute=None)

    def apply(self, event: QueryEvent, moment: Moment) -> Session:
        """The state after `event`, which the ledger emitted.

        Args:
            event: an event of this query.
            moment: what the ledger held then.
        """
        match event:
            case RouteOpened():
                return self._opened(event, moment)
            case QueryResumed():
                return self._resumed(event)
            case UpdatePosted():
                return self._updated(event, moment)
            case OutputDisputed():
                return self._contradicted(event)
            case EnvelopeDisputed():
                return replace(self._extended(event), phase=QueryPhase.DISPUTED, dispute=event)
            case VerdictPosted():
                return self._judged(event)
            case HopTimedOut():
                silent = self._fault(event.attempt, event.hop, FaultKind.SILENT)
                return replace(self, phase=QueryPhase.INTERRUPTED, faults=(*self.faults, silent))
            case AnswerDelivered():
                return replace(self._extended(event), phase=QueryPhase.DELIVERED, answer=event)
            case QueryRejected():
                return replace(self, phase=QueryPhase.REJECTED, reject_reason=event.reason)
            case QueryWithdrawn():
                return replace(self, phase=QueryPhase.WITHDRAWN)
        raise ProtocolError(f"query {self.query}: an event of another kind")

    def _opened(self, event: RouteOpened, moment: Moment) -> Session:
        is_renewal = self.attempt > 0 and self.model_version != moment.model_version
        return replace(
            self,
            phase=QueryPhase.ROUTED,
            arrangements=MappingProxyType({**self.arrangements, event.attempt: moment.arrangement}),
            attempt=event.attempt,
            next_hop=event.first_hop,
            hops=moment.seats,
            items=event.items,
            route=event.route,
            notes=event.notes,
            model_version=moment.model_version,
            expected_output=NO_OUTPUT,
            touched_block=moment.block,
            trail=mark_trail(self.trail, RENEWAL) if is_renewal else self.trail,
            history=(*self.history, event) if is_renewal else self.history,
        )

    def _resumed(self, event: QueryResumed) -> Session:
        place = (event.anchor_attempt, event.anchor_hop)
        anchors = [each.signed.update for each in self.history if isinstance(each, UpdatePosted)]
        expected = [update.next_output for update in anchors if (update.attempt, update.hop) == place]
        if not expected:
            raise ProtocolError(f"query {self.query}: resumed after hop {event.anchor_hop}, which was not posted")
        return replace(self, expected_output=expected[-1])

    def _updated(self, event: UpdatePosted, moment: Moment) -> Session:
        hop = event.signed.update.hop
        done = hop + 1 == self.hops
        return replace(
            self._extended(event),
            phase=QueryPhase.COMPUTED if done else self.phase,
            next_hop=Hop(hop + 1),
            route=event.signed.next_route,
            expected_output=event.signed.update.next_output,
            touched_block=moment.block,
            updates=MappingProxyType({**self.updates, hop: event}),
        )

    def _contradicted(self, event: OutputDisputed) -> Session:
        """The entry just taken in violates eq. 13: it is on the trail, but not accepted."""
        accepted = {hop: update for hop, update in self.updates.items() if hop != event.hop}
        return replace(
            self,
            phase=QueryPhase.DISPUTED,
            next_hop=event.hop,
            expected_output=event.expected,
            updates=MappingProxyType(accepted),
            dispute=event,
            answer=None,
            trail=mark_trail(self.trail, VIOLATION),
            history=(*self.history, event),
        )

    def _judged(self, event: VerdictPosted) -> Session:
        verdict = event.verdict
        sides = ((verdict.sender_guilty, verdict.hop - 1), (verdict.receiver_guilty, verdict.hop))
        guilty = tuple(self._fault(verdict.attempt, Hop(at), FaultKind.GUILTY) for is_guilty, at in sides if is_guilty)
        if not guilty:
            guilty = (self._fault(verdict.attempt, verdict.hop, FaultKind.UNSETTLED),)
        return replace(self._extended(event), phase=QueryPhase.INTERRUPTED, faults=self.faults + guilty)

    def _fault(self, attempt: Attempt, hop: Hop, kind: FaultKind) -> Fault:
        accepted = self.updates.get(hop)
        return Fault(attempt, hop, kind, accepted.signer if accepted else None)

    def _extended(self, event: UpdatePosted | EnvelopeDisputed | VerdictPosted | AnswerDelivered) -> Session:
        return replace(self, trail=event.trail, history=(*self.history, event))
