"""Canonical bytes of everything that is hashed, sealed or stored. Formats are written down in docs/formats.md.

Structured bytes are deterministic CBOR (RFC 8949, section 4.2.1): one value has one encoding, and `decode` refuses any
other. Every hash starts with a 32-byte domain tag, so that bytes made for one purpose mean nothing in another.
"""

from __future__ import annotations

import math
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

MAX_LEVELS = 16
"""Containers within containers in one structure; those here have at most five."""

MAX_ITEMS = 1 << 20
"""Values in one structure. A bundle of notes and a route's draw have the most, a few for each seat."""


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
TAG_VIOLATION = tag("violation")
TAG_RENEWAL = tag("renewal")
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
        ProtocolError: `data` is not the deterministic encoding of one value, or exceeds MAX_LEVELS or MAX_ITEMS.
    """
    try:
        value = _Reader(data).read(0)
    except ValueError as error:
        raise ProtocolError(f"{what}: not CBOR as this program writes it ({error})") from None
    if encode(value) != data:
        raise ProtocolError(f"{what}: not in deterministic encoding (RFC 8949, 4.2.1)")
    return value


class _Reader:
    """Reads the kinds of values that `encode` takes and no other; time and memory stay in proportion to the input.

    The library's own decoder follows tags: untrusted bytes would make it compile regular expressions, parse dates
    and e-mails, and raise the errors of all of these. Non-shortest forms are left to the comparison in `decode`.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    def read(self, level: int) -> Any:
        """The next value; raises ValueError."""
        self._items += 1
        if level > MAX_LEVELS or self._items > MAX_ITEMS:
            raise ValueError("too many values or levels")
        (initial,) = self._take(1)
        kind, low = initial >> 5, initial & 31
        return self._simple(low) if kind == 7 else self._of_size(kind, self._argument(low), level)

    def read_until_last(self, items: int) -> tuple[bytes, int]:
        """Of an array of so many items that ends with a byte string: the bytes before that, and its size."""
        self._take(1)
        for _ in range(items - 1):
            self.read(1)
        head = bytes(self._data[: self._at])
        (initial,) = self._take(1)
        if initial >> 5 != 2:
            raise ValueError(f"field {items - 3} is {_KINDS[initial >> 5]}, expected bytes")
        return head, self._argument(initial & 31)

    def _of_size(self, kind: int, argument: int, level: int) -> Any:
        match kind:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._take(argument).decode()
            case 4:
                return [self.read(level + 1) for _ in range(argument)]
            case 5:
                return {self._key(): self.read(level + 1) for _ in range(argument)}
        raise ValueError("a tag")

    def _key(self) -> str:
        """A text, told by its first byte: a map as the key of a map as a key would be read without end."""
        if self._data[self._at : self._at + 1] and self._data[self._at] >> 5 != _TEXT:
            raise ValueError("a key that is no text")
        key: str = self.read(MAX_LEVELS)
        return key

    def _argument(self, low: int) -> int:
        if low < 24:
            return low
        if low > 27:
            raise ValueError("a reserved or indefinite length")
        return int.from_bytes(self._take(1 << (low - 24)), "big")

    def _simple(self, low: int) -> Any:
        if low in _SIMPLE_VALUES:
            return _SIMPLE_VALUES[low]
        if low not in _FLOATS:
            raise ValueError("a simple value")
        number: float = struct.unpack(_FLOATS[low], self._take(struct.calcsize(_FLOATS[low])))[0]
        if not math.isfinite(number):
            raise ValueError("a number that is not finite")
        return number

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[self._at : self._at + size])
        if len(taken) != size:
            raise ValueError("the bytes end too early")
        self._at += size
        return taken


_KINDS = ("int", "int", "bytes", "str", "list", "dict", "a tag", "a simple value")
_TEXT = 3
_SIMPLE_VALUES = {20: False, 21: True, 22: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


def decode_fields(data: bytes, what: str, kinds: Sequence[type]) -> list[Any]:
    """Decodes `[what, FORMAT_VERSION, field, ...]` and checks each field's type (a bool is no int).

    Raises:
        ProtocolError: other structure, other name, other version, or a field of another type.
    """
    value = decode(data, what)
    if not isinstance(value, list) or value[:1] != [what]:
        raise ProtocolError(f"{what}: the bytes are not a {what}")
    if len(value) < 2 or type(value[1]) is not int:
        raise ProtocolError(f"{what}: no format version")
    if value[1] != FORMAT_VERSION:
        raise ProtocolError(f"{what}: format version {value[1]}, this program reads {FORMAT_VERSION}")
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


def encode_before_payload(what: str, fields: Sequence[object], size: int) -> bytes:
    """The bytes of `encode_fields(what, [*fields, payload])` that come before a payload of `size` bytes.

    Large payloads are the last field of their message: they are read and written where they lie, without a copy.
    """
    first = [what, FORMAT_VERSION, *fields]
    return bytes([0x80 | (len(first) + 1)]) + b"".join(encode(field) for field in first) + _bytes_head(size)


def _bytes_head(size: int) -> bytes:
    """Initial bytes of a byte string (RFC 8949, major type 2) in the shortest form."""
    if size < 24:
        return bytes([0x40 | size])
    width = next(width for width in range(4) if size < 1 << (8 << width))
    return bytes([0x58 | width]) + size.to_bytes(1 << width, "big")


def split_payload(data: bytes | memoryview, what: str, kinds: Sequence[type]) -> tuple[list[Any], memoryview]:
    """Inverse of `encode_before_payload` and the payload behind it; as strict as `decode_fields`.

    Args:
        data: untrusted bytes.
        what: name of the message.
        kinds: types of the fields before the payload.

    Returns:
        The fields, and a view of the payload within `data`.

    Raises:
        ProtocolError: as `decode_fields` does.
    """
    view = memoryview(data).cast("B")
    head, size = _head_of(view, len(kinds) + 3, what)
    fields = decode_fields(head + b"\x40", what, [*kinds, bytes])[:-1]
    before = encode_before_payload(what, fields, size)
    if bytes(view[: len(before)]) != before or len(view) != len(before) + size:
        raise ProtocolError(f"{what}: not in deterministic encoding (RFC 8949, 4.2.1)")
    return fields, view[len(before) :]


def _head_of(view: memoryview, items: int, what: str) -> tuple[bytes, int]:
    """What comes before the last of a message's items, and the size of that item, a byte string."""
    if not len(view) or view[0] != 0x80 | items:
        raise ProtocolError(f"{what}: the bytes are not a {what} of {items - 2} fields")
    try:
        return _Reader(view).read_until_last(items)
    except ValueError as error:
        raise ProtocolError(f"{what}: not CBOR as this program writes it ({error})") from None


def check_digests(what: str, *digests: bytes) -> None:
    """Raises ProtocolError unless each of `digests` is bytes, 32 of them."""
    for digest in digests:
        if type(digest) is not bytes:
            raise ProtocolError(f"{what}: a digest that is no bytes but {type(digest).__name__}")
        if len(digest) != 32:
            raise ProtocolError(f"{what}: a digest of {len(digest)} bytes, expected 32")


def tensor_prefix(dtype: str, shape: Sequence[int]) -> bytes:
    """Bytes that come before a tensor's elements wherever it is hashed: dtype, rank and sizes, unambiguous."""
    name = dtype.encode("ascii").ljust(8, b"\0")
    return name + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)


def encode_tensor(tensor: TensorBytes) -> bytes:
    """CBOR of a tensor, for the inside of a sealed message."""
    return tensor_head(tensor) + tensor.data


def tensor_head(tensor: TensorBytes) -> bytes:
    """The bytes of `encode_tensor` before the elements."""
    return encode_before_payload("tensor", [tensor.dtype, list(tensor.shape)], len(tensor.data))


def decode_tensor(data: bytes | memoryview) -> TensorBytes:
    """Inverse of `encode_tensor`; checks that shape, dtype and length agree. The elements stay where they are.

    Raises:
        ProtocolError: malformed bytes.
    """
    (dtype, shape), elements = split_payload(data, "tensor", [str, list])
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
