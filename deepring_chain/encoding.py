"""Canonical bytes of everything that is hashed, sealed or stored. Formats are written down in docs/formats.md.

Structured bytes are deterministic CBOR (RFC 8949, section 4.2.1): one value has one encoding, and `decode` refuses any
other. Every hash starts with a 32-byte domain tag, so that bytes made for one purpose mean nothing in another.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import cbor2

from deepring_chain.errors import ProtocolError
from deepring_chain.types import TensorBytes

FORMAT_VERSION = 1

ITEM_SIZES = {"int8": 1, "uint8": 1, "int32": 4}
"""Bytes per element of the dtypes that a ring computes with."""

MAX_DIMENSIONS = 8


def tag(purpose: str) -> bytes:
    """32-byte domain tag, ASCII padded with zeros; the contracts hold the same bytes as `bytes32` literals."""
    text = f"deepring/v{FORMAT_VERSION}/{purpose}".encode("ascii")
    if len(text) > 32:
        raise ValueError(f"domain tag too long: {purpose}")
    return text.ljust(32, b"\0")


TAG_LEAF = tag("leaf")
TAG_BLOCK_HASH = tag("block-hash")
TAG_ROUTE = tag("route")
TAG_TRAIL = tag("trail")
TAG_QUERY = tag("query")
TAG_OUTPUT = tag("output")
TAG_HOP_KEY = tag("hop-key")
TAG_TENSOR = tag("tensor")
TAG_LAYER = tag("layer")
TAG_MANIFEST = tag("manifest")


def encode(value: object) -> bytes:
    """Deterministic CBOR of `value` (None, bool, int, float, str, bytes, and lists and string-keyed maps of these)."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, what: str) -> Any:
    """Inverse of `encode`.

    Args:
        data: untrusted bytes.
        what: name of the structure, for the error message.

    Raises:
        ProtocolError: `data` is not the deterministic encoding of one value.
    """
    try:
        value = cbor2.loads(data)
        canonical = encode(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise ProtocolError(f"{what}: not CBOR ({error})") from None
    if canonical != data:
        raise ProtocolError(f"{what}: not in deterministic encoding (RFC 8949, 4.2.1)")
    return value


def decode_fields(data: bytes, what: str, kinds: Sequence[type]) -> list[Any]:
    """Decodes `[what, FORMAT_VERSION, field, ...]` and checks each field's type (a bool is no int).

    Raises:
        ProtocolError: other structure, other name, other version, or a field of another type.
    """
    value = decode(data, what)
    if not isinstance(value, list) or value[:1] != [what]:
        raise ProtocolError(f"{what}: the bytes are not a {what}")
    if value[1:2] != [FORMAT_VERSION]:
        raise ProtocolError(f"{what}: format version {value[1:2]}, this program reads {FORMAT_VERSION}")
    fields = value[2:]
    if len(fields) != len(kinds):
        raise ProtocolError(f"{what}: {len(fields)} fields, expected {len(kinds)}")
    for number, (field, kind) in enumerate(zip(fields, kinds, strict=True)):
        if type(field) is not kind:
            raise ProtocolError(f"{what}: field {number} is {type(field).__name__}, expected {kind.__name__}")
    return fields


def encode_fields(what: str, fields: Sequence[object]) -> bytes:
    """Inverse of `decode_fields`."""
    return encode([what, FORMAT_VERSION, *fields])


def check_digests(what: str, *digests: bytes) -> None:
    """Raises ProtocolError unless each of `digests` is 32 bytes long."""
    for digest in digests:
        if len(digest) != 32:
            raise ProtocolError(f"{what}: a digest of {len(digest)} bytes, expected 32")


def tensor_prefix(dtype: str, shape: Sequence[int]) -> bytes:
    """Bytes that come before a tensor's elements wherever it is hashed: dtype, rank and sizes, unambiguous."""
    name = dtype.encode("ascii").ljust(8, b"\0")
    return name + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)


def encode_tensor(tensor: TensorBytes) -> bytes:
    """CBOR of a tensor, for the inside of a sealed message."""
    return encode_fields("tensor", [tensor.dtype, list(tensor.shape), tensor.data])


def decode_tensor(data: bytes) -> TensorBytes:
    """Inverse of `encode_tensor`; checks that shape, dtype and length agree.

    Raises:
        ProtocolError: malformed bytes.
    """
    dtype, shape, elements = decode_fields(data, "tensor", [str, list, bytes])
    if dtype not in ITEM_SIZES:
        raise ProtocolError(f"tensor: unknown dtype {dtype[:16]!r}")
    if len(shape) > MAX_DIMENSIONS or any(type(size) is not int or not 0 < size < 2**31 for size in shape):
        raise ProtocolError("tensor: unusable shape")
    expected = ITEM_SIZES[dtype]
    for size in shape:
        expected *= size
    if len(elements) != expected:
        raise ProtocolError(f"tensor: {len(elements)} bytes of data, shape {shape} needs {expected}")
    return TensorBytes(dtype, tuple(shape), elements)


def layer_header(
    index: int, operator: str, attributes: Mapping[str, int], tensors: Sequence[tuple[str, str, Sequence[int]]]
) -> bytes:
    """Everything of a layer but its elements, length-prefixed: hashed before the raw bytes of the tensors.

    Args:
        index: the layer's place in the network; binding it keeps two layers of one shape from being swapped.
        operator: "identity", "dense", ...
        attributes: integers that define the operator (zero points, strides, ...).
        tensors: name, dtype and shape of each tensor.
    """
    listed = [[name, dtype, list(shape)] for name, dtype, shape in tensors]
    header = encode_fields("layer", [index, operator, dict(attributes), listed])
    return struct.pack("<Q", len(header)) + header
