"""Which seat is restored, and when: each row is what the owner knows, and what it does then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.decide.tracking import (
    LONGEST_PAUSE_SECONDS,
    AttestRestored,
    DrawRenewal,
    ExpectLeaves,
    OrderRestore,
    Renewal,
    Tracked,
    expect_leaves,
    next_action,
    pause_after,
)
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN
from deepring_chain.types import ArrangementId, Digest, Leaf, Pointer, Position, RingMode

A, B, C, X, Y = (Leaf(Digest(bytes([value]) * 32)) for value in range(1, 6))
LEAVES = (A, B, C)
BLOB = Pointer(Digest(b"p" * 32))
RENEWAL = Renewal(Y, BLOB)
VAIN = RESTORES_IN_VAIN
OWN, OWN_AGAIN = (LeafPlace(ArrangementId(1), Position(0), round_) for round_ in (0, 1))


def track(*leaves: Leaf, rounds: dict[int, int] | None = None, **changes: Any) -> Tracked:
    """The ledger derived hashes from these leaves; the seats had to attest A, B and C."""
    known = {Position(seat): count for seat, count in (rounds or {}).items()}
    view = Tracked(RingMode.TRACKING, tuple(fold_leaves(leaves)), known, expected=LEAVES)
    return replace(view, **changes)


def order(seat: int, *leaves: Leaf, pause: float = 1.0) -> OrderRestore:
    """Restores a seat, whose hash must come from these leaves then."""
    return OrderRestore(Position(seat), LEAVES[seat:], fold_leaves(leaves)[-1], BLOB, pause)


def draw(seat: int, round_: int) -> DrawRenewal:
    return DrawRenewal(Position(seat), round_)


ROWS: dict[str, tuple[Tracked, Any]] = {
    "attesting": (track(A, X, C, mode=RingMode.ATTESTING), None),
    "well": (track(A, X, C, mode=RingMode.QUERY), None),
    "another model": (track(A, X, C, mode=RingMode.SETUP), None),
    "nothing known": (track(A, X, C, expected=None), ExpectLeaves()),
    "all as expected": (track(A, B, C), None),
    "no hash derived": (track(), None),
    # Which seat.
    "owner's": (track(X, B, C), draw(0, 1)),
    "second": (track(A, X, C), draw(1, 1)),
    "last": (track(A, B, X), draw(2, 1)),
    "two": (track(A, X, X), draw(1, 1)),
    "all": (track(X, X, X), draw(0, 1)),
    "again": (track(A, X, C, rounds={1: 1}), draw(1, 2)),
    "another was restored": (track(A, B, X, rounds={1: 2}), draw(2, 1)),
    # The order.
    "order for the owner": (track(X, B, C, renewal=RENEWAL), order(0, Y)),
    "order for the second": (track(A, X, C, renewal=RENEWAL), order(1, A, Y)),
    "order for the last": (track(A, B, X, renewal=RENEWAL), order(2, A, B, Y)),
    "order after one restore": (track(A, X, C, rounds={1: 1}, renewal=RENEWAL), order(1, A, Y, pause=2.0)),
    "order after three": (track(A, X, C, rounds={1: VAIN}, renewal=RENEWAL), order(1, A, Y, pause=8.0)),
    # When.
    "in vain, too early": (track(A, X, C, rounds={1: VAIN}, rest=0.1), None),
    "in vain for long, too early": (track(A, X, C, rounds={1: VAIN + 1}, rest=0.1), None),
    "in vain, in time": (track(A, X, C, rounds={1: VAIN}), draw(1, VAIN + 1)),
    "in vain, late": (track(A, X, C, rounds={1: VAIN}, rest=-9.0), draw(1, VAIN + 1)),
    "not yet in vain": (track(A, X, C, rounds={1: VAIN - 1}, rest=9.0), draw(1, VAIN)),
    "another's in vain": (track(A, B, X, rounds={1: VAIN}, rest=9.0), draw(2, 1)),
    # The owner's own leaf.
    "own leaf": (track(own=OWN_AGAIN, mode=RingMode.ATTESTING), AttestRestored(OWN_AGAIN)),
    "own leaf at hand": (track(own=OWN_AGAIN, mode=RingMode.ATTESTING, is_held=True), None),
    "own leaf as arranged": (track(own=OWN, mode=RingMode.ATTESTING), None),
    "no own leaf": (track(mode=RingMode.ATTESTING), None),
}


@pytest.mark.parametrize(("ring", "action"), ROWS.values(), ids=ROWS.keys())
def test_owner_restores_the_first_block_whose_hash_differs(ring: Tracked, action: Any) -> None:
    assert next_action(ring) == action


@pytest.mark.parametrize(
    ("rounds", "seconds"), [(0, 1.0), (3, 8.0), (8, 256.0), (9, LONGEST_PAUSE_SECONDS), (99, LONGEST_PAUSE_SECONDS)]
)
def test_pause_doubles_up_to_a_limit(rounds: int, seconds: float) -> None:
    assert pause_after(rounds) == seconds


@pytest.mark.parametrize(
    ("renewed", "leaves"), [({}, (A, B, C)), ({0: X}, (X, B, C)), ({2: Y, 1: X}, (A, X, Y)), ({3: X}, (A, B, C))]
)
def test_restored_seats_must_attest_what_was_drawn_at_their_restore(
    renewed: dict[Position, Leaf], leaves: tuple[Leaf, ...]
) -> None:
    assert expect_leaves(LEAVES, renewed) == leaves
