"""What a restore and a dispute carry is bound to its place, and read back exactly or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.sealing import SealBroken, public_bytes
from deepring_chain.encoding import encode, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import open_content, seal_content
from deepring_chain.protocol.restore import RestoreNote, complaint_context, restore_context, verdict_context
from deepring_chain.types import ArrangementId, Position
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_CHAIN, OTHER_LEDGER, digest, sealing_key

NOTE = RestoreNote(digest(1), b"parameters")
WORKER = sealing_key(1)
PLACE = restore_context(DOMAIN, ArrangementId(1), Position(2), 1)


@pytest.mark.parametrize("parameters", [b"", b"parameters", bytes(10_000)])
def test_restore_note_survives_encoding(parameters: bytes) -> None:
    note = RestoreNote(digest(1), parameters)
    assert RestoreNote.decode(note.encode()) == note


@pytest.mark.parametrize(
    "value",
    [
        ["restore", 2, digest(1), b""],
        ["restore", True, digest(1), b""],
        ["restored", 1, digest(1), b""],
        ["restore", 1, digest(1)],
        ["restore", 1, digest(1), b"", b""],
        ["restore", 1, digest(1)[1:], b""],
        ["restore", 1, digest(1) + b"\0", b""],
        ["restore", 1, "x" * 32, b""],
        ["restore", 1, digest(1), "text"],
        ["restore", 1, digest(1), None],
    ],
)
def test_restore_note_of_another_structure_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"^restore: "):
        RestoreNote.decode(encode(value))


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_restore_note_of_arbitrary_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        RestoreNote.decode(data)
    with pytest.raises(ProtocolError):
        RestoreNote.decode(encode_fields("restore", [NOTE.challenge, NOTE.parameters]) + data + b"\0")


@pytest.mark.parametrize(
    "place",
    [
        restore_context(OTHER_CHAIN, ArrangementId(1), Position(2), 1),
        restore_context(OTHER_LEDGER, ArrangementId(1), Position(2), 1),
        restore_context(DOMAIN, ArrangementId(2), Position(2), 1),
        restore_context(DOMAIN, ArrangementId(1), Position(1), 1),
        restore_context(DOMAIN, ArrangementId(1), Position(2), 2),
    ],
    ids=["chain", "ledger", "arrangement", "seat", "round"],
)
def test_restore_of_another_place_does_not_open(place: bytes) -> None:
    """Somebody orders a restore with an older blob, whose challenge is known by now."""
    blob = seal_content(public_bytes(WORKER), NOTE.encode(), PLACE)
    assert RestoreNote.decode(open_content(WORKER, blob, PLACE)) == NOTE
    with pytest.raises(SealBroken):
        open_content(WORKER, blob, place)


def test_places_of_disputes_are_all_different() -> None:
    """A key that a recipient reveals for one complaint must not serve in another."""
    kinds = (complaint_context, verdict_context)
    places = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)]
    contexts = {kind(domain, *place) for kind in kinds for domain in (DOMAIN, OTHER_CHAIN) for place in places}
    assert len(contexts | {PLACE}) == 17
