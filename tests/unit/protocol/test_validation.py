"""The recipient's check, and the hashes of the ring: what was not committed to is found and named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.encoding import layer_header
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.block_hash import block_leaf, fold_leaves
from deepring_chain.protocol.tracking import find_first_mismatch
from deepring_chain.protocol.validation import UnexpectedOutput, agrees, check_form, check_items, check_received
from deepring_chain.types import NO_OUTPUT, Challenge, Digest, Hop, LayerContent, LayerIndex, QueryId, TensorBytes
from tests.unit.protocol.protocol_tools import digest

# ---------------------------------------------------------------- eq. 13


def test_output_agrees_when_it_is_what_the_hop_before_expects() -> None:
    assert agrees(Hop(1), digest(1), digest(1))
    assert agrees(Hop(7), digest(2), digest(2))


@pytest.mark.parametrize("hop", [1, 2, 7])
def test_output_other_than_the_expected_one_does_not_agree(hop: int) -> None:
    assert not agrees(Hop(hop), digest(1), digest(2))
    assert not agrees(Hop(hop), digest(1), NO_OUTPUT)


def test_nothing_is_expected_of_hop_0() -> None:
    assert agrees(Hop(0), digest(1), NO_OUTPUT)
    assert agrees(Hop(0), digest(1), digest(2))


# ---------------------------------------------------------------- the recipient's check

KEY = hop_key(digest(1), Hop(2))
SENT = TensorBytes("int8", (2, 3), b"abcdef")
COMMITTED = commit_output(KEY, SENT)


def test_what_was_committed_to_passes() -> None:
    check_received(QueryId(1), Hop(2), SENT, KEY, COMMITTED)


@pytest.mark.parametrize(
    "received",
    [
        replace(SENT, data=b"abcdeg"),
        replace(SENT, dtype="uint8"),
        replace(SENT, shape=(3, 2)),
        replace(SENT, shape=(6,)),
        replace(SENT, shape=(1, 6)),
    ],
    ids=["data", "dtype", "transposed", "flat", "batch"],
)
def test_what_was_not_committed_to_is_refused(received: TensorBytes) -> None:
    """A hop echoes the expected hash on the ledger and sends something else to its neighbor."""
    with pytest.raises(UnexpectedOutput) as caught:
        check_received(QueryId(1), Hop(2), received, KEY, COMMITTED)
    error = caught.value
    assert (error.query, error.hop, error.expected) == (1, 2, COMMITTED)
    assert error.actual == commit_output(KEY, received)
    assert "query 1, hop 2" in str(error)
    assert error.expected.hex() in str(error)
    assert error.actual.hex() in str(error)


def test_commitment_of_another_hop_or_query_does_not_pass() -> None:
    """A hop repeats a commitment that stands elsewhere on the ledger, to the very same tensor."""
    for key in (hop_key(digest(1), Hop(1)), hop_key(digest(2), Hop(2)), digest(1)):
        with pytest.raises(UnexpectedOutput):
            check_received(QueryId(1), Hop(2), SENT, KEY, commit_output(key, SENT))


@pytest.mark.parametrize("sent", [replace(SENT, dtype="uint8"), replace(SENT, shape=(1, 6))], ids=["dtype", "shape"])
def test_tensor_of_a_form_that_the_layer_does_not_give_is_refused(sent: TensorBytes) -> None:
    with pytest.raises(ProtocolError, match=r"query 1, hop 2: sent .*; its layer gives int8"):
        check_form(QueryId(1), Hop(2), sent, SENT)


def test_another_batch_size_is_no_other_form() -> None:
    check_form(QueryId(1), Hop(2), replace(SENT, shape=(1, 3), data=b"abc"), SENT)


def test_batch_with_as_many_items_as_the_query_passes() -> None:
    check_items(QueryId(1), Hop(2), SENT, 2)


@pytest.mark.parametrize("shape", [(1, 6), (3, 2), (6,), ()])
def test_batch_of_another_size_than_was_asked_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError, match=r"query 1, hop 2: sent .*; the query has 2"):
        check_items(QueryId(1), Hop(2), replace(SENT, shape=shape), 2)


# ---------------------------------------------------------------- leaves

CHALLENGE = digest(9)


def layer(index: int, *tensors: bytes, relu: int = 1) -> LayerContent:
    listed = [(f"t{number}", "int8", [len(tensor)]) for number, tensor in enumerate(tensors)]
    header = layer_header(index, "dense", {"relu": relu}, listed)
    return LayerContent(LayerIndex(index), header, tuple(memoryview(tensor) for tensor in tensors))


OWN, FOLLOWING = layer(1, b"weights", b"bias"), layer(2, b"more weights", b"and bias")
LEAF = block_leaf(CHALLENGE, OWN, FOLLOWING)


def test_leaf_is_the_documented_hash() -> None:
    covered = b"deepring/v1/leaf".ljust(32, b"\0") + CHALLENGE
    covered += OWN.header + b"weights" + b"bias" + FOLLOWING.header + b"more weights" + b"and bias"
    assert hashlib.sha256(covered).digest() == LEAF


def flipped(content: LayerContent) -> Iterator[LayerContent]:
    """The content with one bit of each byte of its header and its tensors flipped."""
    for index in range(len(content.header)):
        yield replace(content, header=_flip(content.header, index))
    for number, tensor in enumerate(content.tensors):
        for index in range(len(tensor)):
            tensors = list(content.tensors)
            tensors[number] = memoryview(_flip(bytes(tensor), index))
            yield replace(content, tensors=tuple(tensors))


def _flip(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ (1 << index % 8)]) + data[index + 1 :]


def test_leaf_changes_with_every_byte_of_both_layers() -> None:
    """A worker's parameters are tampered with: one bit anywhere in its own layer, the next one, or a header."""
    leaves = [block_leaf(CHALLENGE, own, FOLLOWING) for own in flipped(OWN)]
    leaves += [block_leaf(CHALLENGE, OWN, following) for following in flipped(FOLLOWING)]
    assert len(leaves) == len(OWN.header) + 11 + len(FOLLOWING.header) + 20
    assert len({LEAF, *leaves}) == len(leaves) + 1


def test_leaf_changes_with_every_byte_of_the_challenge() -> None:
    """A worker that holds no parameters any more answers with a leaf from before."""
    leaves = {block_leaf(Challenge(Digest(_flip(CHALLENGE, index))), OWN, FOLLOWING) for index in range(32)}
    assert len({LEAF, *leaves}) == 33


@pytest.mark.parametrize(
    ("own", "following"),
    [
        (FOLLOWING, OWN),
        (OWN, OWN),
        (FOLLOWING, FOLLOWING),
        (layer(2, b"weights", b"bias"), FOLLOWING),
        (layer(1, b"weightsb", b"ias"), FOLLOWING),
        (layer(1, b"weightsbias"), FOLLOWING),
        (layer(1, b"bias", b"weights"), FOLLOWING),
        (layer(1, b"weights", b"bias", relu=0), FOLLOWING),
    ],
    ids=["exchanged", "own twice", "next twice", "index", "border moved", "joined", "tensors exchanged", "attribute"],
)
def test_leaf_changes_with_what_stands_where(own: LayerContent, following: LayerContent) -> None:
    assert block_leaf(CHALLENGE, own, following) != LEAF


def test_leaf_speaks_of_the_live_memory() -> None:
    """Parameters change after loading: the leaf follows the memory, not a digest from before."""
    memory = bytearray(b"weights")
    content = replace(OWN, tensors=(memoryview(memory), OWN.tensors[1]))
    assert block_leaf(CHALLENGE, content, FOLLOWING) == LEAF
    memory[3] ^= 1
    assert block_leaf(CHALLENGE, content, FOLLOWING) != LEAF


# ---------------------------------------------------------------- folding and tracking

LEAVES = [digest(number) for number in range(1, 6)]


def test_fold_is_the_documented_chain() -> None:
    tag = b"deepring/v1/block-hash".ljust(32, b"\0")
    expected = [hashlib.sha256(tag + LEAVES[0]).digest()]
    for leaf in LEAVES[1:]:
        expected.append(hashlib.sha256(tag + expected[-1] + leaf).digest())
    assert fold_leaves(LEAVES) == expected
    assert fold_leaves([]) == []


def test_fold_of_a_prefix_is_a_prefix() -> None:
    assert fold_leaves(LEAVES[:3]) == fold_leaves(LEAVES)[:3]


@pytest.mark.parametrize("seat", range(5))
def test_changed_leaf_changes_every_hash_from_its_seat_on(seat: int) -> None:
    changed = [*LEAVES[:seat], digest(99), *LEAVES[seat + 1 :]]
    before, after = fold_leaves(LEAVES), fold_leaves(changed)
    assert before[:seat] == after[:seat]
    assert all(left != right for left, right in zip(before[seat:], after[seat:], strict=True))
    assert find_first_mismatch(before, after) == seat


def test_fold_depends_on_the_order() -> None:
    """Two blocks trade places: each leaf is right, the ring is not."""
    for seat in range(4):
        traded = list(LEAVES)
        traded[seat], traded[seat + 1] = traded[seat + 1], traded[seat]
        assert fold_leaves(traded)[-1] != fold_leaves(LEAVES)[-1]


def test_no_mismatch_while_all_agree() -> None:
    hashes = fold_leaves(LEAVES)
    assert find_first_mismatch(hashes, hashes) is None
    assert find_first_mismatch(hashes, hashes[:2]) is None
    assert find_first_mismatch(hashes, []) is None


def test_mismatch_is_the_first_of_several() -> None:
    hashes = fold_leaves(LEAVES)
    assert find_first_mismatch(hashes, [*hashes[:1], digest(7), hashes[2], digest(8)]) == 1
    assert find_first_mismatch(hashes, [digest(7)]) == 0
