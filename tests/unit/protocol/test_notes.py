"""Bundles of notes: each recipient finds its own, nobody learns whose the others are, and nothing opens elsewhere."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.sealing import public_bytes, seal
from deepring_chain.encoding import decode_fields, encode, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.notes import MAX_NOTES, open_notes, seal_notes
from deepring_chain.protocol.route import arrangement_context, route_context
from deepring_chain.types import ArrangementId, Attempt, QueryId
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_CHAIN, OTHER_LEDGER, digest, order_of, sealing_key

MEMBERS = [sealing_key(number) for number in range(1, 6)]
INFO = route_context(DOMAIN, QueryId(1), Attempt(1))
TEXTS = [b"", b"a", b"note", b"\0\0", b"a longer note\0"]


def open_note(bundle: bytes, key: X25519PrivateKey, info: bytes) -> bytes | None:
    """The note that a member opens in a bundle with one for each."""
    found = [*open_notes(bundle, key, info)]
    assert len(found) <= 1
    return found[0] if found else None


def bundle_of(texts: list[bytes], seed: int = 0, info: bytes = INFO) -> bytes:
    notes = [(public_bytes(key), text) for key, text in zip(MEMBERS, texts, strict=False)]
    return seal_notes(notes, info, order_of(seed))


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.integers())
@settings(max_examples=30, deadline=None)
def test_each_recipient_finds_its_own_note(texts: list[bytes], seed: int) -> None:
    bundle = bundle_of(texts, seed)
    assert [open_note(bundle, key, INFO) for key in MEMBERS[: len(texts)]] == texts


def test_stranger_finds_none() -> None:
    """Somebody outside of the ring tries its key on every note."""
    assert open_note(bundle_of(TEXTS), sealing_key(99), INFO) is None


def test_empty_bundle_has_no_note() -> None:
    assert open_note(seal_notes([], INFO, order_of(0)), MEMBERS[0], INFO) is None


@pytest.mark.parametrize(
    "info",
    [
        route_context(DOMAIN, QueryId(2), Attempt(1)),
        route_context(DOMAIN, QueryId(1), Attempt(2)),
        route_context(OTHER_CHAIN, QueryId(1), Attempt(1)),
        route_context(OTHER_LEDGER, QueryId(1), Attempt(1)),
        arrangement_context(DOMAIN, ArrangementId(1)),
    ],
    ids=["query", "attempt", "chain", "ledger", "an arrangement"],
)
def test_notes_of_another_route_do_not_open(info: bytes) -> None:
    """Somebody points a query's route to the notes of an older one, whose keys and salts are known to others."""
    assert open_note(bundle_of(TEXTS, info=info), MEMBERS[0], INFO) is None


def test_notes_of_another_arrangement_do_not_open() -> None:
    bundle = bundle_of(TEXTS, info=arrangement_context(DOMAIN, ArrangementId(1)))
    assert open_note(bundle, MEMBERS[0], arrangement_context(DOMAIN, ArrangementId(1))) == TEXTS[0]
    assert open_note(bundle, MEMBERS[0], arrangement_context(DOMAIN, ArrangementId(2))) is None


def test_notes_are_equally_long_and_hide_their_texts() -> None:
    """An observer of the store guesses from the lengths which note is whose."""
    (sealed,) = decode_fields(bundle_of(TEXTS), "notes", [list])
    assert len(sealed) == len(TEXTS)
    assert {len(note) for note in sealed} == {32 + 4 + max(map(len, TEXTS)) + 16}
    assert not any(b"longer" in note for note in sealed)


def test_notes_are_shuffled_by_the_given_source() -> None:
    """An observer of the store guesses from the order which note is whose."""

    def order(seed: int) -> list[int]:
        (sealed,) = decode_fields(bundle_of(TEXTS, seed), "notes", [list])
        alone = [encode_fields("notes", [[note]]) for note in sealed]
        return [
            next(index for index, key in enumerate(MEMBERS) if open_note(note, key, INFO) is not None) for note in alone
        ]

    orders = [order(seed) for seed in range(8)]
    assert all(sorted(found) == list(range(5)) for found in orders)
    assert len({tuple(found) for found in orders}) > 3
    for seed, found in enumerate(orders):
        expected = list(range(5))
        order_of(seed).shuffle(expected)
        assert found == expected


def test_flipped_bit_of_a_note_hides_it_from_its_recipient() -> None:
    bundle = bundle_of(TEXTS[-1:])
    for index in range(len(bundle)):
        changed = bytearray(bundle)
        changed[index] ^= 1
        try:
            assert open_note(bytes(changed), MEMBERS[0], INFO) is None
        except ProtocolError:
            continue


def test_altered_note_does_not_keep_the_others_from_theirs() -> None:
    """One broken note must not stop the rest of the ring."""
    (sealed,) = decode_fields(bundle_of(TEXTS), "notes", [list])
    texts = []
    for number in range(len(sealed)):
        damaged = [bytes(note[:-1]) + b"?" if place == number else note for place, note in enumerate(sealed)]
        texts += [open_note(encode_fields("notes", [damaged]), key, INFO) for key in MEMBERS]
    assert texts.count(None) == len(TEXTS)
    assert sum(text is not None for text in texts) == len(TEXTS) * (len(TEXTS) - 1)


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I", 1),
        struct.pack(">I", 5) + b"four",
        struct.pack(">I", 2**32 - 1) + b"four",
        struct.pack(">I", 3) + b"abcd",
        struct.pack(">I", 0) + b"\0\0\1",
    ],
)
def test_note_with_broken_padding_is_refused(padded: bytes) -> None:
    """The sender hides bytes behind a note, or claims more than it sends."""
    bundle = encode_fields("notes", [[seal(public_bytes(MEMBERS[0]), padded, INFO)]])
    with pytest.raises(ProtocolError, match="notes: "):
        open_note(bundle, MEMBERS[0], INFO)


def test_too_many_notes_are_refused_unopened() -> None:
    """A bundle of a million notes would cost every member a minute."""
    with pytest.raises(ProtocolError, match="not a list of sealed notes"):
        open_note(encode_fields("notes", [[b""] * (MAX_NOTES + 1)]), MEMBERS[0], INFO)


def test_as_many_notes_as_are_allowed_are_read() -> None:
    assert open_note(encode_fields("notes", [[b""] * MAX_NOTES]), MEMBERS[0], INFO) is None


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["notes"],
        ["notes", 1],
        ["notes", 2, []],
        ["notes", True, []],
        ["note", 1, []],
        ["notes", 1, b""],
        ["notes", 1, [], []],
        ["notes", 1, ["text"]],
        ["notes", 1, [5]],
        ["notes", 1, [[b"x"]]],
        ["notes", 1, [None]],
    ],
)
def test_bundle_of_another_structure_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"^notes: "):
        open_note(encode(value), MEMBERS[0], INFO)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bundle_of_arbitrary_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_note(data, MEMBERS[0], INFO)


@given(st.lists(st.binary(max_size=80), max_size=3))
@settings(max_examples=50, deadline=None)
def test_bundle_of_arbitrary_notes_has_none(notes: list[bytes]) -> None:
    assert open_note(encode_fields("notes", [notes]), MEMBERS[0], INFO) is None


def test_weak_recipient_is_refused() -> None:
    with pytest.raises(ProtocolError, match="unusable"):
        seal_notes([(digest(0), b"x")], INFO, order_of(0))
