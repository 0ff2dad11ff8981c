"""Which leaves the owner posts, and when: each row is what the owner knows, and what it does then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.decide.collecting import (
    COLLECT_SECONDS,
    AwaitedLeaf,
    Collection,
    FoundLeaf,
    Measure,
    PickUp,
    PostLeaves,
    awaited_leaves,
    is_good,
    next_action,
    place_of,
)
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.events import RestoreOrdered, RingArranged
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.types import ZERO, Address, ArrangementId, Attestation, Digest, Leaf, Position, SealingKey

ANY: Any = ZERO
"""A digest of any kind."""
HERE = ArrangementId(5)
OWNER, ONE, TWO = map(Address, ("owner", "one", "two"))
KEY, LEAF = SealingKey(Digest(b"k" * 32)), Leaf(Digest(b"l" * 32))


def awaited(seat: int, worker: Address, round_: int = 0) -> AwaitedLeaf:
    return AwaitedLeaf(LeafPlace(HERE, Position(seat), round_), worker)


def left(seat: int, signer: Address, **changes: Any) -> FoundLeaf:
    """A leaf that somebody signed for a seat."""
    leaf = Attestation(HERE, Position(seat), 0, LEAF, KEY)
    return FoundLeaf(replace(leaf, **changes), b"signature", signer)


BOTH = (awaited(1, ONE), awaited(2, TWO))
GOOD_ONE, GOOD_TWO = left(1, ONE), left(2, TWO)
FIRST, SECOND = BOTH[0].place, BOTH[1].place
BAD = left(2, ONE)
JUST, LATE = COLLECT_SECONDS, COLLECT_SECONDS + 0.1

ROWS: dict[str, tuple[Collection, Any]] = {
    "none awaited": (Collection(()), None),
    "none awaited, some left": (Collection((), {FIRST: GOOD_ONE}, LATE), None),
    "not looked": (Collection(BOTH), PickUp(BOTH)),
    "one awaited, not looked": (Collection(BOTH[1:]), PickUp(BOTH[1:])),
    "nothing left": (Collection(BOTH, {}), None),
    "nothing left, for long": (Collection(BOTH, {}, LATE), None),
    "all left": (Collection(BOTH, {FIRST: GOOD_ONE, SECOND: GOOD_TWO}), PostLeaves((GOOD_ONE, GOOD_TWO))),
    "all left, in another order": (
        Collection(BOTH, {SECOND: GOOD_TWO, FIRST: GOOD_ONE}, 0.0),
        PostLeaves((GOOD_ONE, GOOD_TWO)),
    ),
    "the one that is awaited": (Collection(BOTH[:1], {FIRST: GOOD_ONE}), PostLeaves((GOOD_ONE,))),
    "one of two": (Collection(BOTH, {SECOND: GOOD_TWO}), Measure(HERE, 1)),
    "one of two, at once": (Collection(BOTH, {SECOND: GOOD_TWO}, 0.0), None),
    "one of two, just in time": (Collection(BOTH, {SECOND: GOOD_TWO}, JUST), None),
    "one of two, too late": (Collection(BOTH, {SECOND: GOOD_TWO}, LATE), PostLeaves((GOOD_TWO,))),
    "a bad one beside": (Collection(BOTH, {FIRST: GOOD_ONE, SECOND: BAD}), Measure(HERE, 1)),
    "a bad one beside, too late": (Collection(BOTH, {FIRST: GOOD_ONE, SECOND: BAD}, LATE), PostLeaves((GOOD_ONE,))),
    "a bad one alone": (Collection(BOTH, {SECOND: BAD}, LATE), None),
    "another's good one": (Collection(BOTH, {SECOND: GOOD_ONE}, LATE), None),
    "the same good one twice": (Collection(BOTH, {FIRST: GOOD_ONE, SECOND: GOOD_ONE}, LATE), PostLeaves((GOOD_ONE,))),
    "where none is awaited": (Collection(BOTH[:1], {SECOND: GOOD_TWO}, LATE), None),
}


@pytest.mark.parametrize(("collection", "action"), ROWS.values(), ids=ROWS.keys())
def test_owner_posts_all_or_those_that_came_in_time(collection: Collection, action: Any) -> None:
    assert next_action(collection) == action


GOOD: dict[str, tuple[FoundLeaf, bool]] = {
    "good": (GOOD_ONE, True),
    "whatever its leaf": (left(1, ONE, leaf=ANY), True),
    "nobody's": (left(1, Address("mallory")), False),
    "a neighbor's": (left(1, TWO), False),
    "of another seat": (left(2, ONE), False),
    "of another round": (left(1, ONE, round=1), False),
    "of another arrangement": (left(1, ONE, arrangement=HERE + 1), False),
    "without a key": (left(1, ONE, sealing_key=ANY), False),
    "with a key of one bit": (left(1, ONE, sealing_key=Digest(bytes(31) + b"\1")), True),
}


@pytest.mark.parametrize(("found", "expected"), GOOD.values(), ids=GOOD.keys())
def test_leaf_is_good_for_its_place_by_its_worker_with_a_key(found: FoundLeaf, expected: bool) -> None:
    assert is_good(BOTH[0], found) is expected


def test_place_of_a_leaf_is_what_it_names() -> None:
    assert place_of(left(3, ONE, round=2).leaf) == LeafPlace(HERE, Position(3), 2)


# ---------------------------------------------------------------- the view


def arrangement(*attested: int, restored: int | None = None) -> ArrangementState:
    """Three seats; these have attested, and one was restored twice."""
    state = ArrangementState(RingArranged(HERE, 1, (OWNER, ONE, TWO), ANY, ANY))
    state.attestations.update({Position(seat): left(seat, OWNER).leaf for seat in attested})
    if restored is not None:
        seat = Position(restored)
        state.restores[seat] = RestoreOrdered(HERE, seat, ONE, 2, ANY, ANY, ANY, ANY, ANY)
    return state


AWAITED: dict[str, tuple[ArrangementState | None, tuple[AwaitedLeaf, ...]]] = {
    "not arranged": (None, ()),
    "just arranged": (arrangement(), (awaited(0, OWNER), *BOTH)),
    "one is missing": (arrangement(0, 2), (awaited(1, ONE),)),
    "a restored one is missing": (arrangement(0, 2, restored=1), (awaited(1, ONE, 2),)),
    "another was restored": (arrangement(0, 1, restored=1), (awaited(2, TWO),)),
    "none is missing": (arrangement(0, 1, 2), ()),
}


@pytest.mark.parametrize(("current", "expected"), AWAITED.values(), ids=AWAITED.keys())
def test_leaves_are_awaited_that_the_ledger_misses(
    current: ArrangementState | None, expected: tuple[AwaitedLeaf, ...]
) -> None:
    assert awaited_leaves(current) == expected
