"""The ouroboros: the model's owner, start and end of every query (paper 3.3, 3.4.1-3.4.3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from deepring_chain.actors.guard import OVERTAKEN
from deepring_chain.actors.lanes import QueryLanes, Step
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.inputs import QueryInputs, WrongShape
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.ouroboros.referee import Referee
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.ouroboros.tracker import Tracker
from deepring_chain.actors.relay.settler import Settler
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.crypto.sealing import SealBroken, is_usable_key
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.routing import route_links
from deepring_chain.protocol.envelope import (
    Answer,
    answer_context,
    hop_context,
    seal_content,
    seal_output,
)
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import (
    closing_delivery,
    decode_signed_update,
    encode_signed_update,
    next_update,
    sign_update,
)
from deepring_chain.store.content import BlobFault
from deepring_chain.telemetry.metrics import Phase
from deepring_chain.types import (
    ZERO,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Hop,
    QueryId,
    QueryPhase,
    RejectReason,
    RingMode,
    SignedUpdate,
    TensorBytes,
)

LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 16
"""A query that failed so often is turned down: the ring has no worker that can serve it."""

TIMEOUT_RETRY_SECONDS = 1.0

ROOM = "room"
"""What is in trouble when queries wait for others to end."""


class Ouroboros:
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
        lanes: where the queries' steps run. What concerns the whole ring is done where `act` is called.
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
        auditors: Callable[[], Sequence[Digest]] = tuple,
        settler: Settler | None = None,
    ) -> None:
        self._member = member
        self._owner = owner
        self._router = router
        self._arranger = arranger
        self._tracker = tracker
        self._inputs = inputs
        self._referee = Referee(member, router, inputs, clock, auditors)
        self._clock = clock
        self._settler = settler
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
        may_open = self._member.state.mode is RingMode.QUERY and not self._arranger.is_due()
        for session in self._member.open_sessions():
            step = self._due_step(session, may_open=may_open)
            acted = (step is not None and self.lanes.run(session, step)) or acted
        if self._settler is not None and self._member.state.mode is RingMode.QUERY:
            self._settler.act(self._member.state.open_sessions())
        self._forget_ended()
        self._tell_who_waits()
        return acted

    def _due_step(self, session: Session, *, may_open: bool) -> Step | None:
        """What the ouroboros has to do for a query; decided here for all of them, in one thread."""
        if session.phase is QueryPhase.DISPUTED:
            return self._referee.act
        if self._member.state.mode is not RingMode.QUERY:
            return None
        match session.phase:
            case QueryPhase.SUBMITTED:
                return self._open if may_open and self._inputs.is_next(session) else None
            case QueryPhase.INTERRUPTED:
                return self._open if may_open else None
            case QueryPhase.ROUTED if session.next_hop == 0:
                return self._post_input_in_time
            case QueryPhase.ROUTED:
                return self._time_out if self._is_overdue(session) else None
            case QueryPhase.COMPUTED:
                return None if self._settler is not None and self._settler.holds(session) else self._finish
        return None

    # ------------------------------------------------------------------ query and route

    def _open(self, session: Session) -> bool:
        reason = self._check_input(session)
        if session.attempt >= MAX_ATTEMPTS:
            reason = RejectReason.RING_FAULTY
        if reason is None and not self._inputs.is_served(session):
            return False  # It waits for room.
        if reason is None:
            self._router.open_next(session)
        else:
            LOG.warning("query %d: rejected (%s)", session.query, reason.name)
            self._member.client.reject_query(session.query, self._member.shown(session), reason)
        return True

    def _check_input(self, session: Session) -> RejectReason | None:
        try:
            if not self._inputs.admit(session):
                return None
            self._inputs.input_of(session)
            if not is_usable_key(session.sealing_key):
                return RejectReason.MALFORMED
        except BlobFault:
            return RejectReason.BLOB_UNAVAILABLE
        except WrongShape:
            return RejectReason.WRONG_SHAPE
        except SealBroken:
            return RejectReason.UNDECRYPTABLE
        except ProtocolError:
            return RejectReason.MALFORMED
        return None

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

    # ------------------------------------------------------------------ liveness

    def _is_overdue(self, session: Session) -> bool:
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

    def _time_out(self, session: Session) -> bool:
        if self._member.posting.settle_first(session):
            return True  # The ledger blames the hop that it waits for: it must know all that came before.
        self._member.client.time_out(session.query, self._member.shown(session))
        LOG.error("query %d: hop %d was not posted in time", session.query, session.next_hop)
        return True

    # ------------------------------------------------------------------ hop 0

    def _post_input_in_time(self, session: Session) -> bool:
        """Only a timeout ends the attempt where the ouroboros was away since it opened the route, or may not sign anew.

        What it signed for this place stays what it signed, also after a reorganization that gave the query another
        route in another arrangement: that entry no longer fits, and nobody else can post hop 0.
        """
        try:
            with self._member.metrics.timings.turn(session.query, session.attempt, Hop(0)):
                return self._post_input(session)
        except LedgerReverted as refusal:
            if refusal.name != "DeadlinePassed" and not self._is_overdue(session):
                raise
        self._member.client.time_out(session.query, self._member.shown(session))
        LOG.error("query %d: hop 0 was not posted in time", session.query)
        return True

    def _post_input(self, session: Session) -> bool:
        key = f"update/{session.query}/{session.attempt}/0/{session.trail.hex()}"
        recorded = self._member.journal.record_once(key, lambda: encode_signed_update(self._enter(session)))
        with self._member.metrics.phase(Phase.POST):
            self._member.posting.hand_in(session, decode_signed_update(recorded))
        LOG.info("query %d: hop 0 posted", session.query)
        return True

    def _enter(self, session: Session) -> SignedUpdate:
        draw = self._router.draw_of(session)
        self._owner.verify_layer(1)
        metrics = self._member.metrics
        with metrics.phase(Phase.COMPUTE):
            entered = self._owner.run_layer(0, self._inputs.input_of(session))
            following = self._owner.run_layer(1, entered)
        place = hop_context(self._member.client.domain, session.query, session.attempt, Hop(0))

        def seal() -> bytes:
            return seal_output(draw.keys[1], entered, place)

        with metrics.phase(Phase.SEAL):
            sealed = seal()
        with metrics.phase(Phase.STORE):
            envelope, _ = self._member.store.put_sealed(sealed, seal)
        metrics.computed_hop()
        own, after = (hop_key(draw.commitment_key, Hop(hop)) for hop in (0, 1))
        update = next_update(session, envelope, commit_output(own, entered), commit_output(after, following))
        rest = route_links(draw)[1]
        return sign_update(self._member.keys.account, self._member.client.domain, update, draw.salts[0], rest)

    # ------------------------------------------------------------------ delivery

    def _finish(self, session: Session) -> bool:
        """Takes the last layer's output as every recipient does: delivers it, or complains."""
        with self._member.metrics.timings.turn(session.query, session.attempt, Hop(session.hops)):
            return self._deliver_or_complain(session)

    def _deliver_or_complain(self, session: Session) -> bool:
        try:
            output = self._receive(session)
        except BlobFault:
            return self._complain(session, ComplaintKind.MISSING)
        except ProtocolError as error:
            LOG.error("query %d: %s", session.query, error)  # noqa: TRY400 - one line is the point
            return self._complain(session, ComplaintKind.UNREADABLE)
        return self._deliver(session, output)

    def _receive(self, session: Session) -> TensorBytes:
        last = Hop(session.hops - 1)
        update = session.updates[last].signed.update
        key = self._member.sealing_key(session.arrangements[update.attempt])
        own = hop_key(self._router.draw_of(session).commitment_key, last)
        output = self._member.read_output(update, key, own, session.items)
        self._owner.check_output(output)
        return output

    def _deliver(self, session: Session, output: TensorBytes) -> bool:
        key = f"delivery/{session.query}/{session.attempt}/{session.trail.hex()}"
        signed = self._member.sign_once(key, lambda: self._close(session, output), Delivery)
        if self._settler is not None:
            self._settler.hold(session, *signed)
            return True
        with self._member.metrics.phase(Phase.POST):
            self._member.client.deliver(self._member.shown(session), *signed)
        LOG.info("query %d: answer delivered", session.query)
        return True

    def _close(self, session: Session, output: TensorBytes) -> Delivery:
        answer_key = hop_key(self._router.draw_of(session).commitment_key, Hop(session.hops))
        place = answer_context(self._member.client.domain, session.query, session.sealing_key)

        def seal() -> bytes:
            return seal_content(session.sealing_key, Answer(output, answer_key).encode(), place)

        answer, _ = self._member.store.put_sealed(seal(), seal)
        return closing_delivery(session, answer, commit_output(answer_key, output))

    def _complain(self, session: Session, kind: ComplaintKind) -> bool:
        if self._member.posting.settle_first(session):
            return True  # The ledger takes a complaint of what it knows; the next look finds the same reason.
        made = Complaint(session.query, session.attempt, Hop(session.hops), kind, ZERO, session.trail)
        key = f"complaint/{session.query}/{session.attempt}/{session.trail.hex()}"
        complaint, signature = self._member.sign_once(key, lambda: made, Complaint)
        self._member.client.complain(self._member.shown(session), complaint, ZERO, ZERO, signature)
        self._member.metrics.complained(kind)
        return True
