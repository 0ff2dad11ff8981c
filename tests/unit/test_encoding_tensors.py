"""Tensors and layer headers as bytes: what does not add up is refused, and no two of them look alike."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.encoding import (
    ITEM_SIZES,
    decode_fields,
    decode_tensor,
    encode_before_payload,
    encode_fields,
    encode_tensor,
    layer_header,
    split_payload,
    tensor_prefix,
)
from deepring_chain.errors import ProtocolError
from deepring_chain.types import TensorBytes

# ---------------------------------------------------------------- tensors

TENSOR = TensorBytes("int32", (2, 1, 3), bytes(range(24)))

SHAPES = st.lists(st.integers(1, 5), max_size=5)


@given(st.sampled_from(sorted(ITEM_SIZES)), SHAPES, st.randoms())
@settings(max_examples=100, deadline=None)
def test_tensor_survives_encoding(dtype: str, shape: list[int], rng: Any) -> None:
    data = bytes(rng.randrange(256) for _ in range(ITEM_SIZES[dtype] * math.prod(shape)))
    tensor = TensorBytes(dtype, tuple(shape), data)
    assert decode_tensor(encode_tensor(tensor)) == tensor


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["float32", [6], bytes(24)], "unknown dtype 'float32'"),
        (["int64", [3], bytes(24)], "unknown dtype"),
        (["INT8", [24], bytes(24)], "unknown dtype"),
        (["", [24], bytes(24)], "unknown dtype"),
        (["x" * 10_000, [24], bytes(24)], "unknown dtype 'xxxxxxxxxxxxxxxx'$"),
        (["int8", [0], b""], "unusable shape"),
        (["int8", [-1], b""], "unusable shape"),
        (["int8", [-2, -2], bytes(4)], "unusable shape"),
        (["int8", [True], bytes(1)], "unusable shape"),
        (["int8", [1.0], bytes(1)], "unusable shape"),
        (["int8", ["1"], bytes(1)], "unusable shape"),
        (["int8", [[1]], bytes(1)], "unusable shape"),
        (["int8", [None], bytes(1)], "unusable shape"),
        (["int8", [2**31], bytes(1)], "unusable shape"),
        (["int8", [2**64 - 1], bytes(1)], "unusable shape"),
        (["int8", [1] * 9, bytes(1)], "unusable shape"),
        (["int8", [2**31 - 1] * 8, bytes(1)], "1 bytes of data"),
        (["int8", [3], bytes(2)], "2 bytes of data, shape .3. needs 3"),
        (["int8", [3], bytes(4)], "4 bytes of data"),
        (["int32", [3], bytes(3)], "3 bytes of data, shape .3. needs 12"),
        (["int8", [], b""], "0 bytes of data"),
        (["int8", [1], "a"], "field 2 is str"),
        (["int8", {"a": 1}, bytes(1)], "field 1 is dict"),
        ([b"int8", [1], bytes(1)], "field 0 is bytes"),
    ],
)
def test_tensor_that_does_not_add_up_is_refused(fields: list[Any], message: str) -> None:
    with pytest.raises(ProtocolError, match=rf"^tensor: .*{message}"):
        decode_tensor(encode_fields("tensor", fields))


def test_tensor_trailing_byte_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode_tensor(encode_tensor(TENSOR) + b"\0")


@given(st.integers(0, len(encode_tensor(TENSOR)) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_tensor_changed_byte_is_refused_or_another_tensor(place: int, change: int) -> None:
    data = bytearray(encode_tensor(TENSOR))
    data[place] ^= change
    try:
        found = decode_tensor(bytes(data))
    except ProtocolError:
        return
    assert found != TENSOR
    assert len(found.data) == ITEM_SIZES[found.dtype] * math.prod(found.shape)


@given(st.integers(0, len(encode_tensor(TENSOR)) - 1))
@settings(max_examples=50, deadline=None)
def test_tensor_truncated_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        decode_tensor(encode_tensor(TENSOR)[:size])


@given(st.binary(max_size=100))
@settings(max_examples=200, deadline=None)
def test_tensor_of_arbitrary_fields_is_refused_or_read(data: bytes) -> None:
    encoded = b"\x85\x66tensor\x01" + data
    try:
        found = decode_tensor(encoded)
    except ProtocolError:
        return
    assert encode_tensor(found) == encoded


def test_tensor_prefixes_differ_in_dtype_rank_and_sizes() -> None:
    described = [
        ("int8", (6,)),
        ("uint8", (6,)),
        ("int32", (6,)),
        ("int8", (2, 3)),
        ("int8", (3, 2)),
        ("int8", (6, 1)),
        ("int8", (1, 6)),
        ("int8", ()),
    ]
    prefixes = [tensor_prefix(dtype, shape) for dtype, shape in described]
    assert len(set(prefixes)) == len(prefixes)
    # None begins another: elements cannot be read as sizes, nor sizes as elements.
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)


def test_tensor_prefix_is_the_documented_layout() -> None:
    expected = b"int8\0\0\0\0" + (2).to_bytes(4, "little") + (3).to_bytes(8, "little") + (5).to_bytes(8, "little")
    assert tensor_prefix("int8", (3, 5)) == expected


# ---------------------------------------------------------------- layer headers

HEADER: dict[str, Any] = {
    "index": 1,
    "operator": "dense",
    "attributes": {"relu": 1, "zero": -3},
    "tensors": [("weight", "int8", (2, 3)), ("bias", "int32", (3,))],
}


def test_layer_header_has_its_length_in_front_and_reads_back() -> None:
    header = layer_header(**HEADER)
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    listed = [["weight", "int8", [2, 3]], ["bias", "int32", [3]]]
    fields = decode_fields(header[8:], "layer", [int, str, dict, list])
    assert fields == [1, "dense", {"relu": 1, "zero": -3}, listed]


@pytest.mark.parametrize(
    "change",
    [
        {"index": 2},
        {"operator": "conv"},
        {"attributes": {"relu": 0, "zero": -3}},
        {"attributes": {"relu": 1}},
        {"attributes": {"relu": 1, "zero": -3, "more": 0}},
        {"tensors": [("weight", "int8", (3, 2)), ("bias", "int32", (3,))]},
        {"tensors": [("weight", "uint8", (2, 3)), ("bias", "int32", (3,))]},
        {"tensors": [("Weight", "int8", (2, 3)), ("bias", "int32", (3,))]},
        {"tensors": [("bias", "int32", (3,)), ("weight", "int8", (2, 3))]},
        {"tensors": [("weight", "int8", (2, 3))]},
    ],
)
def test_layer_header_changes_with_everything_it_says(change: dict[str, Any]) -> None:
    assert layer_header(**{**HEADER, **change}) != layer_header(**HEADER)


def test_layer_header_does_not_depend_on_the_order_of_attributes() -> None:
    turned = dict(reversed(list(HEADER["attributes"].items())))
    assert layer_header(**{**HEADER, "attributes": turned}) == layer_header(**HEADER)


MESSAGE = encode_fields("message", [7, "name", [1, 2], bytes(40)])
KINDS = [int, str, list]


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65535, 65536])
def test_payload_is_split_off_without_a_copy(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    data = bytearray(encode_fields("message", [7, payload]))
    assert encode_before_payload("message", [7], size) + payload == data
    fields, view = split_payload(memoryview(data), "message", [int])
    assert fields == [7]
    assert view == payload
    if size:
        data[-1] ^= 1
        assert view[-1] == data[-1]


@settings(max_examples=600, deadline=None)
@given(st.integers(0, len(MESSAGE) - 1), st.binary(min_size=0, max_size=3), st.integers(0, 3))
def test_split_payload_is_as_strict_as_decode_fields(at: int, put: bytes, cut: int) -> None:
    """Bytes replaced, inserted or removed anywhere: both refuse, or both find the same."""
    data = MESSAGE[:at] + put + MESSAGE[at + cut :]
    try:
        expected = decode_fields(data, "message", [*KINDS, bytes])
    except ProtocolError:
        with pytest.raises(ProtocolError):
            split_payload(data, "message", KINDS)
    else:
        fields, payload = split_payload(data, "message", KINDS)
        assert [*fields, bytes(payload)] == expected


@pytest.mark.parametrize(("width", "size"), [(0, 23), (1, 24), (2, 24), (3, 24)])
def test_size_that_is_not_in_the_shortest_form_is_refused(width: int, size: int) -> None:
    head = encode_before_payload("message", [7], 0)[:-1]
    written = bytes([0x58 | width]) + size.to_bytes(1 << width, "big")
    with pytest.raises(ProtocolError, match="message: not in deterministic encoding"):
        split_payload(head + written + bytes(size), "message", [int])


def test_longer_form_of_a_size_does_not_make_up_for_a_missing_byte() -> None:
    """The whole is as long as it should be, one byte of the size in place of one of the payload."""
    head = encode_before_payload("message", [7], 0)[:-1]
    with pytest.raises(ProtocolError, match="message: not in deterministic encoding"):
        split_payload(head + b"\x58\x05" + bytes(4), "message", [int])


@pytest.mark.parametrize("data", [b"", b"\x83", b"\x85" + MESSAGE[1:], b"\x87" + MESSAGE[1:], b"\xa6" + MESSAGE[1:]])
def test_message_of_another_number_of_fields_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="the bytes are not a message of 4 fields"):
        split_payload(data, "message", KINDS)
