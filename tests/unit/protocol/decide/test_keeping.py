"""Which blobs the owner keeps, and when it looks for them: each row is what it knows, and what it does then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.decide.keeping import (
    CARD_SECONDS,
    LOOK_SECONDS,
    CardView,
    EncodeCard,
    FindCard,
    Forget,
    Keeping,
    KeptBlob,
    KeptFor,
    ListRecords,
    PutBack,
    PutCard,
    next_action,
    next_card_action,
    useless_records,
    wanted_blobs,
)
from deepring_chain.protocol.events import RestoreOrdered, RingArranged
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.session import Session
from deepring_chain.types import ZERO, Address, ArrangementId, Digest, Pointer, Position, QueryId, QueryPhase, RingMode

ANY: Any = ZERO
"""A digest of any kind."""
NOTES, PARAMETERS, MORE, ROUTE, OTHER_ROUTE = (Pointer(Digest(bytes([value]) * 32)) for value in range(1, 6))
NOBODY = Address("nobody")


def of_ring(number: int, digest: Pointer = NOTES) -> KeptBlob:
    return KeptBlob(KeptFor.ARRANGEMENT, number, digest)


def of_query(number: int, digest: Pointer = ROUTE) -> KeptBlob:
    return KeptBlob(KeptFor.QUERY, number, digest)


def blobs(*kept: KeptBlob) -> frozenset[KeptBlob]:
    return frozenset(kept)


# ---------------------------------------------------------------- what is wanted


def arrangement(**parameters: Pointer) -> ArrangementState:
    """Arrangement 5, with the parameters of these restored seats."""
    state = ArrangementState(RingArranged(ArrangementId(5), 1, (NOBODY,), ANY, NOTES))
    for number, blob in enumerate(parameters.values()):
        seat = Position(number)
        state.restores[seat] = RestoreOrdered(ArrangementId(5), seat, NOBODY, 1, ANY, ANY, ANY, ANY, blob)
    return state


def ask(number: int, phase: QueryPhase, notes: Pointer = ROUTE) -> Session:
    return Session(QueryId(number), NOBODY, ANY, ANY, ANY, phase=phase, notes=notes)


ATTESTING, RUNNING = RingMode.ATTESTING, ask(1, QueryPhase.ROUTED)
WANTED: dict[str, tuple[RingMode, ArrangementState | None, tuple[Session, ...], frozenset[KeptBlob]]] = {
    "set-up": (RingMode.SETUP, None, (), blobs()),
    "not arranged": (ATTESTING, None, (RUNNING,), blobs(of_query(1))),
    "attesting": (ATTESTING, arrangement(), (), blobs(of_ring(5))),
    "attesting after restores": (
        ATTESTING,
        arrangement(one=PARAMETERS, two=MORE),
        (),
        blobs(of_ring(5), of_ring(5, PARAMETERS), of_ring(5, MORE)),
    ),
    "attesting while a query runs": (ATTESTING, arrangement(), (RUNNING,), blobs(of_ring(5), of_query(1))),
    "well": (RingMode.QUERY, arrangement(one=PARAMETERS), (), blobs()),
    "tracking": (RingMode.TRACKING, arrangement(), (), blobs()),
    "two run": (
        RingMode.QUERY,
        arrangement(),
        (RUNNING, ask(2, QueryPhase.ROUTED, OTHER_ROUTE)),
        blobs(of_query(1), of_query(2, OTHER_ROUTE)),
    ),
    **{
        f"one is {phase.name.lower()}": (RingMode.QUERY, arrangement(), (ask(1, phase),), blobs())
        for phase in sorted(set(QueryPhase) - {QueryPhase.ROUTED})
    },
}


@pytest.mark.parametrize(("mode", "current", "sessions", "expected"), WANTED.values(), ids=WANTED.keys())
def test_blobs_are_wanted_by_those_who_attest_and_by_workers_on_a_route(
    mode: RingMode, current: ArrangementState | None, sessions: tuple[Session, ...], expected: frozenset[KeptBlob]
) -> None:
    assert wanted_blobs(mode, current, sessions) == expected


# ---------------------------------------------------------------- when it looks, and what it drops

RECORDS = blobs(of_ring(4), of_ring(5), of_query(1), of_query(2))
SAME = Keeping(blobs(of_query(2)), blobs(of_query(2)), arrangement=5, newest=2, open_queries=frozenset({QueryId(2)}))
CHANGED = replace(SAME, before=blobs(of_ring(5)))

ACTIONS: dict[str, tuple[Keeping, Any]] = {
    "nothing wanted": (Keeping(blobs()), None),
    "nothing wanted for long": (Keeping(blobs(), waited=99.0), None),
    "just wanted": (replace(SAME, waited=LOOK_SECONDS - 0.1), None),
    "wanted for a while": (replace(SAME, waited=LOOK_SECONDS), PutBack(SAME.wanted)),
    "wanted for long": (replace(SAME, waited=99.0), PutBack(SAME.wanted)),
    "others are wanted": (CHANGED, ListRecords()),
    "others are wanted for long": (replace(CHANGED, waited=99.0), ListRecords()),
    "others are wanted, records listed": (
        replace(CHANGED, records=RECORDS, waited=99.0),
        Forget(blobs(of_ring(4), of_query(1))),
    ),
    "none is wanted any more": (replace(CHANGED, wanted=blobs()), ListRecords()),
    "others are wanted, no record": (replace(CHANGED, records=blobs()), Forget(blobs())),
}


@pytest.mark.parametrize(("keeping", "action"), ACTIONS.values(), ids=ACTIONS.keys())
def test_owner_looks_for_what_has_been_wanted_for_a_while(keeping: Keeping, action: Any) -> None:
    assert next_action(keeping) == action


PAST: dict[str, tuple[KeptBlob, bool]] = {
    "the arrangement before": (of_ring(4), True),
    "this arrangement": (of_ring(5), False),
    "an arrangement to come": (of_ring(6), False),
    "an arrangement with an open query's number": (of_ring(2), True),
    "an ended query": (of_query(1), True),
    "an open query": (of_query(2), False),
    "the last query, which has ended": (of_query(7), True),
    "a query that a reorganization took away": (of_query(8), False),
}


@pytest.mark.parametrize(("record", "expected"), PAST.values(), ids=PAST.keys())
def test_records_are_dropped_that_nobody_wants_again(record: KeptBlob, expected: bool) -> None:
    keeping = replace(SAME, newest=7)
    assert useless_records(keeping, blobs(record)) == (blobs(record) if expected else blobs())


# ---------------------------------------------------------------- the model's card

CARD, OTHER_CARD = NOTES, MORE
CARDS: dict[str, tuple[CardView, Any]] = {
    "no model": (CardView(None), None),
    "no model, own card known": (CardView(None, None, CARD, is_stored=False), None),
    "never looked": (CardView(CARD), EncodeCard()),
    "looked just now": (CardView(CARD, 0.0), None),
    "looked a while ago": (CardView(CARD, CARD_SECONDS - 0.1), None),
    "looked long ago": (CardView(CARD, CARD_SECONDS), EncodeCard()),
    "another's model": (CardView(CARD, None, OTHER_CARD), None),
    "own model": (CardView(CARD, None, CARD), FindCard(CARD)),
    "own model, in the store": (CardView(CARD, None, CARD, is_stored=True), None),
    "own model, lost": (CardView(CARD, None, CARD, is_stored=False), PutCard()),
    "another's model, lost": (CardView(CARD, None, OTHER_CARD, is_stored=False), None),
}


@pytest.mark.parametrize(("card", "action"), CARDS.values(), ids=CARDS.keys())
def test_card_is_put_back_where_it_is_the_registered_one(card: CardView, action: Any) -> None:
    assert next_card_action(card) == action
