"""Parsers with planted faults, to see that they are found; not in the list of targets."""

from __future__ import annotations

import os
import time

from assurance.fuzz.target import KIBI, MEBI, Limits, Target


class Refusal(Exception):
    """The declared error."""


def _gate(data: bytes) -> bytes:
    """Lets a few inputs through, one condition after another."""
    if len(data) < 3:
        raise Refusal("too short")
    if data[0] != 7:
        raise Refusal("another first byte")
    if data[1] & 0xF0 != 0x30:
        raise Refusal("another second byte")
    return data[2:]


def _raise(data: bytes) -> object:
    nothing: dict[bytes, object] = {}
    return nothing[_gate(data)]


def _die(data: bytes) -> None:
    _gate(data)
    os.abort()


def _wait(data: bytes) -> None:
    _gate(data)
    began = time.process_time()
    while time.process_time() < began + 0.3:
        pass


def _take(data: bytes) -> int:
    _gate(data)
    return len(bytearray(4 * MEBI))


def _lines(data: bytes) -> None:
    _gate(data)
    raise Refusal("one\ntwo")


def _seeds() -> list[bytes]:
    return [b"\x07\x20abc"]


LIMITS = Limits(seconds=0.25, memory=MEBI, memory_per_byte=KIBI)


def _target(name: str, parse: object, **options: object) -> Target:
    return Target(name, parse, (Refusal,), _seeds, limits=LIMITS, **options)  # type: ignore[arg-type]


TARGETS = (
    _target("raises", _raise),
    _target("dies", _die),
    _target("waits", _wait),
    _target("takes", _take),
    _target("two-lines", _lines),
    _target("two-encodings", _gate, again=lambda value: b"\x07\x30" + bytes(value)),
)
