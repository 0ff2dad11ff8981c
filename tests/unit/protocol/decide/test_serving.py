"""What the ouroboros does for a query: one row a case, without a ring, an actor or I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.decide.hop import Received, SettleFirst
from deepring_chain.protocol.decide.serving import (
    LATE,
    MAX_ATTEMPTS,
    Complain,
    Deliver,
    EnterInput,
    InputState,
    Judge,
    OpenRoute,
    ReadInput,
    ReceiveOutput,
    Reject,
    Service,
    TimeOut,
    next_action,
)
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    Attempt,
    ComplaintKind,
    Digest,
    Hop,
    QueryId,
    QueryPhase,
    RejectReason,
    RingMode,
    SealingKey,
    TensorBytes,
)
from tests.unit.protocol.protocol_tools import address, digest

HOPS = 4
ASKED = Session(QueryId(1), address(9), digest(10), digest(11), digest(12))
OPEN = replace(ASKED, attempt=Attempt(1), hops=HOPS, items=2)

SUBMITTED = replace(ASKED, phase=QueryPhase.SUBMITTED)
INTERRUPTED = replace(OPEN, phase=QueryPhase.INTERRUPTED, next_hop=Hop(2))
ENTERING = replace(OPEN, phase=QueryPhase.ROUTED, next_hop=Hop(0))
RUNNING = replace(OPEN, phase=QueryPhase.ROUTED, next_hop=Hop(2))
COMPUTED = replace(OPEN, phase=QueryPhase.COMPUTED, next_hop=Hop(HOPS))
DISPUTED = replace(OPEN, phase=QueryPhase.DISPUTED, next_hop=Hop(2))

OUTPUT = TensorBytes("int32", (2, 3), bytes(24))
USELESS_KEY = SealingKey(Digest(bytes(32)))
"""A point of low order: nothing can be sealed to it."""


def due(session: Session, mode: RingMode = RingMode.QUERY, **fields: Any) -> Any:
    return next_action(Service(mode, session, **fields))


# ---------------------------------------------------------------- phases and modes

IN_QUERY_MODE: list[tuple[QueryPhase, Any]] = [
    (QueryPhase.NONE, None),
    (QueryPhase.SUBMITTED, ReadInput()),
    (QueryPhase.ROUTED, EnterInput()),
    (QueryPhase.COMPUTED, ReceiveOutput()),
    (QueryPhase.DELIVERED, None),
    (QueryPhase.DISPUTED, Judge()),
    (QueryPhase.REJECTED, None),
    (QueryPhase.INTERRUPTED, ReadInput()),
    (QueryPhase.WITHDRAWN, None),
]


@pytest.mark.parametrize(("phase", "expected"), IN_QUERY_MODE, ids=lambda value: getattr(value, "name", ""))
def test_what_is_due_in_each_phase_while_the_ring_is_authentic(phase: QueryPhase, expected: Any) -> None:
    assert due(replace(OPEN, phase=phase)) == expected


@pytest.mark.parametrize("phase", list(QueryPhase), ids=lambda phase: phase.name)
@pytest.mark.parametrize("mode", sorted(set(RingMode) - {RingMode.QUERY}), ids=lambda mode: mode.name)
def test_dispute_alone_is_served_in_every_other_mode(mode: RingMode, phase: QueryPhase) -> None:
    expected = Judge() if phase is QueryPhase.DISPUTED else None
    assert due(replace(OPEN, phase=phase), mode, is_overdue=True, input=InputState.READY) == expected


# ---------------------------------------------------------------- routes

LAST, SPENT = Attempt(MAX_ATTEMPTS - 1), Attempt(MAX_ATTEMPTS)
RING_FAULTY = Reject(RejectReason.RING_FAULTY)
ROUTES: list[tuple[str, Session, dict[str, Any], Any]] = [
    ("first, no room for new routes", SUBMITTED, {"may_open": False}, None),
    ("first, an older one waits", SUBMITTED, {"is_next": False}, None),
    ("first, neither", SUBMITTED, {"may_open": False, "is_next": False}, None),
    ("again, no room for new routes", INTERRUPTED, {"may_open": False}, None),
    ("again, an older one waits", INTERRUPTED, {"is_next": False}, ReadInput()),
    ("first, unread", SUBMITTED, {}, ReadInput()),
    ("first, waits", SUBMITTED, {"input": InputState.WAITS}, None),
    ("first, ready", SUBMITTED, {"input": InputState.READY}, OpenRoute()),
    ("first, missing", SUBMITTED, {"input": InputState.MISSING}, Reject(RejectReason.BLOB_UNAVAILABLE)),
    ("first, unsealable", SUBMITTED, {"input": InputState.UNSEALABLE}, Reject(RejectReason.UNDECRYPTABLE)),
    ("first, malformed", SUBMITTED, {"input": InputState.MALFORMED}, Reject(RejectReason.MALFORMED)),
    ("first, unfit", SUBMITTED, {"input": InputState.UNFIT}, Reject(RejectReason.WRONG_SHAPE)),
    ("again, ready", INTERRUPTED, {"input": InputState.READY}, OpenRoute()),
    ("again, missing", INTERRUPTED, {"input": InputState.MISSING}, Reject(RejectReason.BLOB_UNAVAILABLE)),
    (
        "useless key",
        replace(SUBMITTED, sealing_key=USELESS_KEY),
        {"input": InputState.READY},
        Reject(RejectReason.MALFORMED),
    ),
    ("useless key, unread", replace(SUBMITTED, sealing_key=USELESS_KEY), {}, ReadInput()),
    ("useless key, waits", replace(SUBMITTED, sealing_key=USELESS_KEY), {"input": InputState.WAITS}, None),
    (
        "useless key, missing",
        replace(SUBMITTED, sealing_key=USELESS_KEY),
        {"input": InputState.MISSING},
        Reject(RejectReason.BLOB_UNAVAILABLE),
    ),
    ("last attempt", replace(INTERRUPTED, attempt=LAST), {"input": InputState.READY}, OpenRoute()),
    ("all attempts spent", replace(INTERRUPTED, attempt=SPENT), {"input": InputState.READY}, RING_FAULTY),
    ("all attempts spent, unread", replace(INTERRUPTED, attempt=SPENT), {}, RING_FAULTY),
    ("all attempts spent, missing", replace(INTERRUPTED, attempt=SPENT), {"input": InputState.MISSING}, RING_FAULTY),
    ("more than all spent", replace(INTERRUPTED, attempt=Attempt(SPENT + 1)), {}, RING_FAULTY),
    ("all spent, no room for new routes", replace(INTERRUPTED, attempt=SPENT), {"may_open": False}, None),
]


@pytest.mark.parametrize(("session", "fields", "expected"), [row[1:] for row in ROUTES], ids=[row[0] for row in ROUTES])
def test_route_is_opened_or_the_query_turned_down(session: Session, fields: dict[str, Any], expected: Any) -> None:
    assert due(session, **fields) == expected


# ---------------------------------------------------------------- hop 0 and the hops after it

HOPS_DUE: list[tuple[str, Session, dict[str, Any], Any]] = [
    ("hop 0", ENTERING, {}, EnterInput()),
    ("hop 0, overdue", ENTERING, {"is_overdue": True}, EnterInput()),
    ("hop 0, no new routes", ENTERING, {"may_open": False, "is_next": False}, EnterInput()),
    ("hop 0, late", ENTERING, {"refusal": LATE}, TimeOut()),
    ("hop 0, late and overdue", ENTERING, {"refusal": LATE, "is_overdue": True}, TimeOut()),
    ("hop 0, refused", ENTERING, {"refusal": "UnexpectedState"}, None),
    ("hop 0, refused and overdue", ENTERING, {"refusal": "UnexpectedState", "is_overdue": True}, TimeOut()),
    (
        "hop 0, refused, overdue and ahead",
        ENTERING,
        {"refusal": "UnexpectedState", "is_overdue": True, "is_ahead": True},
        SettleFirst(),
    ),
    ("hop 2", RUNNING, {}, None),
    ("hop 2, ahead", RUNNING, {"is_ahead": True}, None),
    ("hop 2, overdue", RUNNING, {"is_overdue": True}, TimeOut()),
    ("hop 2, overdue and ahead", RUNNING, {"is_overdue": True, "is_ahead": True}, SettleFirst()),
    ("hop 2, overdue, no new routes", RUNNING, {"is_overdue": True, "may_open": False}, TimeOut()),
    ("hop 1, overdue", replace(RUNNING, next_hop=Hop(1)), {"is_overdue": True}, TimeOut()),
    ("last hop, overdue", replace(RUNNING, next_hop=Hop(HOPS - 1)), {"is_overdue": True}, TimeOut()),
]


@pytest.mark.parametrize(
    ("session", "fields", "expected"), [row[1:] for row in HOPS_DUE], ids=[row[0] for row in HOPS_DUE]
)
def test_input_is_entered_and_a_silent_hop_is_timed_out(
    session: Session, fields: dict[str, Any], expected: Any
) -> None:
    assert due(session, **fields) == expected


# ---------------------------------------------------------------- delivery

MISSING = Received(fault=ComplaintKind.MISSING, reason="blob gone")
UNREADABLE = Received(fault=ComplaintKind.UNREADABLE, reason="does not open")
ENDS: list[tuple[str, dict[str, Any], Any]] = [
    ("unread", {}, ReceiveOutput()),
    ("unread, ahead", {"is_ahead": True}, ReceiveOutput()),
    ("unread, overdue", {"is_overdue": True}, ReceiveOutput()),
    ("held", {"is_held": True}, None),
    ("held, read", {"is_held": True, "received": Received(OUTPUT)}, None),
    ("good", {"received": Received(OUTPUT)}, Deliver(OUTPUT)),
    ("good, ahead", {"received": Received(OUTPUT), "is_ahead": True}, Deliver(OUTPUT)),
    ("good, no new routes", {"received": Received(OUTPUT), "may_open": False}, Deliver(OUTPUT)),
    ("missing", {"received": MISSING}, Complain(ComplaintKind.MISSING, "blob gone")),
    ("missing, ahead", {"received": MISSING, "is_ahead": True}, SettleFirst()),
    ("unreadable", {"received": UNREADABLE}, Complain(ComplaintKind.UNREADABLE, "does not open")),
    ("unreadable, ahead", {"received": UNREADABLE, "is_ahead": True}, SettleFirst()),
]


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_last_output_is_delivered_or_complained_of(fields: dict[str, Any], expected: Any) -> None:
    assert due(COMPUTED, **fields) == expected


@pytest.mark.parametrize("fields", [{}, {"is_ahead": True}, {"is_held": True}, {"may_open": False}], ids=str)
def test_dispute_is_judged_whatever_else_is_known(fields: dict[str, Any]) -> None:
    assert due(DISPUTED, **fields) == Judge()
