"""The ouroboros: the model's owner, start and end of every query (paper 3.3, 3.4.1-3.4.3)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

import torch

from deepring_chain.actors.arranger import Arranger
from deepring_chain.actors.draws import RouteDraw
from deepring_chain.actors.member import Member
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.crypto.sealing import SealBroken
from deepring_chain.crypto.signing import sign_message
from deepring_chain.errors import ProtocolError
from deepring_chain.model.layer import Layer, run_layer
from deepring_chain.protocol.envelope import (
    Answer,
    answer_context,
    hop_context,
    open_output,
    query_context,
    seal_content,
    seal_output,
)
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.route import RouteNote, build_route, route_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import (
    closing_delivery,
    decode_signed_update,
    encode_signed_update,
    next_update,
    sign_update,
)
from deepring_chain.protocol.validation import check_received
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge
from deepring_chain.types import (
    Address,
    Attempt,
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


class WrongShape(ProtocolError):
    """A query's input does not fit the model."""


class Ouroboros:
    """Acts on the ledger's events: arranges, opens routes, is hop 0 and the final receiver.

    Args:
        member: keys and connections.
        layers: the checkpoint's layers 0..n, layer 0 being the identity.
        layer_of: which layer each worker serves.
        item_shape: shape of one input of the model.
        device: where layer 1 is computed for hop 0's H.
        arranger: seats the ring.
    """

    def __init__(
        self,
        member: Member,
        layers: Sequence[Layer],
        layer_of: Mapping[Address, int],
        item_shape: tuple[int, ...],
        device: torch.device,
        arranger: Arranger,
    ) -> None:
        self._member = member
        self._layers = layers
        self._worker_of = {layer: address for address, layer in layer_of.items()}
        self._item_shape = item_shape
        self._device = device
        self._arranger = arranger
        self._inputs: dict[QueryId, TensorBytes] = {}

    def act(self) -> bool:
        """Does everything that is due now; returns whether it did anything."""
        if self._arranger.act():
            return True
        if self._member.state.mode is not RingMode.QUERY:
            return False
        acted = False
        for session in self._member.state.open_sessions():
            acted = self._serve(session) or acted
        return acted

    def _serve(self, session: Session) -> bool:
        if session.phase is QueryPhase.SUBMITTED:
            return not self._arranger.is_due() and self._accept(session)
        if session.phase is QueryPhase.ROUTED and session.next_hop == 0:
            return self._post_input(session)
        if session.phase is QueryPhase.COMPUTED:
            return self._deliver(session)
        return False

    # ------------------------------------------------------------------ query and route

    def _accept(self, session: Session) -> bool:
        reason = self._check_input(session)
        if reason is not None:
            LOG.warning("query %d: rejected (%s)", session.query, reason.name)
            self._send(lambda: self._member.client.reject_query(session.query, reason))
            return True
        draw = self._draw_of(session, Attempt(1))
        link = build_route(draw.signers, draw.salts)[0]
        self._send(lambda: self._member.client.open_route(session.query, link, draw.notes))
        LOG.info("query %d: route opened", session.query)
        return True

    def _check_input(self, session: Session) -> RejectReason | None:
        try:
            self._input_of(session)
        except (BlobMissing, BlobCorrupt, BlobTooLarge):
            return RejectReason.BLOB_UNAVAILABLE
        except WrongShape:
            return RejectReason.WRONG_SHAPE
        except SealBroken:
            return RejectReason.UNDECRYPTABLE
        except ProtocolError:
            return RejectReason.MALFORMED
        return None

    def _input_of(self, session: Session) -> TensorBytes:
        """O_0: the query's input, opened once."""
        if session.query not in self._inputs:
            blob = self._member.store.get(session.sealed_input)
            place = query_context(self._member.client.domain, session.querent, session.sealing_key)
            tensor = open_output(self._member.keys.sealing, blob, place)
            if tensor.dtype != "int8" or tensor.shape[1:] != self._item_shape:
                raise WrongShape(f"query {session.query}: input {tensor.dtype}{list(tensor.shape)}")
            self._inputs[session.query] = tensor
        return self._inputs[session.query]

    def _draw_of(self, session: Session, attempt: Attempt) -> RouteDraw:
        key = f"route/{session.query}/{attempt}/{session.sealed_input.hex()}"
        drawn = self._member.journal.record_once(key, lambda: self._draw(session, attempt).encode())
        return RouteDraw.decode(drawn)

    def _draw(self, session: Session, attempt: Attempt) -> RouteDraw:
        signers = [self._member.keys.address]
        signers += [self._worker_of[layer] for layer in range(1, len(self._layers))]
        salts = [Digest(secrets.token_bytes(32)) for _ in signers]
        commitment_key = Digest(secrets.token_bytes(32))
        links = build_route(signers, salts)
        notes = [
            (self._attested_key(signers[hop]), self._note(hop, signers, salts, links, commitment_key).encode())
            for hop in range(1, len(signers))
        ]
        info = route_context(self._member.client.domain, session.query, attempt)
        blob = self._member.store.put(seal_notes(notes, info, self._member.rng))
        return RouteDraw(tuple(signers), tuple(salts), commitment_key, blob)

    def _note(
        self, hop: int, signers: Sequence[Address], salts: Sequence[Digest], links: Sequence[Digest], key: Digest
    ) -> RouteNote:
        receiver = signers[(hop + 1) % len(signers)]
        return RouteNote(
            hop=Hop(hop),
            salt=salts[hop],
            next_route=links[hop + 1],
            predecessor=signers[hop - 1],
            next_sealing_key=self._attested_key(receiver),
            previous_key=hop_key(key, Hop(hop - 1)),
            own_key=hop_key(key, Hop(hop)),
            next_key=hop_key(key, Hop(hop + 1)),
        )

    def _attested_key(self, member: Address) -> Digest:
        arrangement = self._member.state.arrangement
        key = arrangement.sealing_key_of(member) if arrangement else None
        if key is None:
            raise ProtocolError(f"{member} has not attested in this arrangement")
        return key

    # ------------------------------------------------------------------ hop 0

    def _post_input(self, session: Session) -> bool:
        key = f"update/{session.query}/{session.attempt}/0/{session.trail.hex()}"
        recorded = self._member.journal.record_once(key, lambda: encode_signed_update(self._enter(session)))
        self._send(lambda: self._member.client.post_update(decode_signed_update(recorded)))
        LOG.info("query %d: hop 0 posted", session.query)
        return True

    def _enter(self, session: Session) -> SignedUpdate:
        draw = self._draw_of(session, session.attempt)
        entered = run_layer(self._layers[0], self._input_of(session), self._device)
        following = run_layer(self._layers[1], entered, self._device)
        place = hop_context(self._member.client.domain, session.query, session.attempt, Hop(0))
        envelope = self._member.store.put(seal_output(self._attested_key(draw.signers[1]), entered, place))
        own, after = (hop_key(draw.commitment_key, Hop(hop)) for hop in (0, 1))
        update = next_update(session, envelope, commit_output(own, entered), commit_output(after, following))
        rest = build_route(draw.signers, draw.salts)[1]
        return sign_update(self._member.keys.account, self._member.client.domain, update, draw.salts[0], rest)

    # ------------------------------------------------------------------ delivery

    def _deliver(self, session: Session) -> bool:
        output = self._receive(session)
        draw = self._draw_of(session, session.attempt)
        answer_key = hop_key(draw.commitment_key, Hop(session.hops))
        place = answer_context(self._member.client.domain, session.query, session.sealing_key)
        blob = seal_content(session.sealing_key, Answer(output, answer_key).encode(), place)
        delivery = closing_delivery(session, self._member.store.put(blob), commit_output(answer_key, output))
        signature = sign_message(self._member.keys.account, self._member.client.domain, delivery)
        self._send(lambda: self._member.client.deliver(delivery, signature))
        self._inputs.pop(session.query, None)
        LOG.info("query %d: answer delivered", session.query)
        return True

    def _receive(self, session: Session) -> TensorBytes:
        """Opens the last layer's output and checks it as every recipient does."""
        last = Hop(session.hops - 1)
        update = session.updates[last].signed.update
        place = hop_context(self._member.client.domain, session.query, update.attempt, last)
        key = self._member.sealing_key(session.arrangement)
        output = open_output(key, self._member.store.get(update.envelope), place)
        draw = self._draw_of(session, session.attempt)
        check_received(session.query, last, output, hop_key(draw.commitment_key, last), update.output)
        return output

    def _send(self, transaction: Callable[[], object]) -> None:
        """Sends; what the ledger has already taken (before a restart, say) is no error."""
        try:
            transaction()
        except LedgerReverted as refusal:
            if refusal.name not in {"UnexpectedPhase", "UnexpectedHop"}:
                raise
