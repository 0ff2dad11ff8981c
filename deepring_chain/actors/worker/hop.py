"""How a worker does what `protocol.decide.hop` decides for one query: receive, compute, send, complain, put back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch

from deepring_chain.actors.member import Member
from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.outbox import Outbox
from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.model.layer import Layer, check_input, run_layer
from deepring_chain.protocol.decide.hop import (
    Complain,
    Compute,
    Deed,
    HandIn,
    OpenNotes,
    PutBack,
    Question,
    Recall,
    Recalled,
    Receive,
    Received,
    SettleFirst,
    Turn,
)
from deepring_chain.protocol.envelope import hop_context, seal_content, seal_output
from deepring_chain.protocol.notes import open_notes
from deepring_chain.protocol.restore import complaint_context
from deepring_chain.protocol.route import RouteNote, route_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import decode_signed_update, encode_signed_update, next_update, sign_update
from deepring_chain.protocol.validation import UnexpectedOutput
from deepring_chain.store.content import BlobFault
from deepring_chain.telemetry.metrics import Phase
from deepring_chain.types import (
    Complaint,
    ComplaintKind,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    SignedUpdate,
    TensorBytes,
)

LOG = logging.getLogger(__name__)


class HopExecutor:
    """Answers the questions and does the deeds of one query's turn. Several turns may run at once, on other threads.

    Args:
        member: keys and connections.
        block: the parameters.
        device: where layers are computed.
    """

    def __init__(self, member: Member, block: Block, device: torch.device) -> None:
        self._member = member
        self._block = block
        self._device = device
        self._outbox = Outbox(block.folder / "outbox" / member.client.domain.ledger)
        # One layer at a time: queries that compute side by side would only take each other's cores.
        self._compute = ThreadPool(1, "compute")

    def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
        """The turn with the answer; None gives the turn up."""
        session = turn.session
        match question:
            case OpenNotes():
                return replace(turn, notes=self._open_notes(session))
            case Recall():
                return replace(turn, recalled=Recalled(self._recall(session)))
            case Receive(note):
                return replace(turn, received=self._find_received(session, note, layers))
            case Compute(note, received):
                signed = self._compute_hop(session, note, received, layers)
                return replace(turn, recalled=Recalled(signed))

    def _do(self, turn: Turn, deed: Deed) -> bool:
        session = turn.session
        match deed:
            case PutBack(blob):
                return self._put_back(session, blob)
            case SettleFirst():
                return self._member.posting.settle_first(session)
            case HandIn(signed):
                return self._hand_in(session, signed)
            case Complain(note, kind, reason):
                return self._complain(session, note, kind, reason)

    def _open_notes(self, session: Session) -> tuple[RouteNote, ...]:
        info = route_context(self._member.client.domain, session.query, session.attempt)
        key = self._member.sealing_key(session.arrangement)
        opened = open_notes(self._member.store.get(session.notes), key, info)
        return tuple(RouteNote.decode(note) for note in opened)

    # ------------------------------------------------------------------ one hop

    def _recall(self, session: Session) -> SignedUpdate | None:
        recorded = self._member.journal.read(_update_key(session))
        return None if recorded is None else decode_signed_update(recorded)

    def _find_received(self, session: Session, note: RouteNote, layers: BlockLayers | None) -> Received:
        """What the hop before sent, or what is wrong with it."""
        try:
            tensor = self._receive(session, note)
            if layers is not None:
                check_input(layers.own, tensor)
        except BlobFault as error:
            return Received(fault=ComplaintKind.MISSING, reason=str(error))
        except UnexpectedOutput as error:
            return Received(fault=ComplaintKind.ALTERED, reason=str(error))
        except (ProtocolError, ModelError) as error:
            # The second: two neighbors agreed on a tensor that no layer can take, and would let this one time out.
            return Received(fault=ComplaintKind.UNREADABLE, reason=str(error))
        return Received(tensor)

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        """Opens what the layer before sent (eq. 9-11), and holds it against its commitment."""
        hop = Hop(note.hop - 1)
        previous = session.updates[hop]
        if previous.signer != note.predecessor:
            raise ProtocolError(f"query {session.query}, hop {hop}: {previous.signer} is not its layer")
        update = previous.signed.update
        key = self._member.sealing_key(session.arrangements[update.attempt])
        return self._member.read_output(update, key, note.previous_key, note.items)

    def _compute_hop(
        self, session: Session, note: RouteNote, received: TensorBytes, layers: BlockLayers | None
    ) -> SignedUpdate:
        """The signed update, recorded before it leaves."""
        if layers is None:
            raise ModelError("own parameters are damaged; waiting for the ring to restore them")
        made = encode_signed_update(self._execute(session, note, received, layers))
        return decode_signed_update(self._member.journal.record_once(_update_key(session), lambda: made))

    def _execute(self, session: Session, note: RouteNote, received: TensorBytes, layers: BlockLayers) -> SignedUpdate:
        output = self._compute.submit(lambda: self._run_layer(layers.own, received)).result()
        # The envelope is sealed and written while the next layer is computed; nothing is signed before both are done.
        following = self._compute.submit(lambda: self._run_layer(layers.following, output))
        envelope = self._send_output(session, note, output)
        update = next_update(session, envelope, *self._commitments(note, output, following.result()))
        self._member.metrics.computed_hop()
        domain = self._member.client.domain
        return sign_update(self._member.keys.account, domain, update, note.salt, note.next_route)

    def _run_layer(self, layer: Layer, tensor: TensorBytes) -> TensorBytes:
        with self._member.metrics.phase(Phase.COMPUTE):
            return run_layer(layer, tensor, self._device)

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        """O_i's own commitment, and H_i (eq. 8)."""
        return commit_output(note.own_key, output), commit_output(note.next_key, following)

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        place = hop_context(self._member.client.domain, session.query, session.attempt, note.hop)

        def seal() -> bytes:
            return seal_output(note.next_sealing_key, output, place)

        with self._member.metrics.phase(Phase.SEAL):
            envelope = seal()
        with self._member.metrics.phase(Phase.STORE):
            return self._store_kept(session.query, envelope, seal)

    def _store_kept(self, query: QueryId, sealed: bytes, seal: Callable[[], bytes]) -> Pointer:
        """Puts a blob into the store, and keeps a copy: nobody else has it."""
        digest, blob = self._member.store.put_sealed(sealed, seal)
        self._outbox.keep(query, digest, blob)
        return digest

    def _hand_in(self, session: Session, signed: SignedUpdate) -> bool:
        with self._member.metrics.phase(Phase.POST):
            is_posted = self._member.posting.hand_in(session, signed)
        if is_posted:
            LOG.info("query %d: hop %d posted", session.query, signed.update.hop)
        return True

    # ------------------------------------------------------------------ disputes

    def _complain(
        self, session: Session, note: RouteNote, kind: ComplaintKind, reason: str, key: bytes | None = None
    ) -> bool:
        """Disputes what the hop before sent, and shows the ouroboros the key with which to see for itself."""
        LOG.error("query %d: hop %d: %s; complaint posted", session.query, note.hop - 1, reason)
        place = f"complaint/{session.query}/{session.attempt}/{session.trail.hex()}"
        complaint, signature = self._member.sign_once(
            place, lambda: self._make_complaint(session, note, kind, key), Complaint
        )
        self._member.client.complain(self._member.shown(session), complaint, note.salt, note.next_route, signature)
        self._member.metrics.complained(kind)
        return True

    def _make_complaint(self, session: Session, note: RouteNote, kind: ComplaintKind, key: bytes | None) -> Complaint:
        sent = session.updates[Hop(note.hop - 1)].signed.update
        revealed = key or self._member.sealing_key(session.arrangements[sent.attempt]).private_bytes_raw()
        place = complaint_context(self._member.client.domain, session.query, session.attempt, note.hop)
        owner = self._member.state.sealing_keys[self._member.client.ouroboros]

        def seal() -> bytes:
            return seal_content(owner, revealed, place)

        evidence = self._store_kept(session.query, seal(), seal)
        return Complaint(session.query, session.attempt, note.hop, kind, evidence, session.trail)

    def _put_back(self, session: Session, owed: Pointer) -> bool:
        """Puts a blob back into the store, if it is gone, and here is a copy."""
        blob = self._outbox.fetch(session.query, owed)
        if blob is None or self._member.store.has_good(owed):
            return False
        self._member.store.put(blob)
        LOG.warning("query %d: the store had lost %s; put back", session.query, owed.hex())
        return True


def _update_key(session: Session) -> str:
    return f"update/{session.query}/{session.attempt}/{session.next_hop}/{session.trail.hex()}"
