"""Block hashes of the ring (paper 3.2 and 3.3, eq. 1 and 2); contracts/libraries/BlockHashes.sol folds alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from deepring_chain.crypto.digest import sha256
from deepring_chain.encoding import TAG_BLOCK_HASH, TAG_LEAF
from deepring_chain.types import BlockHash, Challenge, Digest, LayerContent, Leaf


def block_leaf(challenge: Challenge, own: LayerContent, following: LayerContent) -> Leaf:
    """leaf_j = SHA-256(tag, challenge, params_i, params_{i+1}), over the very memory that the block computes with.

    Args:
        challenge: 32 fresh secret bytes of the arrangement; they make an answer from before useless.
        own: the block's layer i.
        following: layer i + 1, which the block validates; the ouroboros's identity after the last layer.
    """
    digest = hashlib.sha256(TAG_LEAF + challenge)
    for layer in (own, following):
        digest.update(layer.header)
        for tensor in layer.tensors:
            digest.update(tensor)
    return Leaf(Digest(digest.digest()))


def fold_leaves(leaves: Sequence[Leaf], after: BlockHash | None = None) -> list[BlockHash]:
    """HASH_0 = SHA-256(tag, leaf_0), then HASH_j = SHA-256(tag, HASH_{j-1}, leaf_j). Implements eq. (1), eq. (2).

    Args:
        leaves: in ring order, the ouroboros's first.
        after: hash of the seat before the first leaf's; None where that leaf is the ouroboros's.

    Returns:
        One hash a leaf, HASH_0 .. HASH_last of a whole ring; the last one is HASH_prev of the ouroboros.
    """
    hashes: list[BlockHash] = []
    for leaf in leaves:
        previous = hashes[-1] if hashes else after or b""
        hashes.append(BlockHash(sha256(TAG_BLOCK_HASH + previous + leaf)))
    return hashes
