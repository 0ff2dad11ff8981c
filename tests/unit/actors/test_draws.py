"""What the ouroboros drew comes back from its journal exactly, or not at all."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.encoding import encode, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.draws import ArrangementDraw, RestoreDraw, RouteDraw
from deepring_chain.types import Address, Digest, Hop


def digest(number: int) -> Any:
    return Digest(bytes([number]) * 32)


SEATS = tuple(Address(Account.from_key(digest(number)).address) for number in (1, 2, 3))
RAW = [bytes.fromhex(seat[2:]) for seat in SEATS]
ARRANGEMENT = ArrangementDraw(SEATS, digest(4), (digest(5), digest(6), digest(7)), digest(8))
KEYS = (digest(11), digest(12), digest(13))
ROUTE = RouteDraw(Hop(1), SEATS, KEYS, (digest(5), digest(6)), digest(7), digest(8))
RESTORE = RestoreDraw(digest(1), digest(2), digest(3))
DRAWS: list[Any] = [ARRANGEMENT, ROUTE, RESTORE]
NAMES = ["arrangement", "route", "restore"]


def test_draws_survive_encoding() -> None:
    for draw in DRAWS:
        assert type(draw).decode(draw.encode()) == draw


@pytest.mark.parametrize("draw", DRAWS, ids=NAMES)
def test_every_field_of_a_draw_is_recorded(draw: Any) -> None:
    for member in fields(draw):
        value = getattr(draw, member.name)
        other: Any = value[::-1] if isinstance(value, tuple) else digest(99)
        if isinstance(value, int):
            other = value + 1
        changed = replace(draw, **{member.name: other})
        assert changed.encode() != draw.encode()
        assert type(draw).decode(changed.encode()) == changed


def test_a_draw_of_one_kind_is_none_of_the_other() -> None:
    for draw in DRAWS:
        for other in DRAWS:
            if other is not draw:
                with pytest.raises(ProtocolError):
                    type(other).decode(draw.encode())


BROKEN_LISTS: list[Any] = [[b"short"], [bytes(19)], [bytes(21)], ["x" * 20], [5], [None], [[bytes(20)]]]
BROKEN_DIGESTS: list[Any] = [[bytes(31)], [bytes(33)], ["x" * 32], [5], [None], [[digest(1)]], [True]]


@pytest.mark.parametrize("broken", BROKEN_LISTS)
def test_malformed_addresses_are_refused(broken: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="malformed address"):
        ArrangementDraw.decode(encode_fields("arrangement", [broken, digest(4), [digest(5)], digest(8)]))
    with pytest.raises(ProtocolError, match="malformed address"):
        RouteDraw.decode(encode_fields("route", [1, broken, [digest(4)], [digest(5)], digest(7), digest(8)]))


@pytest.mark.parametrize("broken", BROKEN_DIGESTS)
def test_malformed_digests_are_refused(broken: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="a digest"):
        ArrangementDraw.decode(encode_fields("arrangement", [RAW, digest(4), broken, digest(8)]))
    for lists in ([broken, [digest(5)]], [[digest(5)], broken]):
        with pytest.raises(ProtocolError, match="a digest"):
            RouteDraw.decode(encode_fields("route", [1, RAW, *lists, digest(7), digest(8)]))


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize("broken", [bytes(31), bytes(33), "x" * 32, 5, True, None, [digest(1)]])
def test_malformed_single_digests_are_refused(place: int, broken: Any) -> None:
    parts: list[Any] = [RAW, digest(4), [digest(5)], digest(8)]
    parts[place] = broken
    with pytest.raises(ProtocolError, match=r"^arrangement: "):
        ArrangementDraw.decode(encode_fields("arrangement", parts))
    restore: list[Any] = [digest(1), digest(2), digest(3)]
    restore[place - 1] = broken
    with pytest.raises(ProtocolError, match=r"^restore draw: "):
        RestoreDraw.decode(encode_fields("restore draw", restore))


@pytest.mark.parametrize("first_hop", [True, 1.0, "1", None, b"1"])
def test_first_hop_that_is_no_number_is_refused(first_hop: Any) -> None:
    with pytest.raises(ProtocolError, match=r"^route: field 0"):
        RouteDraw.decode(encode_fields("route", [first_hop, RAW, [], [], digest(7), digest(8)]))


def test_draws_of_another_structure_are_refused() -> None:
    parts = [RAW, digest(4), [digest(5)], digest(8)]
    for value in (
        ["arrangement", 2, *parts],
        ["arrangement", True, *parts],
        ["arrangement", 1, *parts[:-1]],
        ["arrangement", 1, *parts, b""],
    ):
        with pytest.raises(ProtocolError, match=r"^arrangement: "):
            ArrangementDraw.decode(encode(value))
    with pytest.raises(ProtocolError):
        ArrangementDraw.decode(ARRANGEMENT.encode() + b"\0")


@pytest.mark.parametrize("draw", DRAWS, ids=NAMES)
@given(index=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_changed_byte_is_refused_or_another_draw(draw: Any, index: int, change: int) -> None:
    data = bytearray(draw.encode())
    data[index % len(data)] ^= change
    try:
        assert type(draw).decode(bytes(data)) != draw
    except ProtocolError:
        return


@given(st.binary(max_size=150))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for draw in DRAWS:
        with pytest.raises(ProtocolError):
            type(draw).decode(data)
