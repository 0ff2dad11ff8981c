"""How the ouroboros does what `protocol.decide.serving` decides for one query: hop 0, delivery, complaint, timeout."""

from __future__ import annotations

import logging
from dataclasses import replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.ouroboros.referee import Referee
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.relay.settler import Settler
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.hop import Received, SettleFirst
from deepring_chain.protocol.decide.routing import route_links
from deepring_chain.protocol.decide.serving import (
    Complain,
    Deed,
    Deliver,
    EnterInput,
    Judge,
    OpenRoute,
    Question,
    ReadInput,
    ReceiveOutput,
    Reject,
    Service,
    TimeOut,
    next_action,
)
from deepring_chain.protocol.envelope import Answer, answer_context, hop_context, seal_output
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
    NO_BLOB,
    NO_ROUTE,
    ZERO,
    Complaint,
    ComplaintKind,
    Delivery,
    Hop,
    RejectReason,
    SignedUpdate,
    TensorBytes,
)

LOG = logging.getLogger(__name__)


class QueryExecutor:
    """Answers the questions and does the deeds of one query's turn. Several turns may run at once, on other threads.

    Args:
        member: keys and connections.
        owner: the checkpoint.
        inputs: opens the queries' inputs.
        router: draws routes.
        referee: judges disputes.
        settler: settles hops and answers in batches; None if each has a transaction of its own.
    """

    def __init__(
        self,
        member: Member,
        owner: ModelOwner,
        inputs: QueryInputs,
        router: Router,
        referee: Referee,
        settler: Settler | None,
    ) -> None:
        self._member = member
        self._owner = owner
        self._inputs = inputs
        self._router = router
        self._referee = referee
        self._settler = settler

    def _pursue(self, service: Service) -> bool:
        """Finds out what the turn needs, then does what is due; returns whether it did anything."""
        session = service.session
        if not isinstance(next_action(service), EnterInput | ReceiveOutput):
            return self._answer_until_done(service)
        with self._member.metrics.timings.turn(session.query, session.attempt, session.next_hop):
            return self._answer_until_done(service)

    def _answer_until_done(self, service: Service) -> bool:
        while isinstance(action := next_action(service), Question):
            service = self._answer(service, action)
        return self._do(service, action)

    def _answer(self, service: Service, question: Question) -> Service:
        match question:
            case ReadInput():
                return replace(service, input=self._inputs.read(service.session))
            case ReceiveOutput():
                return replace(service, received=self._find_received(service.session))

    def _do(self, service: Service, deed: Deed | None) -> bool:
        session = service.session
        match deed:
            case None:
                return False
            case Judge():
                return self._referee.act(session, service.waited)
            case Reject(reason):
                return self._reject(session, reason)
            case OpenRoute():
                self._router.open_next(session)
                return True
            case EnterInput():
                return self._post_input_in_time(service)
            case SettleFirst():
                return self._member.posting.settle_first(session)
            case TimeOut():
                return self._time_out(session)
            case Deliver(output):
                return self._deliver(session, output)
            case Complain(kind, reason):
                return self._complain(session, kind, reason)

    # ------------------------------------------------------------------ query and liveness

    def _reject(self, session: Session, reason: RejectReason) -> bool:
        LOG.warning("query %d: rejected (%s)", session.query, reason.name)
        self._member.client.reject_query(session.query, self._member.shown(session), reason)
        return True

    def _time_out(self, session: Session) -> bool:
        self._member.client.time_out(session.query, self._member.shown(session))
        LOG.error("query %d: hop %d was not posted in time", session.query, session.next_hop)
        return True

    # ------------------------------------------------------------------ hop 0

    def _post_input_in_time(self, service: Service) -> bool:
        try:
            return self._post_input(service.session)
        except LedgerReverted as refusal:
            action = next_action(replace(service, refusal=refusal.name))
            if not isinstance(action, Deed):
                raise
        return self._do(service, action)

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

    def _find_received(self, session: Session) -> Received:
        """What the last hop sent, or what is wrong with it."""
        try:
            return Received(self._receive(session))
        except BlobFault as error:
            return Received(fault=ComplaintKind.MISSING, reason=str(error))
        except ProtocolError as error:
            return Received(fault=ComplaintKind.UNREADABLE, reason=str(error))

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
        answer = Answer(output, hop_key(self._router.draw_of(session).commitment_key, Hop(session.hops)))
        place = answer_context(self._member.client.domain, session.query, session.sealing_key)

        def seal() -> bytes:
            return answer.seal(session.sealing_key, place)

        pointer, _ = self._member.store.put_sealed(seal(), seal)
        return closing_delivery(session, pointer, commit_output(answer.commitment_key, output))

    def _complain(self, session: Session, kind: ComplaintKind, reason: str) -> bool:
        LOG.error("query %d: %s; complaint posted", session.query, reason)
        made = Complaint(session.query, session.attempt, Hop(session.hops), kind, NO_BLOB, session.trail)
        key = f"complaint/{session.query}/{session.attempt}/{session.trail.hex()}"
        complaint, signature = self._member.sign_once(key, lambda: made, Complaint)
        self._member.client.complain(self._member.shown(session), complaint, ZERO, NO_ROUTE, signature)
        self._member.metrics.complained(kind)
        return True
