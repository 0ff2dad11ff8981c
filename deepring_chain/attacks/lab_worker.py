"""A worker that misbehaves on order, once, and is honest otherwise: the liars that the protocol must catch."""

from __future__ import annotations

import logging
import os
import threading

import torch

from deepring_chain.actors.member import Member
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.attacks.input_noise import add_input_noise
from deepring_chain.attacks.orders import MEMORY_LIES, LabOrder, Lie, take_order, take_tensors
from deepring_chain.attacks.overwrite import overwrite_memory
from deepring_chain.crypto.digest import sha256
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.protocol.envelope import hop_context, seal_output
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.types import ComplaintKind, Digest, OutputCommitment, Pointer, SignedUpdate, TensorBytes

LOG = logging.getLogger(__name__)


COMPLAINTS = frozenset({Lie.FALSE_COMPLAINT, Lie.COMPLAINT_WITHOUT_KEY})


class LabWorker(Worker):
    """Reads orders from its folder (`attacks.orders`)."""

    def __init__(self, member: Member, block: Block, device: torch.device) -> None:
        super().__init__(member, block, device)
        self._order: LabOrder | None = None
        self._taking = threading.Lock()

    def act(self) -> bool:
        """Takes an order if there is one, then does what a worker does."""
        order = take_order(self._block.folder)
        if order is not None:
            LOG.warning("lab order: %s", order.lie.value)
            self._order = order
        self._tamper_if_ordered()
        return super().act()

    def _obeys(self, *lies: Lie) -> bool:
        """Whether one of `lies` is the order; it is followed once, by the first query that comes to it."""
        order = self._order
        if order is None or order.lie not in lies:
            return False
        with self._taking:
            if self._order is not order:
                return False
            self._order = None
        return True

    def _tamper_if_ordered(self) -> None:
        order, layers = self._order, self._block.layers
        if order is None or layers is None or not self._obeys(*MEMORY_LIES):
            return
        live = (layers.own, layers.following)
        if order.lie is Lie.OVERWRITE_MEMORY:
            overwrite_memory(live, take_tensors(self._block.folder))
        else:
            flip_memory_bits(live, order.flips or ((order.tensor, order.bit),))

    def _compute_turn(self, session: Session, note: RouteNote, layers: BlockLayers) -> SignedUpdate | None:
        if self._order is not None and self._order.lie is Lie.SILENCE:
            # Until the process is started again or another order comes.
            return None
        if self._order is not None and self._order.lie in COMPLAINTS and self._member.posting.settle_first(session):
            # Like an honest complaint, a false one is taken of what the ledger knows: it waits until then.
            return None
        if self._obeys(Lie.FALSE_COMPLAINT):
            self._complain(session, note, ComplaintKind.ALTERED, "a lie")
            return None
        if self._obeys(Lie.COMPLAINT_WITHOUT_KEY):
            self._complain(session, note, ComplaintKind.UNREADABLE, "a lie", key=os.urandom(32))
            return None
        return super()._compute_turn(session, note, layers)

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        received, order = super()._receive(session, note), self._order
        if order is not None and self._obeys(Lie.NOISY_INPUT):
            return add_input_noise(received, order.steps, order.seed)
        return _perturbed(received) if self._obeys(Lie.PERTURBED_INPUT) else received

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        own, after = super()._commitments(note, output, following)
        return own, OutputCommitment(Digest(os.urandom(32))) if self._obeys(Lie.BOGUS_NEXT) else after

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        if self._obeys(Lie.ECHO):
            return super()._send_output(session, note, _perturbed(output))
        place = hop_context(self._member.client.domain, session.query, session.attempt, note.hop)
        envelope = seal_output(note.next_sealing_key, output, place)
        if self._obeys(Lie.MISSING_BLOB):
            return Pointer(sha256(envelope))
        if self._obeys(Lie.TRUNCATED_BLOB):
            return self._member.store.put(envelope[: len(envelope) // 2])
        wrapped_key, ciphertext = decode_fields(envelope, "envelope", [bytes, bytes])
        if self._obeys(Lie.GARBAGE_KEY):
            return self._member.store.put(encode_fields("envelope", [os.urandom(len(wrapped_key)), ciphertext]))
        if self._obeys(Lie.GARBAGE_CIPHERTEXT):
            return self._member.store.put(encode_fields("envelope", [wrapped_key, os.urandom(len(ciphertext))]))
        return super()._send_output(session, note, output)


def _perturbed(tensor: TensorBytes) -> TensorBytes:
    """Every element's sign bit flipped in the first quarter: a change that no later layer can swallow unnoticed."""
    count = max(1, len(tensor.data) // 4)
    changed = bytes(byte ^ 0x80 for byte in tensor.data[:count]) + tensor.data[count:]
    return TensorBytes(tensor.dtype, tensor.shape, changed)
