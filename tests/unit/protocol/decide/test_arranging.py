"""When the ring is seated anew, and with whom: each row is what the owner knows, and what it does then."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.decide.arranging import (
    Arrange,
    AttestOwn,
    CountFailures,
    Failures,
    Question,
    ReadDraw,
    RingView,
    Seating,
    can_replace,
    choose_workers,
    count_strikes,
    find_question,
    is_due,
    next_action,
    order_seats,
    seating_of,
)
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.events import RestoreOrdered, RingArranged
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN, ArrangementState
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Digest,
    Pointer,
    Position,
    QueryId,
    QueryPhase,
    RingMode,
)

ANY: Any = ZERO
"""A digest of any kind."""
OWNER, ONE, TWO, TWO_TOO, TWO_LAST = map(Address, ("owner", "one", "two", "two too", "two last"))
ROSTER = Roster(OWNER, {1: (ONE,), 2: (TWO, TWO_TOO, TWO_LAST)})
NOTES, OTHER_NOTES = Pointer(Digest(b"n" * 32)), Pointer(Digest(b"o" * 32))
SEATS = (OWNER, TWO, ONE)
SETUP, ATTESTING, QUERY, TRACKING = RingMode.SETUP, RingMode.ATTESTING, RingMode.QUERY, RingMode.TRACKING
PHASES = QueryPhase
HERE = ArrangementId(5)
NEXT = Arrange(ArrangementId(6))


def seated(mode: RingMode = QUERY, **changes: Any) -> Seating:
    return replace(Seating(mode, HERE, SEATS, NOTES), **changes)


def view(seating: Seating | None = None, **changes: Any) -> RingView:
    """An owner that waits 10 seconds for a worker, and arranges anew after 2 queries."""
    return replace(RingView(ROSTER, 2, 10.0, seating, HERE), **changes)


def ask(phase: QueryPhase, arrangement: int = HERE, block: int = 100) -> Session:
    """A query of one attempt in this arrangement; of none where that is 0."""
    bare = Session(QueryId(1), OWNER, ANY, ANY, ANY, phase=phase, submitted_block=block)
    if not arrangement:
        return bare
    return replace(bare, attempt=Attempt(1), arrangements={Attempt(1): ArrangementId(arrangement)})


def failed(seconds: float = 0.0, **strikes: int) -> Failures:
    """Who failed how often; a blank in a name is an underscore."""
    return Failures(Counter({Address(name.replace("_", " ")): count for name, count in strikes.items()}), seconds)


KEYLESS = seated(failing=(TWO,), is_keyless=True)
INCURABLE = seated(TRACKING, failing=(TWO,), is_incurable=True)
SILENT = seated(ATTESTING, failing=(TWO,))
RESTORED = seated(is_restored=True, authentic_block=7)
TWICE = replace(RESTORED, follows_restores=True)
NEW, EARLIER = failed(two=1), failed(two=1, two_too=1, two_last=1)

# ---------------------------------------------------------------- whether an arrangement is due

DUE = {
    "at set-up": view(),
    "at set-up, while a query runs": view(sessions=(ask(PHASES.ROUTED),)),
    "on demand": view(seated(), is_requested=True),
    "two answered": view(seated(), sessions=(ask(PHASES.DELIVERED),) * 2),
    "two turned down": view(seated(), sessions=(ask(PHASES.REJECTED),) * 2),
    "two taken back": view(seated(), sessions=(ask(PHASES.WITHDRAWN),) * 2),
    "more have ended than it takes": view(seated(), sessions=(ask(PHASES.DELIVERED),) * 3),
    "a hop failed": view(seated(), sessions=(ask(PHASES.INTERRUPTED),)),
    "a keyless worker's standby never failed": view(KEYLESS, failures=NEW),
    "all failed, and a hop's time is over": view(KEYLESS, failures=replace(EARLIER, seconds=10.1)),
    "nobody waited for a restore": view(RESTORED),
    "a restore, and who waited for it is served": view(RESTORED, sessions=(ask(PHASES.ROUTED, block=6),)),
    "a restore, and one ended before": view(RESTORED, sessions=(ask(PHASES.DELIVERED, 4, 6),)),
    "a restore, and one came after it": view(RESTORED, sessions=(ask(PHASES.SUBMITTED, 0, 8),)),
    "a second restore in a row, and a query has ended": view(TWICE, sessions=(ask(PHASES.DELIVERED),)),
}
NOT_DUE = {
    "nothing has happened": view(seated()),
    "one query has ended": view(seated(), sessions=(ask(PHASES.DELIVERED),)),
    "two have ended, one of them elsewhere": view(
        seated(), sessions=(ask(PHASES.DELIVERED), ask(PHASES.DELIVERED, HERE - 1))
    ),
    "two run": view(seated(), sessions=(ask(PHASES.ROUTED), ask(PHASES.COMPUTED))),
    "a hop failed in an earlier arrangement": view(seated(), sessions=(ask(PHASES.INTERRUPTED, HERE - 1),)),
    "who failed has not been counted": view(KEYLESS),
    "a keyless worker's standbys failed": view(KEYLESS, failures=EARLIER),
    "all failed, and a hop's time is not over": view(KEYLESS, failures=replace(EARLIER, seconds=10.0)),
    "nobody else holds the keyless worker's layer": view(
        replace(KEYLESS, failing=(ONE,)), failures=failed(99.0, one=1)
    ),
    "the worker that never failed is the keyless one": view(KEYLESS, failures=failed(two_too=1, two_last=1)),
    "the owner's own key is of no use": view(replace(KEYLESS, failing=(OWNER,)), failures=failed(99.0)),
    "a worker failed that could be replaced, but has a key": view(
        seated(failing=(TWO,)), failures=replace(NEW, seconds=99.0)
    ),
    "one waits since before the restore": view(RESTORED, sessions=(ask(PHASES.SUBMITTED, 0, 7),)),
    "a failed one waits since before the restore": view(RESTORED, sessions=(ask(PHASES.INTERRUPTED, 4, 6),)),
    "a second restore in a row, and no query has ended": view(TWICE),
    "a second restore in a row, and one that ended waited": view(
        TWICE, sessions=(ask(PHASES.DELIVERED), ask(PHASES.SUBMITTED, 0, 7))
    ),
}


@pytest.mark.parametrize("ring", DUE.values(), ids=DUE.keys())
def test_new_routes_wait_for_an_arrangement(ring: RingView) -> None:
    assert is_due(ring) is True


@pytest.mark.parametrize("ring", NOT_DUE.values(), ids=NOT_DUE.keys())
def test_new_routes_need_not_wait(ring: RingView) -> None:
    assert is_due(ring) is False


# ---------------------------------------------------------------- what is done

OWN = LeafPlace(HERE, Position(0), 0)
HELD = LeafPlace(HERE, Position(0), 1)
DUE_NOW = view(seated(), is_requested=True)

ACTIONS: dict[str, tuple[RingView, Any]] = {
    "set-up": (view(last=ArrangementId(0)), Arrange(ArrangementId(1))),
    "another model": (view(), NEXT),
    "another model, while a query runs": (view(sessions=(ask(PHASES.ROUTED),)), None),
    "due and idle": (DUE_NOW, NEXT),
    "due, while a query runs": (replace(DUE_NOW, sessions=(ask(PHASES.ROUTED),)), None),
    "due, while an answer is awaited": (replace(DUE_NOW, sessions=(ask(PHASES.COMPUTED, 4),)), None),
    "due, and a query is in dispute": (replace(DUE_NOW, sessions=(ask(PHASES.DISPUTED),)), NEXT),
    "due, and a query waits": (replace(DUE_NOW, sessions=(ask(PHASES.SUBMITTED, 0),)), NEXT),
    "due, while a step runs": (replace(DUE_NOW, is_quiet=False), None),
    "due, while it attests": (view(seated(ATTESTING), is_requested=True, drawn=NOTES), None),
    "due, while it is restored": (view(seated(TRACKING), is_requested=True, drawn=NOTES), None),
    "idle and not due": (view(seated()), None),
    # Who has not attested.
    "silent for long enough": (view(SILENT, drawn=NOTES, in_mode=10.1), NEXT),
    "silent for long enough, while a step runs": (view(SILENT, is_quiet=False, in_mode=10.1), None),
    "silent, not for long": (view(SILENT, drawn=NOTES, in_mode=10.0), None),
    "silent, and nobody else": (view(replace(SILENT, failing=(ONE,)), drawn=NOTES, in_mode=99.0), None),
    "long in another mode": (view(replace(SILENT, mode=QUERY), in_mode=99.0), None),
    # Who cannot be restored.
    "incurable": (view(INCURABLE, drawn=NOTES), CountFailures(HERE)),
    "incurable, while a step runs": (view(INCURABLE, is_quiet=False, failures=NEW, drawn=NOTES), None),
    "incurable, with a new standby": (view(INCURABLE, failures=NEW, drawn=NOTES), NEXT),
    "incurable, with a bad standby": (view(INCURABLE, failures=EARLIER, drawn=NOTES), None),
    "incurable for long": (view(INCURABLE, failures=replace(EARLIER, seconds=11.0), drawn=NOTES), NEXT),
    "false, and not incurable": (view(replace(INCURABLE, is_incurable=False), failures=NEW, drawn=NOTES), None),
    "incurable, and well": (view(replace(INCURABLE, mode=QUERY), failures=NEW), None),
    "keyless": (view(KEYLESS), CountFailures(HERE)),
    "keyless, with a new standby": (view(KEYLESS, failures=NEW), NEXT),
    "keyless, not yet attested": (view(replace(KEYLESS, mode=ATTESTING), failures=NEW), ReadDraw(HERE)),
    # Who drew the arrangement.
    "attesting": (view(seated(ATTESTING)), ReadDraw(HERE)),
    "tracking": (view(seated(TRACKING)), ReadDraw(HERE)),
    "attesting what it drew": (view(seated(ATTESTING), drawn=NOTES, halted=99.0), None),
    "strange for long": (view(seated(ATTESTING), drawn=OTHER_NOTES, halted=10.1), NEXT),
    "strange and false for long": (view(seated(TRACKING), drawn=OTHER_NOTES, halted=10.1), NEXT),
    "strange, not for long": (view(seated(ATTESTING), drawn=OTHER_NOTES, halted=10.0), None),
    "strange, and well": (view(seated(), drawn=OTHER_NOTES, halted=99.0), None),
    # The owner's own leaf.
    "own leaf": (view(seated(ATTESTING), drawn=NOTES, own=OWN), AttestOwn(OWN)),
    "own leaf, while a step runs": (view(seated(ATTESTING), is_quiet=False, own=OWN), AttestOwn(OWN)),
    "own leaf at hand": (view(seated(ATTESTING), drawn=NOTES, own=OWN, is_held=True), None),
    "own leaf after a restore": (view(seated(ATTESTING), drawn=NOTES, own=HELD), None),
    "own leaf, strange for long": (view(seated(ATTESTING), drawn=OTHER_NOTES, halted=11.0, own=OWN), NEXT),
}


@pytest.mark.parametrize(("ring", "action"), ACTIONS.values(), ids=ACTIONS.keys())
def test_owner_arranges_attests_or_waits(ring: RingView, action: Any) -> None:
    assert next_action(ring) == action


QUESTIONS: dict[str, tuple[RingView, Question | None]] = {
    "set-up": (view(), None),
    "well": (view(seated()), None),
    "incurable first": (view(INCURABLE), CountFailures(HERE)),
    "incurable next": (view(INCURABLE, failures=NEW), ReadDraw(HERE)),
    "incurable last": (view(INCURABLE, failures=NEW, drawn=NOTES), None),
    "incurable, while it attests": (view(replace(INCURABLE, mode=ATTESTING), drawn=NOTES), None),
    "keyless": (view(KEYLESS), CountFailures(HERE)),
}


@pytest.mark.parametrize(("ring", "question"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_owner_finds_out_what_it_needs_to_know(ring: RingView, question: Question | None) -> None:
    assert find_question(ring) == question


# ---------------------------------------------------------------- who is seated


@pytest.mark.parametrize(
    ("failing", "expected"),
    [((), False), ((ONE,), False), ((OWNER,), False), ((TWO,), True), ((ONE, TWO), True), ((Address("gone"),), False)],
)
def test_failing_worker_can_be_replaced_where_another_holds_its_layer(
    failing: tuple[Address, ...], expected: bool
) -> None:
    assert can_replace(ROSTER, seated(failing=failing)) is expected


@pytest.mark.parametrize(
    ("strikes", "failing", "chosen"),
    [
        ({}, (), TWO),
        ({ONE: 5, TWO: 1}, (), TWO_TOO),
        ({TWO: 1, TWO_TOO: 1}, (), TWO_LAST),
        ({TWO: 1, TWO_TOO: 1, TWO_LAST: 1}, (), TWO),
        ({TWO: 2, TWO_TOO: 3, TWO_LAST: 1}, (), TWO_LAST),
        ({}, (TWO,), TWO_TOO),
        ({TWO_TOO: 1, TWO_LAST: 1}, (TWO,), TWO),
    ],
)
def test_layer_goes_to_the_candidate_that_failed_least(
    strikes: dict[Address, int], failing: tuple[Address, ...], chosen: Address
) -> None:
    assert choose_workers(ROSTER, Counter(strikes), failing) == [ONE, chosen]


@pytest.mark.parametrize(
    ("failures", "absences", "restores", "strikes"),
    [
        (0, 0, 0, 0),
        (2, 0, 0, 2),
        (0, 2, 0, 2),
        (1, 1, RESTORES_IN_VAIN - 1, 2),
        (0, 0, RESTORES_IN_VAIN, 1),
        (1, 2, 2 * RESTORES_IN_VAIN + 1, 5),
    ],
)
def test_strikes_add_up(failures: int, absences: int, restores: int, strikes: int) -> None:
    assert count_strikes(Counter({ONE: failures}), Counter({ONE: absences}), {ONE: restores})[ONE] == strikes


@pytest.mark.parametrize(
    ("order", "seats"),
    [((0, 1, 2), (OWNER, ONE, TWO, TWO_TOO)), ((2, 0, 1), (OWNER, TWO_TOO, ONE, TWO)), ((), (OWNER,))],
)
def test_owner_sits_first_and_the_others_as_drawn(order: tuple[int, ...], seats: tuple[Address, ...]) -> None:
    assert order_seats(OWNER, (ONE, TWO, TWO_TOO), order) == seats


# ---------------------------------------------------------------- the view


def arrangement(**changes: Any) -> ArrangementState:
    """As arranged: the owner has attested."""
    own = Attestation(HERE, Position(0), 0, ANY, ANY)
    state = ArrangementState(RingArranged(HERE, 1, SEATS, ANY, NOTES), {Position(0): own})
    return replace(state, **changes)


def ordered(round_: int) -> dict[Position, RestoreOrdered]:
    seat = Position(1)
    return {seat: RestoreOrdered(HERE, seat, TWO, round_, ANY, ANY, ANY, ANY, ANY)}


BOTH = (TWO, ONE)
SEATINGS: dict[str, tuple[RingMode, ArrangementState | None, Seating | None]] = {
    "none": (SETUP, None, None),
    "none, whatever the mode": (QUERY, None, None),
    "of another model": (SETUP, arrangement(), None),
    "attesting": (ATTESTING, arrangement(), seated(ATTESTING, failing=BOTH)),
    "keyless": (QUERY, arrangement(keyless={Position(2)}), seated(failing=BOTH, is_keyless=True)),
    "restored": (QUERY, arrangement(restores=ordered(1)), seated(failing=BOTH, is_restored=True)),
    "incurable": (
        TRACKING,
        arrangement(restores=ordered(RESTORES_IN_VAIN)),
        seated(TRACKING, failing=BOTH, is_restored=True, is_incurable=True),
    ),
    "again": (QUERY, arrangement(follows_restores=True), seated(failing=BOTH, follows_restores=True)),
    "authentic": (QUERY, arrangement(authentic_block=9), seated(failing=BOTH, authentic_block=9)),
}


@pytest.mark.parametrize(("mode", "current", "seating"), SEATINGS.values(), ids=SEATINGS.keys())
def test_seating_is_what_the_ledger_tells(
    mode: RingMode, current: ArrangementState | None, seating: Seating | None
) -> None:
    assert seating_of(mode, current) == seating
