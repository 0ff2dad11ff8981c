"""Malformed and foreign bytes, one by one: what the decoder refuses, and how little that takes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import cbor2
import pytest

from deepring_chain.encoding import (
    MAX_ITEMS,
    MAX_LEVELS,
    check_digests,
    decode,
    decode_fields,
    encode,
    encode_fields,
    tag,
)
from deepring_chain.errors import ProtocolError
from tests.unit.encoding_tools import same
from tests.waiting import processor_seconds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 8949, appendix A
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000000, "1a000f4240"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-1, "20"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (1.5, "f93e00"),
        (100000.0, "fa47c35000"),
        (1.1, "fb3ff199999999999a"),
        (-0.0, "f98000"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (b"\1\2\3\4", "4401020304"),
        ("ü", "62c3bc"),
        ([1, [2, 3]], "8201820203"),
        ({"a": 1, "b": [2]}, "a261610161628102"),
        # RFC 8949, 4.2.1: keys in the order of their encodings
        ({"b": 0, "aa": 0, "": 0}, "a3600061620062616100"),
    ],
)
def test_encoding_is_that_of_the_rfc(value: Any, expected: str) -> None:
    assert encode(value).hex() == expected
    assert same(decode(bytes.fromhex(expected), "test"), value)


# ---------------------------------------------------------------- strictness

FORBIDDEN = {
    "nothing": "",
    "trailing byte": "0000",
    "second value": "80f6",
    "int in a longer form": "1800",
    "int in the longest form": "1b0000000000000001",
    "negative in a longer form": "3800",
    "text length in a longer form": "780161",
    "bytes length in a longer form": "580100",
    "list length in a longer form": "980100",
    "map length in a longer form": "b801616100",
    "half as single": "fa3fc00000",
    "half as double": "fb3ff8000000000000",
    "single as double": "fb40f86a0000000000",
    "indefinite list": "9f01ff",
    "indefinite map": "bf616101ff",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "break alone": "ff",
    "reserved length": "1c",
    "reserved length of bytes": "5e00",
    "duplicate key": "a2616101616102",
    "keys out of order": "a2616201616101",
    "longer key first": "a262616100616200",
    "int key": "a10101",
    "bytes key": "a1416101",
    "list key": "a1810101",
    "map key": "a1a001",
    "null key": "a1f601",
    "NaN": "f97e00",
    "NaN with payload": "f97e01",
    "NaN as double": "fb7ff8000000000000",
    "infinity": "f97c00",
    "negative infinity": "f9fc00",
    "infinity as double": "fb7ff0000000000000",
    "undefined": "f7",
    "simple value 0": "e0",
    "simple value 255": "f8ff",
    "false in two bytes": "f814",
    "text that is not UTF-8": "61ff",
    "text with a surrogate": "63eda080",
    "truncated int": "19ff",
    "truncated bytes": "4201",
    "truncated list": "8201",
    "truncated map": "a16161",
    "truncated float": "f93e",
}


@pytest.mark.parametrize("data", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_decode_other_than_deterministic_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError, match=r"^thing: not "):
        decode(bytes.fromhex(data), "thing")


TAGGED = {
    "date text": (0, "2013-03-21T20:04:00Z"),
    "epoch": (1, 1363896240),
    "positive bignum": (2, b"\1" + bytes(8)),
    "bignum of no bytes": (2, "a"),
    "negative bignum": (3, b"\1" + bytes(8)),
    "decimal": (4, [1, 15]),
    "decimal beyond all limits": (4, [2**62, 1]),
    "bigfloat beyond all limits": (5, [2**40, 3]),
    "shareable": (28, [1]),
    "shared reference": (29, 0),
    "rational": (30, [1, 2]),
    "rational with zero": (30, [1, 0]),
    "regular expression": (35, "a"),
    "broken regular expression": (35, "("),
    "e-mail": (36, "Subject: x\n\ny"),
    "UUID": (37, bytes(16)),
    "days": (100, 1),
    "set": (258, [1]),
    "IP address": (260, bytes(4)),
    "complex": (43000, [1.0, 2.0]),
    "self-described": (55799, 1),
    "unknown": (123456, 1),
}


@pytest.mark.parametrize("tagged", TAGGED.values(), ids=TAGGED.keys())
def test_decode_tag_is_refused_unread(tagged: tuple[int, Any]) -> None:
    """A stranger tags a value so that the decoder builds something out of it: nothing is built."""
    data = cbor2.dumps(["thing", 1, cbor2.CBORTag(*tagged)], canonical=True)
    with pytest.raises(ProtocolError, match="a tag"):
        decode_fields(data, "thing", [object])


@pytest.mark.parametrize("head", ["5b", "7b", "9b", "bb"])
@pytest.mark.parametrize("size", [2**24, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_decode_declared_length_is_not_believed(head: str, size: int) -> None:
    """A stranger declares exabytes in nine bytes: the answer comes at once and takes no memory."""
    data = bytes.fromhex(head) + size.to_bytes(8, "big")
    tracemalloc.start()
    try:
        with processor_seconds(1), pytest.raises(ProtocolError, match="end too early"):
            decode(data, "thing")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nesting", [b"\x81", b"\xa1\x60", b"\xc1"], ids=["lists", "maps", "tags"])
@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 1_000, 1_000_000])
def test_decode_deep_nesting_is_refused(nesting: bytes, levels: int) -> None:
    """A stranger nests a million containers: the stack survives."""
    with pytest.raises(ProtocolError):
        decode(nesting * levels + b"\0", "thing")


def test_decode_nesting_up_to_the_limit_is_read() -> None:
    assert decode(b"\x81" * MAX_LEVELS + b"\0", "thing")


def test_decode_too_many_values_are_refused() -> None:
    """A stranger sends millions of one-byte values, each of which would cost a Python object."""
    assert len(decode(encode([0] * (MAX_ITEMS - 1)), "thing")) == MAX_ITEMS - 1
    with pytest.raises(ProtocolError, match="too many"):
        decode(encode([0] * MAX_ITEMS), "thing")


# ---------------------------------------------------------------- named fields


def test_fields_come_back_by_name_and_kind() -> None:
    fields = [1, "a", b"b", [2], {"c": 3}, True, 0.5]
    kinds = [int, str, bytes, list, dict, bool, float]
    assert decode_fields(encode_fields("thing", fields), "thing", kinds) == fields


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"thing": 1}, "not a thing"),
        ("thing", "not a thing"),
        ([], "not a thing"),
        ([["thing"], 1, 5], "not a thing"),
        (["other", 1, 5], "not a thing"),
        ([b"thing", 1, 5], "not a thing"),
        (["thing"], "no format version"),
        (["thing", "1", 5], "no format version"),
        (["thing", True, 5], "no format version"),
        (["thing", 1.0, 5], "no format version"),
        (["thing", [1], 5], "no format version"),
        (["thing", 0, 5], "format version 0, this program reads 1"),
        (["thing", 2, 5], "format version 2, this program reads 1"),
        (["thing", 1], "0 fields, expected 1"),
        (["thing", 1, 5, 6], "2 fields, expected 1"),
        (["thing", 1, True], "field 0 is bool, expected int"),
        (["thing", 1, 5.0], "field 0 is float, expected int"),
        (["thing", 1, None], "field 0 is NoneType, expected int"),
        (["thing", 1, "5"], "field 0 is str, expected int"),
        (["thing", 1, b"5"], "field 0 is bytes, expected int"),
    ],
)
def test_fields_of_another_structure_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ProtocolError, match=rf"^thing: .*{message}"):
        decode_fields(encode(value), "thing", [int])


def test_fields_text_is_no_bytes() -> None:
    with pytest.raises(ProtocolError, match="field 0 is str, expected bytes"):
        decode_fields(encode_fields("thing", ["x" * 32]), "thing", [bytes])


def test_fields_long_version_does_not_flood_the_message() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_fields(encode(["thing", "\n" * 10_000]), "thing", [])
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), 32, "x" * 32, None, [0] * 32])
def test_check_digests_refuses_all_but_32_bytes(digest: Any) -> None:
    with pytest.raises(ProtocolError, match="thing: a digest"):
        check_digests("thing", bytes(32), digest)


def test_tag_is_32_bytes_and_names_its_purpose() -> None:
    assert tag("leaf") == b"deepring/v1/leaf" + bytes(16)
    assert tag("leaf") != tag("layer")
    with pytest.raises(ValueError, match="too long"):
        tag("x" * 21)


@pytest.mark.parametrize("key", [b"\xa1", b"\xaf", b"\x81", b"\xa1\x81", b"\x81\xa1"])
def test_keys_within_keys_without_end_are_refused(key: bytes) -> None:
    for data in (key * 5000, b"\x83" + key * 5000):
        with pytest.raises(ProtocolError, match="not CBOR as this program writes it"):
            decode(data, "value")
