"""The inputs of queries, as the ouroboros opens them (eq. 3), and what honest blocks make of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.ouroboros.room import LEAST_BYTES, Asked, Room, TensorCache
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.crypto.sealing import SealBroken
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.serving import InputState
from deepring_chain.protocol.envelope import open_output, query_context
from deepring_chain.protocol.session import Session
from deepring_chain.ring.options import SERVE_MIB
from deepring_chain.store.content import BlobFault
from deepring_chain.types import Address, Digest, Hop, OutputCommitment, SealingKey, TensorBytes

ENVELOPE_BYTES = 4096
"""More than an envelope has around a tensor's elements."""

SERVED_BYTES = SERVE_MIB * 2**20

CACHED_PART = 4
"""One of so many parts of what is served may lie opened in memory."""


class WrongShape(ProtocolError):
    """A query's input does not fit the model, or is too large for it."""


def commit_all(outputs: Sequence[TensorBytes], commitment_key: Digest) -> list[OutputCommitment]:
    """What honest hops 0 .. n and the delivery commit to, given their outputs."""
    return [commit_output(hop_key(commitment_key, Hop(hop)), output) for hop, output in enumerate(outputs)]


class QueryInputs:
    """Inputs of the queries that are served: opened when needed, and kept sealed until their queries end.

    Args:
        member: the ouroboros's keys and connections.
        owner: the checkpoint.
        limit: bytes of the queries that are served at once, where each is largest on its way; others wait. A part of it
            is for opened inputs in memory.
    """

    def __init__(self, member: Member, owner: ModelOwner, limit: int = SERVED_BYTES) -> None:
        self._member = member
        self._owner = owner
        self.room = Room(limit)
        self.opened: TensorCache[tuple[Asked, Address, SealingKey]] = TensorCache(limit // CACHED_PART)
        self._followed: set[Asked] | None = None

    def admit(self, session: Session) -> bool:
        """Whether there is room to serve the query; it keeps it until it ends.

        Raises:
            WrongShape: there never will be.
            StoreError: its blob is not to be had.
        """
        return self.room.enter(_asked(session), lambda: self._weigh(session))

    def is_served(self, session: Session) -> bool:
        """Whether the query has its room."""
        return self.room.size_of(_asked(session)) is not None

    def read(self, session: Session) -> InputState:
        """What became of the query's input: it is open and has its room, waits for that, or is of no use."""
        try:
            if not self.admit(session):
                return InputState.WAITS
            self.input_of(session)
        except BlobFault:
            return InputState.MISSING
        except WrongShape:
            return InputState.UNFIT
        except SealBroken:
            return InputState.UNSEALABLE
        except ProtocolError:
            return InputState.MALFORMED
        return InputState.READY

    def is_next(self, session: Session) -> bool:
        """Whether no older query waits for room."""
        return self.room.is_next(_asked(session))

    def input_of(self, session: Session) -> TensorBytes:
        """O_0: the query's input; opened anew after a reorganization that gave its id to another query.

        Raises:
            StoreError: its blob is not to be had.
            ProtocolError: it does not open, is malformed, or does not fit the model (`WrongShape`).
        """
        key = (_asked(session), session.querent, session.sealing_key)
        known = self.opened.get(key)
        if known is None:
            known = self._open(session)
            self.opened.put(key, known)
        return known

    def outputs_of(self, session: Session) -> list[TensorBytes]:
        """O_0 .. O_n, and once more O_n for the delivery: what honest blocks make of the input."""
        return self._owner.outputs(self.input_of(session))

    def commitments_of(self, session: Session, commitment_key: Digest) -> list[OutputCommitment]:
        """What honest hops 0 .. n and the delivery commit to."""
        return commit_all(self.outputs_of(session), commitment_key)

    def follow(self, sessions: Sequence[Session]) -> None:
        """Forgets all queries but these; those that an earlier process began to serve have their room."""
        asked = {_asked(session) for session in sessions}
        for session in sessions:
            if session.attempt > 0 and not self.is_served(session):
                self.room.take(_asked(session), self._weight(self._member.journal.size(_key(session)) or 0))
        self.room.keep_only(asked)  # each time: a step that was under way may have taken room for what has ended
        if asked == self._followed:
            return
        self._followed = asked
        self.opened.drop(lambda key: key[0] not in asked)
        queries = {query for query, _ in asked}
        for name in self._member.journal.keys("input/"):
            if int(name.split("/")[1]) not in queries:
                self._member.journal.forget(name)

    def blob_of(self, session: Session) -> bytes:
        """The querent's sealed input, put back into the store if it is gone from there.

        It is kept while the query is served: whoever can delete from the store, such as a liar about to be convicted,
        would otherwise keep every verdict on the query from being given.

        Raises:
            StoreError: it was never read, and is not to be had.
        """
        store, kept = self._member.store, self._member.journal.read(_key(session))
        if kept is None:
            # No more than it was weighed with: whoever writes to the store may have put a larger one there since.
            return store.get(session.sealed_input, self.room.size_of(_asked(session)))
        if not store.has_good(session.sealed_input):
            with suppress(BlobFault):  # it is needed here, and here it is
                store.put(kept)
        return kept

    def _open(self, session: Session) -> TensorBytes:
        try:
            blob = self.blob_of(session)
            tensor = self._unseal(session, blob)
        except BaseException:
            if session.attempt == 0:
                self.room.leave(_asked(session))
            raise
        self._member.journal.record_once(_key(session), lambda: blob)
        self.room.take(_asked(session), self._weight(len(blob)))
        return tensor

    def _unseal(self, session: Session, blob: bytes) -> TensorBytes:
        place = query_context(self._member.client.domain, session.querent, session.sealing_key)
        tensor = open_output(self._member.keys.sealing, blob, place)
        if tensor.dtype != "int8" or tensor.shape[1:] != self._owner.item_shape:
            raise WrongShape(f"query {session.query}: input {tensor.dtype}{list(tensor.shape)}")
        self._check_size(session, tensor)
        return tensor

    def _weigh(self, session: Session) -> int:
        size = self._member.store.size(session.sealed_input)
        weight = self._weight(size)
        if weight > self.room.limit:
            raise WrongShape(f"query {session.query}: takes {weight} bytes; {self.room.limit} are served at once")
        return weight

    def _weight(self, size: int) -> int:
        """What a query takes whose sealed input has `size` bytes: as much as where it is largest on its way."""
        item = prod(self._owner.item_shape)
        return max(LEAST_BYTES, size * self._owner.largest_item // item)

    def _check_size(self, session: Session, tensor: TensorBytes) -> None:
        """An output that no envelope can hold would make an honest worker fall silent."""
        items, limit = tensor.shape[0], self._member.store.max_bytes - ENVELOPE_BYTES
        if items * self._owner.largest_item > limit:
            largest = f"{self._owner.largest_item} bytes an item where it is largest"
            raise WrongShape(f"query {session.query}: {items} items; {largest}, an envelope holds {limit}")


def _asked(session: Session) -> Asked:
    return session.query, session.sealed_input


def _key(session: Session) -> str:
    return f"input/{session.query}/{session.sealed_input.hex()}"
