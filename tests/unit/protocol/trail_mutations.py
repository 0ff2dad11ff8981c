"""Every way of changing one value of an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from deepring_chain.types import Address
from tests.unit.protocol.trail_names import SEATS, STRANGER

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def mutations(record: Any) -> Iterator[tuple[str, str, Any]]:
    """(field, how, changed record) for each field, nested ones by their path."""
    for item in fields(record):
        value = getattr(record, item.name)
        if is_dataclass(value):
            for path, how, changed in mutations(value):
                yield f"{item.name}.{path}", how, replace(record, **{item.name: changed})
        else:
            for how, changed in _values(value):
                yield item.name, how, replace(record, **{item.name: changed})


def _values(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool):
        yield "negated", not value
    elif isinstance(value, Enum):
        yield from ((f"another: {other.name}", other) for other in type(value) if other is not value)
    elif isinstance(value, int):
        yield "plus one", value + 1
        if value > 0:
            yield "minus one", value - 1
    elif isinstance(value, bytes):
        yield from _signatures(value) if len(value) == 65 else _digests(value)
    elif isinstance(value, str):
        others = (*SEATS, STRANGER)
        yield from ((f"{other.address}", Address(other.address)) for other in others if other.address != value)
    else:
        yield from _seatings(value)


def _digests(value: bytes) -> Iterator[tuple[str, bytes]]:
    yield "first bit flipped", bytes([value[0] ^ 0x80]) + value[1:]
    yield "last bit flipped", value[:-1] + bytes([value[-1] ^ 1])
    yield ("zero", bytes(32)) if any(value) else ("not zero", bytes([1] * 32))


def _signatures(value: bytes) -> Iterator[tuple[str, bytes]]:
    for place in (0, 31, 32, 63):
        yield f"bit of byte {place} flipped", value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
    high = (CURVE_ORDER - int.from_bytes(value[32:64], "big")).to_bytes(32, "big")
    yield "other v", value[:64] + bytes([27 + 28 - value[64]])
    yield "v 0 or 1", value[:64] + bytes([value[64] - 27])
    yield "the same with high s", value[:32] + high + bytes([27 + 28 - value[64]])
    yield "cut", value[:64]
    yield "longer", value + b"\0"
    yield "zeros", bytes(65)


def _seatings(value: tuple[Address, ...]) -> Iterator[tuple[str, tuple[Address, ...]]]:
    for place in range(len(value)):
        rest = value[place + 1 :]
        yield f"without seat {place}", value[:place] + rest
        yield f"a stranger in seat {place}", (*value[:place], Address(STRANGER.address), *rest)
        yield f"seat {place} twice", (*value[:place], value[place], value[place], *rest)
        if rest:
            yield f"seats {place}, {place + 1} swapped", (*value[:place], rest[0], value[place], *rest[1:])
