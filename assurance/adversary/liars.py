"""Workers that run a changed program, with their own keys, parameters and records."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from deepring_chain.actors.member import Member
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.crypto.digest import commit_output
from deepring_chain.crypto.signing import sign_message
from deepring_chain.model.layer import run_layer
from deepring_chain.protocol.decide.hop import Compute, Question, Receive, Turn
from deepring_chain.protocol.envelope import hop_context, seal_output
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import next_update, sign_update
from deepring_chain.store.content import ContentStore
from deepring_chain.types import (
    Attempt,
    Challenge,
    ComplaintKind,
    Digest,
    OutputCommitment,
    Pointer,
    Position,
    QueryId,
    SealingKey,
    SignedUpdate,
    TensorBytes,
)

WorkerClass = Callable[[Member, Block, torch.device], Worker]


def perturbed(tensor: TensorBytes) -> TensorBytes:
    """Other elements, all of them."""
    return TensorBytes(tensor.dtype, tensor.shape, bytes(byte ^ 0x55 for byte in tensor.data))


class Echo(Worker):
    """Commits to what is expected, and sends something else."""

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        return super()._send_output(session, note, perturbed(output))


class WrongOutput(Worker):
    """Computes on another input than it was sent (the paper's attack)."""

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        return perturbed(super()._receive(session, note))


class BogusNext(Worker):
    """Expects of the next hop what no layer gives."""

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        own, _ = super()._commitments(note, output, following)
        return own, OutputCommitment(Digest(os.urandom(32)))


def sending(pointer_of: Callable[[Session], Digest]) -> type[Worker]:
    """Computes rightly, and points to some other blob than the envelope it should seal."""

    class Sender(Worker):
        def _send_output(self, session: Session, _note: RouteNote, _output: TensorBytes) -> Pointer:
            return Pointer(pointer_of(session))

    return Sender


def complaining(
    kind: ComplaintKind, key: bytes | None = None, *, before: Callable[[Session], None] | None = None, times: int = 1
) -> type[Worker]:
    """Complains of good envelopes, `times` times, after it did something else to them.

    Args:
        kind: what it says.
        key: what it reveals instead of its key.
        before: what it does first.
        times: how often.
    """

    class Complainer(Worker):
        complaints = 0

        def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
            if self.complaints >= times or not isinstance(question, Receive):
                return super()._answer(turn, question, layers)
            self.complaints += 1
            if before is not None:
                before(turn.session)
            self._complain(turn.session, question.note, kind, "a lie", key=key)
            return None

    return Complainer


def expecting(value: TensorBytes) -> type[Worker]:
    """Honest, but that it expects `value` of the next hop, whatever its layer gives."""

    class Expecting(Worker):
        def _commitments(
            self, note: RouteNote, output: TensorBytes, following: TensorBytes
        ) -> tuple[OutputCommitment, OutputCommitment]:
            own, _ = super()._commitments(note, output, following)
            return own, commit_output(note.next_key, value)

    return Expecting


def colluders(value: TensorBytes, signed_for: int | None = None) -> tuple[type[Worker], type[Worker]]:
    """Two neighbors: the first expects `value` of the second, which sends it and expects what the third makes of it.

    Args:
        value: what the second sends, whatever it was sent.
        signed_for: how many items the second signs for; the query's own number if None.
    """

    class Second(Worker):
        def _execute(
            self, session: Session, note: RouteNote, _received: TensorBytes, layers: BlockLayers
        ) -> SignedUpdate:
            member, domain = self._member, self._member.client.domain
            sealed = seal_output(
                note.next_sealing_key, value, hop_context(domain, session.query, session.attempt, note.hop)
            )
            pointer = ContentStore(member.store.url).put(sealed)
            following = run_layer(layers.following, value, self._device) if note.hop < session.hops - 1 else value
            commitments = commit_output(note.own_key, value), commit_output(note.next_key, following)
            update = next_update(session, pointer, *commitments)
            update = replace(update, items=signed_for or update.items)
            return sign_update(member.keys.account, domain, update, note.salt, note.next_route)

    return expecting(value), Second


class Silent(Worker):
    """Attests, and never computes."""

    def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
        return None if isinstance(question, Receive) else super()._answer(turn, question, layers)


def once(kind: type[Worker]) -> type[Worker]:
    """The same lie, told in one turn only."""

    class Once(kind):  # type: ignore[misc, valid-type]
        told: tuple[QueryId, Attempt] | None = None

        def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
            place = (turn.session.query, turn.session.attempt)
            if isinstance(question, Receive) and self.told is None:
                self.told = place
            if isinstance(question, Receive | Compute) and self.told != place:
                honest: Any = Worker(self._member, self._block, self._device)
                return honest._answer(turn, question, layers)  # type: ignore[no-any-return]
            return super()._answer(turn, question, layers)  # type: ignore[no-any-return]

    return Once


def attesting_falsely(lies: Callable[[ArrangementState, Position], bool]) -> type[Worker]:
    """Signs a leaf of random bytes where `lies` says so of the arrangement and its seat, the right one elsewhere."""

    class FalseLeaf(Worker):
        def _attest_if_due(self) -> bool:
            seat = self._member.seat_due()
            if seat is None or self._leaves.handed_in == seat or not lies(self._member.arranged(), seat.position):
                return super()._attest_if_due()
            self._leaves.hand_in(
                self._member.sign_leaf(seat, Challenge(Digest(os.urandom(32))), *self._block.contents())
            )
            return True

    return FalseLeaf


def attesting_a_useless_key(key: Digest) -> type[Worker]:
    """Signs the right leaf with a key to which nothing can be sealed."""

    class Keyless(Worker):
        def _attest_if_due(self) -> bool:
            member, seat = self._member, self._member.seat_due()
            if seat is None or self._leaves.handed_in == seat:
                return super()._attest_if_due()
            leaf, _ = member.sign_leaf(seat, member.read_challenge(seat), *self._block.contents())
            weak = replace(leaf, sealing_key=SealingKey(key))
            self._leaves.hand_in((weak, sign_message(member.keys.account, member.client.domain, weak)))
            return True

    return Keyless
