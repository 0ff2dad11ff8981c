"""What a worker does for its seat, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.seat import (
    OWN_SECONDS,
    Attest,
    LeafPlace,
    PostLeaf,
    Restore,
    Seat,
    decide_seat,
    find_challenge,
    seat_of,
)
from deepring_chain.protocol.events import RestoreOrdered
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.route import ArrangementNote
from deepring_chain.types import Address, ArrangementId, Attestation, Position
from tests.unit.protocol.protocol_tools import address, arranged, digest

PLACE = LeafPlace(ArrangementId(3), Position(2), 1)
OTHERS = [replace(PLACE, arrangement=ArrangementId(2)), replace(PLACE, position=Position(1)), replace(PLACE, round=0)]
ORDER = digest(40)
SEAT = Seat(PLACE)

ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("nothing handed in", {}, Attest(PLACE)),
    ("handed in", {"handed_in": PLACE}, None),
    ("handed in just now", {"handed_in": PLACE, "waited": OWN_SECONDS - 0.001}, None),
    ("left out", {"handed_in": PLACE, "waited": OWN_SECONDS}, PostLeaf()),
    ("left out for long", {"handed_in": PLACE, "waited": 10 * OWN_SECONDS}, PostLeaf()),
    *(
        ("another leaf handed in", {"handed_in": other, "waited": waited}, Attest(PLACE))
        for other in OTHERS
        for waited in (0.0, 99.0)
    ),
    ("restore ordered", {"parameters": ORDER}, Restore(PLACE, ORDER, must_report=True)),
    ("restore reported", {"parameters": ORDER, "is_reported": True}, Restore(PLACE, ORDER, must_report=False)),
    ("reported without an order", {"is_reported": True}, Attest(PLACE)),
    ("restored, and handed in", {"parameters": ORDER, "handed_in": PLACE}, None),
    ("restored, and left out", {"parameters": ORDER, "handed_in": PLACE, "waited": 99.0}, PostLeaf()),
    *(
        ("restored again", {"parameters": ORDER, "handed_in": other}, Restore(PLACE, ORDER, must_report=True))
        for other in OTHERS
    ),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_seat(changes: dict[str, Any], expected: object) -> None:
    assert decide_seat(replace(SEAT, **changes)) == expected


def test_no_seat_awaits_a_leaf() -> None:
    assert decide_seat(None) is None


# ---------------------------------------------------------------- which leaf is awaited

ME = address(2)
"""In seat 1 of `arranged`."""


def ring(attested: int | None = None, restored: int = 0) -> ArrangementState:
    state = ArrangementState(arranged(3))
    if attested is not None:
        state.attestations[Position(attested)] = Attestation(
            ArrangementId(3), Position(attested), 0, digest(1), digest(2)
        )
    if restored:
        order = RestoreOrdered(ArrangementId(3), Position(1), ME, restored, *(digest(number) for number in range(5)))
        state.restores[Position(1)] = order
    return state


AWAITED: list[tuple[str, Address, ArrangementState | None, LeafPlace | None]] = [
    ("no arrangement", ME, None, None),
    ("seated", ME, ring(), LeafPlace(ArrangementId(3), Position(1), 0)),
    ("another attested", ME, ring(attested=2), LeafPlace(ArrangementId(3), Position(1), 0)),
    ("attested", ME, ring(attested=1), None),
    ("restored twice", ME, ring(restored=2), LeafPlace(ArrangementId(3), Position(1), 2)),
    ("not seated", address(9), ring(), None),
    ("the first seat", address(1), ring(), LeafPlace(ArrangementId(3), Position(0), 0)),
]


@pytest.mark.parametrize(("me", "current", "expected"), [row[1:] for row in AWAITED], ids=[row[0] for row in AWAITED])
def test_awaited_leaf(me: Address, current: ArrangementState | None, expected: LeafPlace | None) -> None:
    assert seat_of(me, current) == expected


# ---------------------------------------------------------------- which challenge

OWN, BEFORE, AFTER = (ArrangementNote(Position(seat), digest(90 + seat)) for seat in (2, 1, 3))


@pytest.mark.parametrize("notes", [(OWN,), (BEFORE, OWN), (OWN, BEFORE), (BEFORE, OWN, AFTER)], ids=range(1, 5))
def test_challenge_is_that_of_the_own_seat(notes: tuple[ArrangementNote, ...]) -> None:
    assert find_challenge(ME, PLACE, notes) == OWN.challenge


@pytest.mark.parametrize(
    ("notes", "told"), [((), "none"), ((BEFORE,), "1"), ((AFTER, BEFORE), "3, 1")], ids=["none", "one", "two"]
)
def test_seat_without_a_note_is_said_to_have_none(notes: tuple[ArrangementNote, ...], told: str) -> None:
    message = f"^arrangement 3: no note for {ME} in seat 2; its notes are for seats: {told}$"
    with pytest.raises(ProtocolError, match=message):
        find_challenge(ME, PLACE, notes)
