"""Attestations, deliveries, complaints and verdicts as bytes: back exactly, or not at all."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.encoding import decode, encode
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import (
    ArrangementId,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Hop,
    Position,
    QueryId,
    Verdict,
)
from tests.unit.protocol.protocol_tools import digest

PLACE = QueryId(5), Attempt(1)
ENTRIES: list[Any] = [
    Attestation(ArrangementId(5), Position(1), 2, digest(1), digest(2)),
    Delivery(*PLACE, digest(1), digest(2), digest(3)),
    Complaint(*PLACE, Hop(2), ComplaintKind.ALTERED, digest(1), digest(2)),
    Verdict(*PLACE, Hop(2), True, False, digest(1), digest(2)),
]
SIGNATURE = bytes(range(65))


def name_of(entry: Any) -> str:
    return type(entry).__name__.lower()


def broken(entry: Any, place: int, value: Any) -> bytes:
    """The entry's record with one value replaced."""
    values = decode(encode_entry(entry, SIGNATURE), "entry")
    values[place] = value
    return encode(values)


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_entry_survives_encoding_in_every_field(entry: Any) -> None:
    for member in fields(entry):
        value = getattr(entry, member.name)
        other: Any = digest(99) if isinstance(value, bytes) else value + 1
        if isinstance(value, bool):
            other = not value
        for each in (entry, replace(entry, **{member.name: other})):
            assert decode_entry(encode_entry(each, SIGNATURE), type(entry)) == (each, SIGNATURE)


def test_entry_of_one_kind_is_none_of_another() -> None:
    for entry in ENTRIES:
        for other in ENTRIES:
            if other is not entry:
                with pytest.raises(ProtocolError):
                    decode_entry(encode_entry(entry, SIGNATURE), type(other))


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_entry_with_a_broken_value_is_refused(entry: Any) -> None:
    count = len(fields(entry)) + 3
    wrong: list[Any] = [None, "text", 1.0, [1], bytes(31), bytes(33)]
    for place in range(count):
        for value in wrong:
            with pytest.raises(ProtocolError, match=rf"^{name_of(entry)}: "):
                decode_entry(broken(entry, place, value), type(entry))


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_number_is_no_truth_value_and_none_is_no_number(entry: Any) -> None:
    for place, member in enumerate(fields(entry), start=2):
        value = getattr(entry, member.name)
        if not isinstance(value, bytes):
            swapped: Any = int(value) if isinstance(value, bool) else True
            with pytest.raises(ProtocolError, match=f"field {place - 2} is"):
                decode_entry(broken(entry, place, swapped), type(entry))


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(66)])
def test_entry_with_a_signature_of_another_length_is_refused(signature: bytes) -> None:
    for entry in ENTRIES:
        with pytest.raises(ProtocolError, match=f"a signature of {len(signature)} bytes"):
            decode_entry(encode_entry(entry, signature), type(entry))


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
@given(index=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_entry_changed_byte_is_refused_or_another(entry: Any, index: int, change: int) -> None:
    data = bytearray(encode_entry(entry, SIGNATURE))
    data[index % len(data)] ^= change
    try:
        assert decode_entry(bytes(data), type(entry)) != (entry, SIGNATURE)
    except ProtocolError:
        return
