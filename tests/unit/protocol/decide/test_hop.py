"""What a worker does for a query, as a table: what it knows, and what is due."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from deepring_chain.protocol.decide.hop import (
    Complain,
    Compute,
    HandIn,
    OpenNotes,
    PutBack,
    Recall,
    Recalled,
    Receive,
    Received,
    SettleFirst,
    Turn,
    find_note,
    next_action,
    owed_blob,
)
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed, UpdatePosted
from deepring_chain.protocol.route import RouteNote, route_link
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    ZERO,
    Attempt,
    Complaint,
    ComplaintKind,
    Hop,
    QueryId,
    QueryPhase,
    RingMode,
    SignedUpdate,
    TensorBytes,
    Update,
)
from tests.unit.protocol.protocol_tools import ITEMS, address, digest

ME, OTHER = address(2), address(3)
SALT, REST = digest(50), digest(51)
NOTE = RouteNote(Hop(2), ITEMS, SALT, REST, address(1), *(digest(number) for number in range(52, 56)))
TENSOR = TensorBytes("int8", (ITEMS, 1), b"ab")
ALL_MODES, ALL_PHASES = sorted(RingMode), sorted(QueryPhase)


def sent(hop: int, signer: str = OTHER) -> UpdatePosted:
    update = Update(QueryId(1), Attempt(1), Hop(hop), ITEMS, digest(60 + hop), digest(70), digest(71), digest(72))
    return UpdatePosted(SignedUpdate(update, b"s" * 65, ZERO, ZERO), signer, digest(73))  # type: ignore[arg-type]


SIGNED = sent(2, ME).signed
SESSION = Session(
    QueryId(1),
    address(9),
    digest(10),
    digest(11),
    digest(12),
    phase=QueryPhase.ROUTED,
    attempt=Attempt(1),
    next_hop=Hop(2),
    hops=4,
    items=ITEMS,
    route=route_link(ME, SALT, REST),
    updates=MappingProxyType({Hop(1): sent(1)}),
)
COMPLAINT = Complaint(QueryId(1), Attempt(1), Hop(2), ComplaintKind.ALTERED, digest(80), digest(81))
DISPUTE = EnvelopeDisputed(COMPLAINT, ME, SALT, REST, b"", digest(84))
VIOLATION = OutputDisputed(QueryId(1), Attempt(1), Hop(2), digest(82), digest(83))
READY = Turn(ME, RingMode.QUERY, SESSION, notes=(NOTE,), recalled=Recalled(None), received=Received(TENSOR))


def disputed(**changes: Any) -> Session:
    return replace(SESSION, **{"phase": QueryPhase.DISPUTED, "dispute": DISPUTE, **changes})


def complaint(kind: ComplaintKind, reason: str = "why") -> Complain:
    return Complain(NOTE, kind, reason)


def fault(kind: ComplaintKind) -> Received:
    return Received(None, kind, "why")


# ---------------------------------------------------------------- a turn, from its beginning to its end

ASKED: list[tuple[str, dict[str, Any], object]] = [
    ("all is known", {}, Compute(NOTE, TENSOR)),
    ("nothing received yet", {"received": None}, Receive(NOTE)),
    ("nothing recalled yet", {"recalled": None}, Recall(NOTE)),
    ("neither", {"recalled": None, "received": None}, Recall(NOTE)),
    ("signed before", {"recalled": Recalled(SIGNED)}, HandIn(SIGNED)),
    ("signed before, nothing received", {"recalled": Recalled(SIGNED), "received": None}, HandIn(SIGNED)),
    ("signed before, relayed hops wait", {"recalled": Recalled(SIGNED), "is_ahead": True}, HandIn(SIGNED)),
    ("relayed hops wait", {"is_ahead": True}, Compute(NOTE, TENSOR)),
    ("relayed hops wait, nothing received", {"is_ahead": True, "received": None}, Receive(NOTE)),
    ("own hops stuck", {"is_stuck": True}, SettleFirst()),
    ("own hops stuck, notes unread", {"is_stuck": True, "notes": None}, SettleFirst()),
    ("own hops stuck, parameters damaged", {"is_stuck": True, "is_intact": False}, SettleFirst()),
    ("notes unread", {"notes": None}, OpenNotes()),
    ("notes unread, parameters damaged", {"notes": None, "is_intact": False}, OpenNotes()),
    ("no note of its own", {"notes": ()}, None),
    ("no note of its own, parameters damaged", {"notes": (), "is_intact": False}, None),
    ("parameters damaged", {"is_intact": False}, complaint(ComplaintKind.UNABLE, "own parameters are damaged")),
    (
        "parameters damaged, nothing recalled",
        {"is_intact": False, "recalled": None, "received": None},
        complaint(ComplaintKind.UNABLE, "own parameters are damaged"),
    ),
    (
        "parameters damaged, signed before",
        {"is_intact": False, "recalled": Recalled(SIGNED)},
        complaint(ComplaintKind.UNABLE, "own parameters are damaged"),
    ),
    ("parameters damaged, relayed hops wait", {"is_intact": False, "is_ahead": True}, SettleFirst()),
    *((kind.name, {"received": fault(kind)}, complaint(kind)) for kind in ComplaintKind),
    *(
        (f"{kind.name}, relayed hops wait", {"received": fault(kind), "is_ahead": True}, SettleFirst())
        for kind in ComplaintKind
    ),
    *(
        (f"{kind.name}, signed before", {"received": fault(kind), "recalled": Recalled(SIGNED)}, HandIn(SIGNED))
        for kind in ComplaintKind
    ),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED])
def test_turn(changes: dict[str, Any], expected: object) -> None:
    assert next_action(replace(READY, **changes)) == expected


@pytest.mark.parametrize("mode", [mode for mode in ALL_MODES if mode is not RingMode.QUERY], ids=lambda mode: mode.name)
@pytest.mark.parametrize("changes", [{}, {"is_stuck": True}, {"notes": None}], ids=["ready", "stuck", "unread"])
def test_no_hop_is_due_while_the_ring_is_not_authentic(mode: RingMode, changes: dict[str, Any]) -> None:
    assert next_action(replace(READY, mode=mode, **changes)) is None


@pytest.mark.parametrize(
    "phase", [phase for phase in ALL_PHASES if phase is not QueryPhase.ROUTED], ids=lambda it: it.name
)
@pytest.mark.parametrize("changes", [{}, {"is_stuck": True}, {"notes": None}], ids=["ready", "stuck", "unread"])
def test_no_hop_is_due_in_another_phase(phase: QueryPhase, changes: dict[str, Any]) -> None:
    """Without a dispute there is nothing to put back, either."""
    assert next_action(replace(READY, session=replace(SESSION, phase=phase), **changes)) is None


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("changes", [{}, {"is_stuck": True}, {"notes": None}, {"is_intact": False}], ids=str)
def test_blob_of_a_dispute_is_put_back_in_every_mode(mode: RingMode, changes: dict[str, Any]) -> None:
    turn = replace(READY, mode=mode, session=disputed(), **changes)
    assert next_action(turn) == PutBack(COMPLAINT.evidence)


def test_violation_of_eq_13_has_no_blob_to_put_back() -> None:
    assert next_action(replace(READY, session=disputed(dispute=VIOLATION))) is None


# ---------------------------------------------------------------- whose note

OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("hop before", {"hop": Hop(1)}),
    ("hop after", {"hop": Hop(3)}),
    ("more items", {"items": ITEMS + 1}),
    ("fewer items", {"items": ITEMS - 1}),
    ("salt", {"salt": ZERO}),
    ("rest of the route", {"next_route": ZERO}),
]


@pytest.mark.parametrize("changes", [row[1] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_note_that_does_not_open_the_link_is_none(changes: dict[str, Any]) -> None:
    forged = replace(NOTE, **changes)
    assert find_note(ME, SESSION, (forged,)) is None
    assert find_note(ME, SESSION, (forged, NOTE)) == NOTE
    assert find_note(ME, SESSION, (NOTE, forged)) == NOTE


def test_note_of_another_worker_is_none() -> None:
    assert find_note(OTHER, SESSION, (NOTE,)) is None


def test_input_of_the_ouroboros_is_no_workers_turn() -> None:
    at_start = replace(SESSION, next_hop=Hop(0))
    assert next_action(replace(READY, session=at_start)) is None
    assert next_action(replace(READY, session=at_start, notes=None)) == OpenNotes()


@pytest.mark.parametrize("changes", [{}, {"is_intact": False}, {"recalled": None, "received": None}], ids=str)
def test_worker_does_not_take_hop_0_that_an_ouroboros_gives_it(changes: dict[str, Any]) -> None:
    """Its link names the worker; of what was sent before hop 0 there is nothing to open or to complain of."""
    at_start = replace(SESSION, next_hop=Hop(0), updates=MappingProxyType({}))
    assert next_action(replace(READY, session=at_start, notes=(replace(NOTE, hop=Hop(0)),), **changes)) is None


# ---------------------------------------------------------------- what is owed to the referee

OWED: list[tuple[str, dict[str, Any], object]] = [
    ("own complaint", {}, COMPLAINT.evidence),
    ("another's complaint of another's envelope", {"dispute": replace(DISPUTE, recipient=OTHER)}, None),
    (
        "another's complaint of the own envelope",
        {"dispute": replace(DISPUTE, recipient=OTHER), "updates": MappingProxyType({Hop(1): sent(1, ME)})},
        sent(1).signed.update.envelope,
    ),
    (
        "own complaint of the own envelope",
        {"updates": MappingProxyType({Hop(1): sent(1, ME)})},
        sent(1).signed.update.envelope,
    ),
    ("own envelope of another hop", {"updates": MappingProxyType({Hop(2): sent(2, ME)})}, None),
    ("nothing was sent", {"updates": MappingProxyType({})}, None),
    ("eq. 13", {"dispute": VIOLATION, "updates": MappingProxyType({Hop(1): sent(1, ME)})}, None),
    ("no dispute", {"dispute": None, "updates": MappingProxyType({Hop(1): sent(1, ME)})}, None),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in OWED], ids=[row[0] for row in OWED])
def test_owed_blob(changes: dict[str, Any], expected: object) -> None:
    assert owed_blob(ME, disputed(**changes)) == expected
