"""Calls as plain values, and the ways in which a good one is spoiled."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from assurance.invariants import hashes
from assurance.invariants.hashes import ZERO

ORDER = 2 * hashes.HALF_ORDER + 1


@dataclass(frozen=True)
class Call:
    """A transaction.

    Attributes:
        sender: account in hex.
        function: the contract's name for it; for `multicall` the values hold pairs of function and values.
        values: its arguments, structs as tuples.
        time: Unix time of its block.
    """

    sender: str
    function: str
    values: tuple[Any, ...]
    time: int = 0

    def with_values(self, values: tuple[Any, ...]) -> Call:
        """The same with other arguments."""
        return replace(self, values=values)


Path = tuple[int, ...]


def leaves(values: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All single values and all lists in arguments, with the way to each."""
    if isinstance(values, tuple | list):
        if isinstance(values, list):
            yield path, values
        for index, value in enumerate(values):
            yield from leaves(value, (*path, index))
    else:
        yield path, values


def put(values: Any, path: Path, value: Any) -> Any:
    """The same arguments with one value changed."""
    if not path:
        return value
    changed = [*values[: path[0]], put(values[path[0]], path[1:], value), *values[path[0] + 1 :]]
    return changed if isinstance(values, list) else tuple(changed)


def spoil(call: Call, chance: random.Random, words: list[bytes], accounts: list[str]) -> Call:
    """The same call with one value changed, to one that has a meaning elsewhere if possible."""
    places = list(leaves(call.values))
    if not places:
        return call
    path, value = chance.choice(places)
    return call.with_values(put(call.values, path, another(value, chance, words, accounts)))


def another(value: Any, chance: random.Random, words: list[bytes], accounts: list[str]) -> Any:
    """A different value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice([value + 1, max(value - 1, 0), 0, 1, 2**16 - 1, 255, value ^ 2, value + 1000])
    if isinstance(value, str):
        return chance.choice(accounts) if value.startswith("0x") else value + "x" * chance.choice([1, 200, 257])
    if isinstance(value, bytes):
        return another_word(value, chance, words) if len(value) == 32 else another_signature(value, chance)
    return another_list(value, chance)


def another_word(value: bytes, chance: random.Random, words: list[bytes]) -> bytes:
    """Another 32 bytes: zero, one that was seen, or this with a bit flipped."""
    flipped = (int.from_bytes(value, "big") ^ 1 << chance.randrange(256)).to_bytes(32, "big")
    return chance.choice([ZERO, flipped, chance.choice(words or [ZERO])])


def another_signature(value: bytes, chance: random.Random) -> bytes:
    """A signature changed, cut, lengthened, or turned into the other one that fits the message (EIP-2)."""
    if len(value) != 65:
        return value + b"\0"
    flipped = bytearray(value)
    flipped[chance.randrange(65)] ^= 1 << chance.randrange(8)
    s = (ORDER - int.from_bytes(value[32:64], "big")) % 2**256
    high = value[:32] + s.to_bytes(32, "big") + bytes([55 - value[64] if value[64] in (27, 28) else 27])
    unsigned = value[:64] + bytes([value[64] - 27 if value[64] >= 27 else 0])
    return chance.choice([bytes(flipped), high, value[:64], value + b"\0", b"", bytes(65), unsigned])


def another_list(values: list[Any], chance: random.Random) -> list[Any]:
    """A list with an element lost, twice or at another place."""
    if not values:
        return values
    index = chance.randrange(len(values))
    shuffled = chance.sample(values, len(values))
    return chance.choice([values[:index] + values[index + 1 :], [*values, values[index]], shuffled, []])
