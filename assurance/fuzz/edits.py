"""Changes to bytes and to plain values: flip, cut, insert, splice, repeat, other lengths, other types."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from assurance.fuzz.codecs import Codec

INTERESTING = (0, 1, 2, 15, 16, 20, 31, 32, 33, 64, 65, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31)
LARGE = (2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "0x", "\0", "é", "\u202e", "a" * 40, "../..", "nan", "-1", "1e999", "0x" + "f" * 40)
FLOATS = (0.0, -1.0, 1e-320, 1e308, float("inf"), float("nan"))
TOKENS = (b"\x00" * 4, b"\xff" * 8, b"[" * 200, b"{" * 64, b"\x81" * 40, b"(" * 30, b"'", b"\n", b"9" * 30)
INTEGERS = ("<H", ">H", "<I", ">I", "<Q", ">Q")

Random = random.Random


def edit_bytes(data: bytes, rng: Random, others: Sequence[bytes] = (), count: int | None = None) -> bytes:
    """The bytes after one to four changes.

    Args:
        data: to be changed.
        rng: decides.
        others: inputs that parts are taken from.
        count: how many changes.
    """
    for _ in range(rng.randint(1, 4) if count is None else count):
        data = rng.choice(BYTE_EDITS)(data, rng, others)
    return data


def edit_value(data: bytes, codec: Codec, rng: Random) -> bytes:
    """The bytes with one value in them changed; changed as bytes if they have no such structure (any more)."""
    try:
        return codec.write(_edited(codec.read(data), rng, 0))
    except Exception:  # noqa: BLE001 - whatever a codec's library raises
        return edit_bytes(data, rng)


def _span(size: int, rng: Random) -> tuple[int, int]:
    start = rng.randint(0, size)
    return start, min(size, start + (rng.randint(0, 8) if rng.random() < 0.7 else rng.randint(0, size)))


def _flip(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _set(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))]) + data[at + 1 :]


def _cut(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(len(data), rng)
    return data[:start] + data[end:]


def _truncate(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    return data[: rng.randint(0, len(data))]


def _insert(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + (rng.choice(TOKENS) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 16))) + data[at:]


def _repeat(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(len(data), rng)
    return data[:start] + data[start:end] * rng.randint(2, 8) + data[end:]


def _splice(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    start, end = _span(len(other), rng)
    at, to = _span(len(data), rng)
    return data[:at] + other[start:end] + data[to:]


def _length(data: bytes, rng: Random, _others: Sequence[bytes]) -> bytes:
    """Writes an integer over some place, as it may be a size, an offset or a count."""
    form = rng.choice(INTEGERS)
    size = struct.calcsize(form)
    at = rng.randint(0, len(data))
    number = rng.choice((*INTERESTING, *LARGE, len(data), len(data) - at)) + rng.choice((-1, 0, 0, 1))
    return data[:at] + struct.pack(form, number % 256**size) + data[at + size :]


BYTE_EDITS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    *(_flip, _set, _cut, _truncate, _insert, _repeat, _splice, _length),
)


def _edited(value: Any, rng: Random, level: int) -> Any:
    """A value with one place in it changed: itself, or a value within."""
    inner = len(value) if isinstance(value, (list, tuple, dict)) else 0
    if not inner or rng.random() < 0.15 * (level > 0):
        return _other(value, rng)
    if isinstance(value, dict):
        return _edited_map(value, rng, level)
    items = list(value)
    at = rng.randrange(inner)
    match rng.randrange(8):
        case 0:
            del items[at]
        case 1:
            items.insert(at, _other(items[at], rng))
        case 2:
            items.append(items[at])
        case _:
            items[at] = _edited(items[at], rng, level + 1)
    return items


def _edited_map(value: dict[Any, Any], rng: Random, level: int) -> dict[Any, Any]:
    changed, key = dict(value), rng.choice(list(value))
    match rng.randrange(8):
        case 0:
            del changed[key]
        case 1:
            changed[rng.choice(TEXTS)] = changed[key]
        case _:
            changed[key] = _edited(changed[key], rng, level + 1)
    return changed


def _other(value: Any, rng: Random) -> Any:
    """Another value in the place of one: mostly of its own kind."""
    if rng.random() < 0.2:
        return rng.choice((None, True, False, 0, -1, 1.5, "", b"", [], {}, *LARGE, [[]], [0] * 40, "a", b"\0" * 32))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return rng.choice((*INTERESTING, *LARGE, value + 1, value - 1, -value, value ^ (1 << rng.randrange(16))))
    if isinstance(value, float):
        return rng.choice((*FLOATS, -value, value * 2))
    if isinstance(value, str):
        return edit_text(value, rng)
    if isinstance(value, bytes):
        return edit_bytes(value, rng, count=1)
    return [] if rng.random() < 0.5 else [value, value]


def edit_text(text: str, rng: Random) -> str:
    """A text with a letter more, less or another, or another text."""
    at = rng.randint(0, len(text))
    match rng.randrange(4):
        case 0:
            return rng.choice(TEXTS)
        case 1:
            return text[:at] + chr(rng.choice((0, 10, 27, 48, 97, 0xE9, 0x2028, 0xFFFD, 0x1F600))) + text[at:]
        case 2:
            return text[:at] + text[at + 1 :]
    return text[:at] + rng.choice("0123456789abcdefxX-+.:/") + text[at + 1 :]
