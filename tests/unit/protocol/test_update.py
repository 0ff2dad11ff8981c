"""Signed entries: made for the hop that is due, and read back from the write-ahead record exactly or not at all."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.signing import recover_signer
from deepring_chain.encoding import encode, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.session import Moment, Session
from deepring_chain.protocol.update import (
    closing_delivery,
    decode_signed_update,
    encode_signed_update,
    next_update,
    sign_update,
)
from deepring_chain.types import MAX_ITEMS, ArrangementId, Attempt, Delivery, Hop, QueryId, SignedUpdate, Update
from tests.unit.protocol.protocol_tools import DOMAIN, ITEMS, account, address, digest, opened, posted, submitted

SESSION = Session.submitted(submitted(5)).apply(opened(5, attempt=2), Moment(ArrangementId(1), 3))
SESSION = SESSION.apply(posted(0, 5, 2), Moment(ArrangementId(1), 3))
UPDATE = next_update(SESSION, digest(1), digest(2), digest(3))
SIGNED = sign_update(account(1), DOMAIN, UPDATE, digest(4), digest(5))


def test_next_update_stands_at_the_hop_that_is_due() -> None:
    expected = Update(QueryId(5), Attempt(2), Hop(1), ITEMS, digest(1), digest(2), digest(3), posted(0).trail)
    assert expected == UPDATE


def test_signed_update_is_signed_for_the_ledger() -> None:
    assert recover_signer(DOMAIN, SIGNED.update, SIGNED.signature) == address(1)
    assert (SIGNED.salt, SIGNED.next_route) == (digest(4), digest(5))


def test_closing_delivery_takes_the_trail_before_it() -> None:
    expected = Delivery(QueryId(5), Attempt(2), digest(8), digest(9), SESSION.trail)
    assert closing_delivery(SESSION, digest(8), digest(9)) == expected


def test_signed_update_survives_encoding() -> None:
    assert decode_signed_update(encode_signed_update(SIGNED)) == SIGNED


@pytest.mark.parametrize(
    "place", [(0, 0, 0), (2**64 - 1, 2**16 - 1, 2**16 - 1), (1, 2, 3)], ids=["least", "most", "some"]
)
def test_signed_update_survives_encoding_at_every_place(place: tuple[int, int, int]) -> None:
    query, attempt, hop = place
    update = replace(UPDATE, query=QueryId(query), attempt=Attempt(attempt), hop=Hop(hop))
    signed = replace(SIGNED, update=update)
    assert decode_signed_update(encode_signed_update(signed)) == signed


def test_signed_update_every_field_is_recorded_at_its_own_place() -> None:
    others = [
        replace(SIGNED, update=replace(UPDATE, **{member.name: _other(UPDATE, member.name)}))
        for member in fields(UPDATE)
    ]
    others += [replace(SIGNED, **{name: _other(SIGNED, name)}) for name in ("signature", "salt", "next_route")]
    encoded = {encode_signed_update(signed) for signed in [SIGNED, *others]}
    assert len(encoded) == len(others) + 1
    assert [decode_signed_update(encode_signed_update(signed)) for signed in others] == others


@pytest.mark.parametrize("items", [1, MAX_ITEMS])
def test_signed_update_takes_every_number_of_items(items: int) -> None:
    signed = replace(SIGNED, update=replace(UPDATE, items=items))
    assert decode_signed_update(encode_signed_update(signed)) == signed


def _other(record: Update | SignedUpdate, name: str) -> Any:
    value = getattr(record, name)
    return value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]


FIELDS: list[Any] = [5, 2, 1, 3, digest(1), digest(2), digest(3), digest(4), bytes(65), digest(5), digest(6)]

BROKEN: dict[str, tuple[int, Any]] = {
    "query negative": (0, -1),
    "query most negative": (0, -(2**64)),
    "attempt too large": (1, 2**16),
    "attempt negative": (1, -1),
    "hop too large": (2, 2**16),
    "hop negative": (2, -1),
    "items zero": (3, 0),
    "items negative": (3, -1),
    "items too large": (3, 2**32),
    **{f"field {place} a bool": (place, True) for place in range(4)},
    **{f"field {place} a float": (place, 1.0) for place in range(4)},
    **{f"digest {place} short": (place, bytes(31)) for place in (4, 5, 6, 7, 9, 10)},
    **{f"digest {place} long": (place, bytes(33)) for place in (4, 5, 6, 7, 9, 10)},
    "digest a text": (4, "x" * 32),
    "signature short": (8, bytes(64)),
    "signature long": (8, bytes(66)),
    "signature a text": (8, "x" * 65),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_signed_update_with_a_broken_field_is_refused(broken: tuple[int, Any]) -> None:
    place, value = broken
    changed = [value if number == place else field for number, field in enumerate(FIELDS)]
    with pytest.raises(ProtocolError, match=r"^signed update: "):
        decode_signed_update(encode_fields("signed update", changed))


def test_signed_update_of_another_structure_is_refused() -> None:
    assert decode_signed_update(encode(["signed update", 1, *FIELDS])).salt == digest(5)
    for value in (
        ["signed update", 2, *FIELDS],
        ["signed update", True, *FIELDS],
        ["update", 1, *FIELDS],
        ["signed update", 1, *FIELDS[:-1]],
        ["signed update", 1, *FIELDS, b""],
    ):
        with pytest.raises(ProtocolError, match=r"^signed update: "):
            decode_signed_update(encode(value))
    with pytest.raises(ProtocolError):
        decode_signed_update(encode_signed_update(SIGNED) + b"\0")


@given(st.integers(0, len(encode_signed_update(SIGNED)) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_signed_update_changed_byte_is_refused_or_another(index: int, change: int) -> None:
    data = bytearray(encode_signed_update(SIGNED))
    data[index] ^= change
    try:
        assert decode_signed_update(bytes(data)) != SIGNED
    except ProtocolError:
        return


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_signed_update_of_arbitrary_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_signed_update(data)
