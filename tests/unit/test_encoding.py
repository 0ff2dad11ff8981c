"""Canonical bytes: one value has one encoding, and generated ones, or bytes, end in a value or a ProtocolError."""

from __future__ import annotations

from typing import Any

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepring_chain.encoding import decode, encode
from deepring_chain.errors import ProtocolError
from tests.unit.encoding_tools import same

INTEGERS = st.integers(-(2**64), 2**64 - 1)
LEAVES = (
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_decode_gives_back_what_was_encoded(value: Any) -> None:
    assert same(decode(encode(value), "test"), value)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_decode_agrees_with_the_library(value: Any) -> None:
    data = encode(value)
    assert same(decode(data, "test"), cbor2.loads(data))


@given(st.binary(max_size=200))
@example(bytes.fromhex("c4821b3fffffffffffffff01"))
@settings(max_examples=500, deadline=None)
def test_decode_arbitrary_bytes_end_in_one_way_or_the_other(data: bytes) -> None:
    try:
        value = decode(data, "thing")
    except ProtocolError:
        return
    assert encode(value) == data
