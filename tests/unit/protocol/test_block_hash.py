"""A leaf binds the tag, the challenge and both layers, in their order (eq. 1)."""

from __future__ import annotations

import hashlib

from deepring_chain.encoding import TAG_LEAF
from deepring_chain.protocol.block_hash import block_leaf, fold_leaves
from deepring_chain.types import LayerContent, LayerIndex
from tests.unit.protocol.protocol_tools import digest

OWN = LayerContent(LayerIndex(1), b"own", (memoryview(b"weight"), memoryview(b"bias")))
FOLLOWING = LayerContent(LayerIndex(2), b"following", (memoryview(b"other"),))


def test_leaf_is_the_hash_of_tag_challenge_and_both_layers() -> None:
    covered = TAG_LEAF + digest(1) + b"ownweightbias" + b"followingother"
    assert block_leaf(digest(1), OWN, FOLLOWING) == hashlib.sha256(covered).digest()


def test_tag_of_a_leaf_is_its_own() -> None:
    assert TAG_LEAF.rstrip(b"\0") == b"deepring/v1/leaf"


def test_fold_goes_on_from_the_hash_of_the_seat_before() -> None:
    whole = fold_leaves([digest(1), digest(2), digest(3)])
    assert fold_leaves([digest(2), digest(3)], after=whole[0]) == whole[1:]
    assert fold_leaves([digest(2)]) != whole[1:2]
