"""Tracking (paper 3.4.4): which block broke the chain of hashes."""

from __future__ import annotations

from collections.abc import Sequence

from deepring_chain.types import BlockHash, Position


def find_first_mismatch(recorded: Sequence[BlockHash], recomputed: Sequence[BlockHash]) -> Position | None:
    """The first seat whose recomputed hash differs from the record; None while all that are there agree.

    Implements 3.4.4.

    Args:
        recorded: HASH_0 .. HASH_n that the ouroboros expects.
        recomputed: the hashes that the ledger derived so far, a prefix of the ring.
    """
    for position, (expected, actual) in enumerate(zip(recorded, recomputed, strict=False)):
        if expected != actual:
            return Position(position)
    return None
