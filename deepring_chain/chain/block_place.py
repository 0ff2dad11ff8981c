"""Where a block stands, as a node tells it: in an answer, or when it announces the block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepring_chain.types import Digest

HASH_BYTES = 32
NUMBER_BITS = 64
"""Of a block's number and its time, on every chain."""


@dataclass(frozen=True)
class BlockPlace:
    """A block by number and hash; with the hash of the block before it and its time, where these are at hand.

    Attributes:
        number, block_hash: the block.
        parent: hash of the block before.
        time: Unix seconds.
    """

    number: int
    block_hash: Digest
    parent: Digest | None = field(default=None, compare=False)
    time: int | None = field(default=None, compare=False)

    def follows(self, other: BlockPlace) -> bool:
        """Whether this is the next block after `other`."""
        return self.number == other.number + 1 and self.parent == other.block_hash


def read_header(header: Mapping[str, Any]) -> BlockPlace:
    """The place of a block of which a node tells the header (JSON-RPC).

    Raises:
        KeyError, TypeError, ValueError: it is no header.
    """
    number, time = (int(header[name], 16) for name in ("number", "timestamp"))
    if not (0 <= number < 2**NUMBER_BITS and 0 <= time < 2**NUMBER_BITS):
        raise ValueError("a block's number and time have 64 bits")
    block_hash, parent = (bytes.fromhex(header[name].removeprefix("0x")) for name in ("hash", "parentHash"))
    if len(block_hash) != HASH_BYTES or len(parent) != HASH_BYTES:
        raise ValueError("a block's hash has 32 bytes")
    return BlockPlace(number, Digest(block_hash), Digest(parent), time)
