"""The validation principle (paper 3.5, eq. 13), and the recipient's check that makes it binding."""

from __future__ import annotations

from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Digest, Hop, OutputCommitment, QueryId, TensorBytes


class UnexpectedOutput(ProtocolError):
    """A tensor is not the one that was committed to."""

    def __init__(self, query: QueryId, hop: Hop, expected: OutputCommitment, actual: OutputCommitment) -> None:
        super().__init__(
            f"query {query}, hop {hop}: content does not match the commitment on the ledger "
            f"(expected {expected.hex()}, found {actual.hex()})"
        )
        self.query, self.hop, self.expected, self.actual = query, hop, expected, actual


def agrees(hop: Hop, output: OutputCommitment, expected: OutputCommitment) -> bool:
    """Whether the output of `hop` is what the hop before it expects. Implements eq. (13) for all actors.

    The ledger holds the same (contracts/QueryBook.sol), and so does the verifier, by lines of its own.

    Args:
        hop: whose entry it is; of hop 0 nothing is expected.
        output: the hop's own commitment, to O_i.
        expected: H_{i-1}, the commitment of the hop before to what it computed with this hop's layer.
    """
    return hop == 0 or output == expected


def check_form(query: QueryId, hop: Hop, received: TensorBytes, honest: TensorBytes) -> None:
    """Whether `hop` sent a tensor such as its layer gives, right or wrong: otherwise the next layer cannot take it.

    Args:
        query: which.
        hop: of whom.
        received: what it sent, [N, ...].
        honest: what its layer makes of the query's input, [N, ...]; the batch size is `check_items`' part.

    Raises:
        ProtocolError: another dtype or item shape.
    """
    if (received.dtype, received.shape[1:]) != (honest.dtype, honest.shape[1:]):
        sent, wanted = (f"{each.dtype} {list(each.shape)}" for each in (received, honest))
        raise ProtocolError(f"query {query}, hop {hop}: sent {sent}; its layer gives {wanted}")


def check_items(query: QueryId, hop: Hop, received: TensorBytes, items: int) -> None:
    """Whether a batch has as many items as the query, for which every hop signs.

    Two neighbors who agree on a larger one would leave the next hop with an output that no envelope holds.

    Args:
        query: which.
        hop: who sent it.
        received: what it sent, [N, ...].
        items: of the query, as the ledger has it.

    Raises:
        ProtocolError: more, fewer, or no batch at all.
    """
    if received.shape[:1] != (items,):
        sent = f"{received.shape[0]} items" if received.shape else "no batch"
        raise ProtocolError(f"query {query}, hop {hop}: sent {sent}; the query has {items}")


def check_received(query: QueryId, hop: Hop, received: TensorBytes, key: Digest, committed: OutputCommitment) -> None:
    """The recipient's check: what `hop` sent is what it committed to.

    Without it the accused would check itself: it could echo the expected hash and send something else.

    Raises:
        UnexpectedOutput: it is not.
    """
    actual = commit_output(key, received)
    if actual != committed:
        raise UnexpectedOutput(query, hop, committed, actual)
