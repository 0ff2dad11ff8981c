"""A worker that misbehaves on order, once, and is honest otherwise: the liars that the protocol must catch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

import torch

from deepring_chain.actors.member import Member
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.lie import LieKind
from deepring_chain.attacks.lies import LIES
from deepring_chain.attacks.orders import LabOrder, take_order, take_tensors
from deepring_chain.protocol.decide.hop import Question, Receive, Turn
from deepring_chain.protocol.envelope import hop_context, seal_output
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.types import OutputCommitment, Pointer, TensorBytes

LOG = logging.getLogger(__name__)

_Hook = TypeVar("_Hook")


class LabWorker(Worker):
    """Reads orders from its folder (`attacks.orders`), and does what their lies say (`attacks.lies`)."""

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

    @property
    def _lie(self) -> LieKind | None:
        """What was ordered and is not done yet."""
        return LIES[self._order.lie.value] if self._order is not None else None

    def _obeyed(self, hook_of: Callable[[LieKind], _Hook | None]) -> tuple[_Hook, LabOrder] | None:
        """What the order does here, if anything; it is followed once, by the first query that comes to it."""
        order = self._order
        hook = hook_of(LIES[order.lie.value]) if order is not None else None
        if order is None or hook is None:
            return None
        with self._taking:
            if self._order is not order:
                return None
            self._order = None
        return hook, order

    def _tamper_if_ordered(self) -> None:
        layers = self._block.layers
        if layers is None or (obeyed := self._obeyed(lambda lie: lie.strike)) is None:
            return
        strike, order = obeyed
        strike((layers.own, layers.following), order, lambda: take_tensors(self._block.folder))

    def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
        is_told_here = isinstance(question, Receive) and self._tells_instead(turn, question.note)
        return None if is_told_here else super()._answer(turn, question, layers)

    def _tells_instead(self, turn: Turn, note: RouteNote) -> bool:
        """Whether the order is to fall silent or to complain, instead of reading what the hop before sent."""
        lie = self._lie
        if lie is not None and lie.is_silent:
            # Until the process is started again or another order comes.
            return True
        if lie is not None and lie.complain is not None and turn.is_ahead:
            # Like an honest complaint, a false one is taken of what the ledger knows: it waits until then.
            self._member.posting.settle_first(turn.session)
            return True
        obeyed = self._obeyed(lambda kind: kind.complain)
        if obeyed is None:
            return False
        complaint, _ = obeyed
        self._complain(turn.session, note, complaint.kind, "a lie", key=complaint.key() if complaint.key else None)
        return True

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        received = super()._receive(session, note)
        obeyed = self._obeyed(lambda lie: lie.receive)
        return received if obeyed is None else obeyed[0](received, obeyed[1])

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        own, after = super()._commitments(note, output, following)
        obeyed = self._obeyed(lambda lie: lie.expect)
        return own, after if obeyed is None else obeyed[0](after)

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        sending = self._obeyed(lambda lie: lie.send)
        if sending is not None:
            return super()._send_output(session, note, sending[0](output))
        storing = self._obeyed(lambda lie: lie.store)
        if storing is None:
            return super()._send_output(session, note, output)
        place = hop_context(self._member.client.domain, session.query, session.attempt, note.hop)
        return storing[0](self._member.store, seal_output(note.next_sealing_key, output, place))
