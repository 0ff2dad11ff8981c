"""The inputs of queries, as the ouroboros opens them (eq. 3), and what honest blocks make of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from deepring_chain.actors.member import Member
from deepring_chain.actors.model_owner import ModelOwner
from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import open_output, query_context
from deepring_chain.protocol.session import Session
from deepring_chain.store.content import BlobFault
from deepring_chain.types import Address, Digest, Hop, QueryId, TensorBytes

ENVELOPE_BYTES = 4096
"""More than an envelope has around a tensor's elements."""


class WrongShape(ProtocolError):
    """A query's input does not fit the model, or is too large for it."""


def commit_all(outputs: Sequence[TensorBytes], commitment_key: Digest) -> list[Digest]:
    """What honest hops 0 .. n and the delivery commit to, given their outputs."""
    return [commit_output(hop_key(commitment_key, Hop(hop)), output) for hop, output in enumerate(outputs)]


class QueryInputs:
    """Opened inputs, kept while their queries are open.

    Args:
        member: the ouroboros's keys and connections.
        owner: the checkpoint.
    """

    def __init__(self, member: Member, owner: ModelOwner) -> None:
        self._member = member
        self._owner = owner
        self._opened: dict[QueryId, tuple[tuple[Address, Digest, Digest], TensorBytes]] = {}
        self._kept: set[QueryId] | None = None

    def input_of(self, session: Session) -> TensorBytes:
        """O_0: the query's input, opened once; anew after a reorganization that gave its id to another query.

        Raises:
            StoreError: its blob is not to be had.
            ProtocolError: it does not open, is malformed, or does not fit the model (`WrongShape`).
        """
        asked = (session.querent, session.sealed_input, session.sealing_key)
        known = self._opened.get(session.query)
        if known is None or known[0] != asked:
            known = self._opened[session.query] = (asked, self._open(session))
        return known[1]

    def outputs_of(self, session: Session) -> list[TensorBytes]:
        """O_0 .. O_n, and once more O_n for the delivery: what honest blocks make of the input."""
        return self._owner.outputs(self.input_of(session))

    def commitments_of(self, session: Session, commitment_key: Digest) -> list[Digest]:
        """What honest hops 0 .. n and the delivery commit to."""
        return commit_all(self.outputs_of(session), commitment_key)

    def keep_only(self, queries: set[QueryId]) -> None:
        """Forgets the inputs of all other queries."""
        if queries == self._kept:
            return
        self._kept = set(queries)
        for query in list(self._opened):  # a copy: another thread may open one meanwhile
            if query not in queries:
                self._opened.pop(query, None)
        for key in self._member.journal.keys("input/"):
            if int(key.split("/")[1]) not in queries:
                self._member.journal.forget(key)

    def blob_of(self, session: Session) -> bytes:
        """The querent's sealed input, put back into the store if it is gone from there.

        It is kept while the query is open: whoever can delete from the store, such as a liar about to be convicted,
        would otherwise keep every verdict on the query from being given.

        Raises:
            StoreError: it was never read, and is not to be had.
        """
        store, kept = self._member.store, self._member.journal.read(_key(session))
        if kept is None:
            return store.get(session.sealed_input)
        if not store.has_good(session.sealed_input):
            with suppress(BlobFault):  # it is needed here, and here it is
                store.put(kept)
        return kept

    def _open(self, session: Session) -> TensorBytes:
        blob = self.blob_of(session)
        place = query_context(self._member.client.domain, session.querent, session.sealing_key)
        tensor = open_output(self._member.keys.sealing, blob, place)
        if tensor.dtype != "int8" or tensor.shape[1:] != self._owner.item_shape:
            raise WrongShape(f"query {session.query}: input {tensor.dtype}{list(tensor.shape)}")
        self._check_size(session, tensor)
        self._member.journal.record_once(_key(session), lambda: blob)
        return tensor

    def _check_size(self, session: Session, tensor: TensorBytes) -> None:
        """An output that no envelope can hold would make an honest worker fall silent."""
        items, limit = tensor.shape[0], self._member.store.max_bytes - ENVELOPE_BYTES
        if items * self._owner.largest_item > limit:
            largest = f"{self._owner.largest_item} bytes an item where it is largest"
            raise WrongShape(f"query {session.query}: {items} items; {largest}, an envelope holds {limit}")


def _key(session: Session) -> str:
    return f"input/{session.query}/{session.sealed_input.hex()}"
