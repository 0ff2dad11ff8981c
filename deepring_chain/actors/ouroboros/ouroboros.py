"""The ouroboros: the model's owner, start and end of every query (paper 3.3, 3.4.1-3.4.3).

`protocol.decide.serving` decides what is due for a query; here and in `QueryExecutor` it is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from deepring_chain.actors.guard import OVERTAKEN
from deepring_chain.actors.lanes import QueryLanes
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.ouroboros.query import QueryExecutor
from deepring_chain.actors.ouroboros.referee import Referee
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.ouroboros.tracker import Tracker
from deepring_chain.actors.relay.settler import Settler
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.decide.serving import Service, next_action
from deepring_chain.protocol.session import Session
from deepring_chain.types import Digest, QueryId, QueryPhase, RingMode, SealingKey

LOG = logging.getLogger(__name__)

TIMEOUT_RETRY_SECONDS = 1.0

ROOM = "room"
"""What is in trouble when queries wait for others to end."""


class Ouroboros(QueryExecutor):
    """Acts on the ledger's events: arranges, restores, opens routes, is hop 0 and the final receiver, judges.

    Args:
        member: keys and connections.
        owner: the checkpoint.
        inputs: opens the queries' inputs.
        router: draws routes.
        arranger: seats the ring.
        tracker: restores blocks.
        clock: seconds; when to call a timeout.
        auditors: keys of those who may read the evidence of verdicts.
        settler: settles hops and answers in batches; None if each has a transaction of its own.

    Attributes:
        lanes: where the queries' turns run. What concerns the whole ring is done where `act` is called.
    """

    def __init__(
        self,
        member: Member,
        owner: ModelOwner,
        inputs: QueryInputs,
        router: Router,
        arranger: Arranger,
        tracker: Tracker,
        clock: Callable[[], float] = time.monotonic,
        auditors: Callable[[], Sequence[SealingKey]] = tuple,
        settler: Settler | None = None,
    ) -> None:
        referee = Referee(member, router, inputs, clock, auditors)
        super().__init__(member, owner, inputs, router, referee, settler)
        self._arranger = arranger
        self._tracker = tracker
        self._clock = clock
        self.lanes = QueryLanes(member.metrics)
        self._waiting: dict[QueryId, tuple[tuple[Digest, int, int], float]] = {}

    def act(self) -> bool:
        """Does everything that is due now, or begins it; returns whether it did anything itself."""
        try:
            if self._arranger.act(is_quiet=self.lanes.is_quiet) or self._tracker.act():
                return True
            return self._serve_all()
        except LedgerReverted as refusal:
            if refusal.name not in OVERTAKEN:
                raise
            return False

    def _serve_all(self) -> bool:
        acted = False
        self._inputs.follow(self._member.state.open_sessions())
        is_open = self._member.state.mode is RingMode.QUERY
        may_open = is_open and not self._arranger.is_due()
        for session in self._member.open_sessions():
            acted = self._begin(session, may_open=may_open) or acted
        if self._settler is not None and is_open:
            self._settler.act(self._member.state.open_sessions())
        self._forget_ended()
        self._tell_who_waits()
        return acted

    def _begin(self, session: Session, *, may_open: bool) -> bool:
        """Begins the query's turn, if anything is due as far as the loop knows."""
        if not self.lanes.is_free(session):
            return False  # What is asked then must be of use: that a hop is overdue is told once a second.
        service = self.service_of(session, may_open=may_open)
        if next_action(service) is None:
            return False
        return self.lanes.run(session, lambda _session: self._pursue(service))

    def service_of(self, session: Session, *, may_open: bool) -> Service:
        """What is known of a query when its turn begins.

        Args:
            session: the query.
            may_open: the arrangement in force takes new routes.
        """
        return Service(
            mode=self._member.state.mode,
            session=session,
            may_open=may_open,
            is_next=self._inputs.is_next(session),
            is_overdue=self._is_overdue(session),
            waited=self._referee.waited(session) if session.phase is QueryPhase.DISPUTED else 0.0,
            is_ahead=self._member.posting.is_ahead(session),
            is_held=self._settler is not None and self._settler.holds(session),
        )

    def _forget_ended(self) -> None:
        still_open = {session.query for session in self._member.state.open_sessions()}
        self._referee.keep_only(still_open)
        self.lanes.keep_only(still_open)
        for query in self._waiting.keys() - still_open:
            del self._waiting[query]

    def _tell_who_waits(self) -> None:
        room, troubles = self._inputs.room, self._member.metrics.troubles
        if waiting := room.waiting:
            served = f"queries of {room.taken >> 20} MiB are served, at most {room.limit >> 20}"
            troubles[ROOM] = f"query {waiting[0][0]}, and those after it, wait for room: {served}; raise --serve-mib"
        else:
            troubles.pop(ROOM, None)

    def _is_overdue(self, session: Session) -> bool:
        """Whether the hop that is due has had its time: once a second from then on."""
        now = self._clock()
        # What was relayed is settled after a while: then the ledger's clock begins anew, and so does this one.
        progress = (session.trail, session.attempt, session.touched_block)
        known = self._waiting.get(session.query)
        if known is None or known[0] != progress:
            self._waiting[session.query] = (progress, now + self._member.client.hop_seconds)
            return False
        if now <= known[1]:
            return False
        self._waiting[session.query] = (progress, now + TIMEOUT_RETRY_SECONDS)
        return True
