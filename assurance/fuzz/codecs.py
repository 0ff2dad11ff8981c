"""Taking inputs apart into plain values and putting changed values together again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import rlp


@dataclass(frozen=True)
class Codec:
    """Bytes to values (lists, dictionaries, texts, bytes, numbers, booleans, None) and back.

    Either may raise anything when the bytes or values are not of its kind; the caller then leaves the structure alone.
    """

    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def _write_cbor(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


CBOR = Codec(cbor2.loads, _write_cbor)
"""Deterministic CBOR, of the values that are in a structure, not of structures in byte strings."""

JSON = Codec(json.loads, lambda value: json.dumps(value).encode())

RLP = Codec(lambda data: rlp.decode(data, strict=False), rlp.encode)


def prefixed(size: int, inner: Codec) -> Codec:
    """Some bytes, of which the first are a choice, and what follows has structure."""
    return Codec(lambda data: [data[:size], inner.read(data[size:])], lambda v: v[0][:size] + inner.write(v[1]))


def _read_lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def _write_lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value, separators=(",", ":")).encode() + b"\n" for value in values)


JSON_LINES = Codec(_read_lines, _write_lines)
GZIP_JSON_LINES = Codec(lambda d: _read_lines(gzip.decompress(d)), lambda v: gzip.compress(_write_lines(v), 1, mtime=0))
