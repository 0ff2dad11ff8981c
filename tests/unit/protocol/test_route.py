"""Routes: a chain of commitments that opens link by link, and the notes that open it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.digest import keccak256
from deepring_chain.encoding import encode, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.route import (
    ArrangementNote,
    RouteNote,
    arrangement_context,
    build_route,
    is_turn_of,
    route_context,
    route_link,
)
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.types import (
    MAX_ITEMS,
    NO_ROUTE,
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    Digest,
    Hop,
    Position,
    QueryId,
    Question,
    TrailHash,
)
from tests.unit.protocol.protocol_tools import DOMAIN, address, digest

SIGNERS = [address(number) for number in range(1, 5)]
SALTS = [digest(number) for number in range(11, 15)]


# ---------------------------------------------------------------- links


def test_link_is_the_documented_hash() -> None:
    covered = b"deepring/v1/route".ljust(32, b"\0") + bytes(12) + bytes.fromhex(SIGNERS[0][2:]) + SALTS[0] + ZERO
    assert route_link(SIGNERS[0], SALTS[0], NO_ROUTE) == keccak256(covered)


def test_route_opens_link_by_link() -> None:
    links = build_route(SIGNERS, SALTS)
    assert len(links) == 5
    assert links[-1] == ZERO
    for hop, (signer, salt) in enumerate(zip(SIGNERS, SALTS, strict=True)):
        assert links[hop] == route_link(signer, salt, links[hop + 1])


def test_link_names_its_signer_and_nobody_else() -> None:
    links = build_route(SIGNERS, SALTS)
    assert is_turn_of(SIGNERS[0], SALTS[0], links[1], links[0])
    assert not is_turn_of(SIGNERS[1], SALTS[0], links[1], links[0])
    assert not is_turn_of(SIGNERS[0], SALTS[1], links[1], links[0])
    assert not is_turn_of(SIGNERS[0], SALTS[0], links[2], links[0])
    assert not is_turn_of(SIGNERS[0], SALTS[0], links[1], links[1])


def test_route_of_no_hops_is_zero() -> None:
    assert build_route([], []) == [ZERO]


def test_route_with_a_salt_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        build_route(SIGNERS, SALTS[1:])


@pytest.mark.parametrize(
    ("signers", "salts"),
    [
        ([SIGNERS[1], SIGNERS[0], *SIGNERS[2:]], SALTS),
        ([*SIGNERS[:3], address(9)], SALTS),
        (SIGNERS, [*SALTS[:3], digest(99)]),
        (SIGNERS, [SALTS[1], SALTS[0], *SALTS[2:]]),
        (SIGNERS[:3], SALTS[:3]),
        ([*SIGNERS, address(9)], [*SALTS, digest(99)]),
    ],
    ids=["signers exchanged", "last signer", "last salt", "salts exchanged", "one less", "one more"],
)
def test_first_link_commits_to_all_of_the_route(signers: list[Address], salts: list[Digest]) -> None:
    """The ouroboros opened one route and would like to go on with another."""
    assert build_route(signers, salts)[0] != build_route(SIGNERS, SALTS)[0]


def test_link_does_not_show_its_signer_without_the_salt() -> None:
    """Somebody who knows all accounts tries each of them: without the salt none fits."""
    link = build_route(SIGNERS, SALTS)[0]
    rest = build_route(SIGNERS, SALTS)[1]
    assert all(route_link(signer, ZERO, rest) != link for signer in SIGNERS)


# ---------------------------------------------------------------- trail


def test_trail_starts_with_the_documented_hash() -> None:
    types = ["bytes32", "uint64", "address", "bytes32", "bytes32", "uint40"]
    expected = keccak256(abi_encode(types, [b"deepring/v1/query".ljust(32, b"\0"), 7, SIGNERS[0], *SALTS[:2], 5]))
    assert start_trail(QueryId(7), SIGNERS[0], Question(SALTS[0], SALTS[1], 5)) == expected


def test_trails_differ_in_all_that_a_query_says() -> None:
    trails = {
        start_trail(QueryId(1), SIGNERS[0], Question(SALTS[0], SALTS[1], 5)),
        start_trail(QueryId(2), SIGNERS[0], Question(SALTS[0], SALTS[1], 5)),
        start_trail(QueryId(1), SIGNERS[1], Question(SALTS[0], SALTS[1], 5)),
        start_trail(QueryId(1), SIGNERS[0], Question(SALTS[2], SALTS[1], 5)),
        start_trail(QueryId(1), SIGNERS[0], Question(SALTS[0], SALTS[2], 5)),
        start_trail(QueryId(1), SIGNERS[0], Question(SALTS[1], SALTS[0], 5)),
        start_trail(QueryId(1), SIGNERS[0], Question(SALTS[0], SALTS[1], 6)),
    }
    assert len(trails) == 7


def test_trail_depends_on_every_entry_and_their_order() -> None:
    """Somebody tells a history with an entry changed, left out or moved."""

    def told(*entries: tuple[Digest, Address]) -> Digest:
        trail = ZERO
        for entry, signer in entries:
            trail = extend_trail(TrailHash(trail), entry, signer)
        return trail

    first, second = (SALTS[0], SIGNERS[0]), (SALTS[1], SIGNERS[1])
    histories = [
        (first, second),
        (second, first),
        (first,),
        (second,),
        (first, second, second),
        (first, (SALTS[1], SIGNERS[0])),
        (first, (SALTS[0], SIGNERS[1])),
    ]
    assert len({told(*entries) for entries in histories}) == len(histories)
    covered = [b"deepring/v1/trail".ljust(32, b"\0"), ZERO, SALTS[0], SIGNERS[0]]
    assert told(first) == keccak256(abi_encode(["bytes32", "bytes32", "bytes32", "address"], covered))


# ---------------------------------------------------------------- notes

NOTE = RouteNote(Hop(2), 5, digest(1), digest(2), address(3), digest(4), digest(5), digest(6), digest(7))
FIELDS: list[Any] = [2, 5, bytes.fromhex(NOTE.predecessor[2:]), *(digest(number) for number in (1, 2, 4, 5, 6, 7))]


def test_route_note_survives_encoding() -> None:
    assert RouteNote.decode(NOTE.encode()) == NOTE
    assert NOTE.encode() == encode_fields("route note", FIELDS)


@pytest.mark.parametrize("hop", [0, 1, 65535])
def test_route_note_takes_every_hop(hop: int) -> None:
    note = replace(NOTE, hop=Hop(hop))
    assert RouteNote.decode(note.encode()) == note


@pytest.mark.parametrize("items", [1, MAX_ITEMS])
def test_route_note_takes_every_number_of_items(items: int) -> None:
    note = replace(NOTE, items=items)
    assert RouteNote.decode(note.encode()) == note


BROKEN_FIELDS = {
    "hop negative": (0, -1),
    "hop too large": (0, 2**16),
    "hop huge": (0, 2**64 - 1),
    "hop a bool": (0, True),
    "hop a float": (0, 2.0),
    "hop a text": (0, "2"),
    "items zero": (1, 0),
    "items negative": (1, -1),
    "items too large": (1, 2**32),
    "items a bool": (1, True),
    "predecessor short": (2, bytes(19)),
    "predecessor long": (2, bytes(21)),
    "predecessor a text": (2, NOTE.predecessor),
    **{f"digest {place} short": (place, bytes(31)) for place in range(3, 9)},
    **{f"digest {place} long": (place, bytes(33)) for place in range(3, 9)},
    "digest a text": (8, "x" * 32),
    "digest nothing": (8, None),
}


@pytest.mark.parametrize("broken", BROKEN_FIELDS.values(), ids=BROKEN_FIELDS.keys())
def test_route_note_with_a_broken_field_is_refused(broken: tuple[int, Any]) -> None:
    place, value = broken
    fields = [value if number == place else field for number, field in enumerate(FIELDS)]
    with pytest.raises(ProtocolError, match=r"^route note: "):
        RouteNote.decode(encode_fields("route note", fields))


def test_route_note_of_another_structure_is_refused() -> None:
    for value in (
        ["route note", 2, *FIELDS],
        ["route note", True, *FIELDS],
        ["routenote", 1, *FIELDS],
        ["route note", 1, *FIELDS[:-1]],
        ["route note", 1, *FIELDS, b""],
        ["arrangement note", 1, 1, digest(1)],
    ):
        with pytest.raises(ProtocolError, match=r"^route note: "):
            RouteNote.decode(encode(value))
    with pytest.raises(ProtocolError):
        RouteNote.decode(NOTE.encode() + b"\0")


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_route_note_changed_byte_is_refused_or_another_note(index: int, change: int) -> None:
    data = bytearray(NOTE.encode())
    data[index] ^= change
    try:
        assert RouteNote.decode(bytes(data)) != NOTE
    except ProtocolError:
        return


ARRANGEMENT_NOTE = ArrangementNote(Position(3), digest(5))


@pytest.mark.parametrize("position", [0, 3, 65535])
def test_arrangement_note_survives_encoding(position: int) -> None:
    note = replace(ARRANGEMENT_NOTE, position=Position(position))
    assert ArrangementNote.decode(note.encode()) == note


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [3],
        [3, digest(5), b""],
        [-1, digest(5)],
        [2**16, digest(5)],
        [True, digest(5)],
        [3.0, digest(5)],
        [3, digest(5)[1:]],
        [3, digest(5) + b"\0"],
        [3, "x" * 32],
        [digest(5), 3],
    ],
)
def test_arrangement_note_that_does_not_add_up_is_refused(fields: list[Any]) -> None:
    with pytest.raises(ProtocolError, match=r"^arrangement note: "):
        ArrangementNote.decode(encode_fields("arrangement note", fields))


@given(st.binary(max_size=120))
@settings(max_examples=100, deadline=None)
def test_notes_of_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        RouteNote.decode(data)
    with pytest.raises(ProtocolError):
        ArrangementNote.decode(data)


def test_contexts_are_all_different() -> None:
    contexts = {
        route_context(DOMAIN, QueryId(1), Attempt(2)),
        route_context(DOMAIN, QueryId(2), Attempt(1)),
        route_context(DOMAIN, QueryId(1), Attempt(1)),
        arrangement_context(DOMAIN, ArrangementId(1)),
        arrangement_context(DOMAIN, ArrangementId(2)),
    }
    assert len(contexts) == 5
