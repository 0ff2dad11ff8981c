"""Where an attempt begins, what its hops are told, who is due, who failed: one row a case, without a ring or I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from deepring_chain.crypto.digest import hop_key
from deepring_chain.protocol.decide.routing import (
    Begin,
    Drawn,
    LookFor,
    ReadRoute,
    Recompute,
    Resumption,
    anchor_of,
    counted_faults,
    draw_route,
    due_signer,
    is_refuted,
    next_action,
    route_links,
    route_notes,
    route_signers,
    who_failed,
)
from deepring_chain.protocol.draws import RouteDraw
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed, UpdatePosted
from deepring_chain.protocol.route import RouteNote, route_link
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Complaint,
    ComplaintKind,
    Digest,
    Hop,
    Pointer,
    QueryId,
    QueryPhase,
    SealingKey,
    TrailHash,
)
from tests.unit.protocol.protocol_tools import address, digest, posted

HOPS = 4
SIGNERS = tuple(address(hop + 1) for hop in range(HOPS))
STRANGER = address(77)
VERSION = 3
TRUTH = tuple(digest(500 + hop) for hop in range(HOPS + 1))
"""What honest hops and the delivery commit to."""


def honest(hop: int, attempt: int = 1, **changes: Any) -> UpdatePosted:
    words: dict[str, Any] = {"output": TRUTH[hop], "next_output": TRUTH[hop + 1], "envelope": digest(900 + hop)}
    return posted(hop, attempt=attempt, **{**words, **changes})


def updates(*entries: UpdatePosted) -> dict[Hop, UpdatePosted]:
    return {entry.signed.update.hop: entry for entry in entries}


def envelope(hop: int) -> Pointer:
    return Pointer(digest(900 + hop))


ACCEPTED = updates(honest(0), honest(1), honest(2))
SESSION = Session(
    QueryId(1),
    address(9),
    digest(10),
    digest(11),
    digest(12),
    phase=QueryPhase.INTERRUPTED,
    attempt=Attempt(1),
    next_hop=Hop(3),
    hops=HOPS,
    items=2,
    model_version=VERSION,
    updates=ACCEPTED,
)
GUILTY, SILENT, UNSETTLED = FaultKind.GUILTY, FaultKind.SILENT, FaultKind.UNSETTLED


def faults(*places: tuple[int, int, FaultKind]) -> tuple[Fault, ...]:
    """Each as attempt, hop, kind."""
    return tuple(Fault(Attempt(attempt), Hop(hop), kind) for attempt, hop, kind in places)


NO_TRAIL = TrailHash(ZERO)


def complaint(kind: ComplaintKind, attempt: int, hop: int) -> EnvelopeDisputed:
    told = Complaint(QueryId(1), Attempt(attempt), Hop(hop), kind, NO_BLOB, NO_TRAIL)
    return EnvelopeDisputed(told, STRANGER, ZERO, NO_ROUTE, b"", NO_TRAIL)


# ---------------------------------------------------------------- where to begin


def resumption(session: Session = SESSION, looked: Mapping[int, bool] | None = None, **fields: Any) -> Resumption:
    """A second attempt of which the truth is known; `looked` by hop."""
    routes = {Attempt(1): SIGNERS, Attempt(2): SIGNERS}
    known: dict[str, Any] = {
        "attempt": Attempt(2),
        "model_version": VERSION,
        "signers": SIGNERS,
        "routes": routes,
        "truth": TRUTH,
        "looked": {envelope(hop): is_good for hop, is_good in (looked or {}).items()},
    }
    return Resumption(session, **{**known, **fields})


def look(hop: int) -> LookFor:
    return LookFor(envelope(hop))


def swapped(hop: int) -> tuple[Address, ...]:
    """Another worker for a hop."""
    return (*SIGNERS[:hop], STRANGER, *SIGNERS[hop + 1 :])


BEGINNINGS: list[tuple[str, Resumption, Any]] = [
    ("first attempt", resumption(attempt=Attempt(1)), Begin(Hop(0))),
    ("first attempt, truth unknown", resumption(attempt=Attempt(1), truth=None), Begin(Hop(0))),
    ("other model", resumption(model_version=VERSION + 1), Begin(Hop(0))),
    ("older model", resumption(model_version=VERSION - 1), Begin(Hop(0))),
    ("other model, truth unknown", resumption(model_version=VERSION + 1, truth=None), Begin(Hop(0))),
    ("truth unknown", resumption(truth=None), Recompute()),
    ("third attempt, truth unknown", resumption(attempt=Attempt(3), truth=None), Recompute()),
    ("latest first", resumption(), look(2)),
    ("latest is good", resumption(looked={2: True}), Begin(Hop(3))),
    ("latest is lost", resumption(looked={2: False}), look(1)),
    ("good before the lost one", resumption(looked={2: False, 1: True}), Begin(Hop(2))),
    ("two are lost", resumption(looked={2: False, 1: False}), look(0)),
    ("good after the input alone", resumption(looked={2: False, 1: False, 0: True}), Begin(Hop(1))),
    ("all are lost", resumption(looked={2: False, 1: False, 0: False}), Begin(Hop(0))),
    ("earlier ones do not count", resumption(looked={1: True, 0: True}), look(2)),
    ("due at hop 0", resumption(replace(SESSION, next_hop=Hop(0))), Begin(Hop(0))),
    ("due at hop 1", resumption(replace(SESSION, next_hop=Hop(1))), look(0)),
    ("due at hop 1, good", resumption(replace(SESSION, next_hop=Hop(1)), {0: True}), Begin(Hop(1))),
    ("due at hop 1, lost", resumption(replace(SESSION, next_hop=Hop(1)), {0: False}), Begin(Hop(0))),
    ("due at hop 2", resumption(replace(SESSION, next_hop=Hop(2)), {1: True}), Begin(Hop(2))),
    (
        "due at the delivery: the last hop is made again",
        resumption(replace(SESSION, next_hop=Hop(HOPS), updates=updates(*ACCEPTED.values(), honest(3)))),
        look(2),
    ),
    ("nothing accepted", resumption(replace(SESSION, updates={})), Begin(Hop(0))),
    ("not accepted", resumption(replace(SESSION, updates=updates(honest(0)))), look(0)),
    (
        "wrong output",
        resumption(replace(SESSION, updates={**ACCEPTED, Hop(2): honest(2, output=digest(1))})),
        look(1),
    ),
    (
        "wrong expected output",
        resumption(replace(SESSION, updates={**ACCEPTED, Hop(2): honest(2, next_output=digest(1))})),
        look(1),
    ),
    ("other reader", resumption(signers=swapped(3)), look(1)),
    ("other sender, same reader", resumption(signers=swapped(2)), look(2)),
    ("other reader at hop 2, latest lost", resumption(looked={2: False}, signers=swapped(2)), look(0)),
    (
        "reader of the attempt in which it was sent",
        resumption(routes={Attempt(1): swapped(3), Attempt(2): SIGNERS}, signers=swapped(3)),
        look(2),
    ),
    (
        "sent in a later attempt, to the same reader",
        resumption(
            replace(SESSION, updates={**ACCEPTED, Hop(2): honest(2, attempt=2)}),
            routes={Attempt(1): SIGNERS, Attempt(2): swapped(3)},
            signers=swapped(3),
            attempt=Attempt(3),
        ),
        look(2),
    ),
    ("guilty sender", resumption(replace(SESSION, faults=faults((1, 2, GUILTY)))), look(1)),
    ("guilty receiver", resumption(replace(SESSION, faults=faults((1, 3, GUILTY)))), look(2)),
    ("two guilty senders", resumption(replace(SESSION, faults=faults((1, 2, GUILTY), (1, 1, GUILTY)))), look(0)),
    ("unreadable", resumption(replace(SESSION, dispute=complaint(ComplaintKind.UNREADABLE, 1, 3))), look(1)),
]


@pytest.mark.parametrize(("known", "expected"), [row[1:] for row in BEGINNINGS], ids=[row[0] for row in BEGINNINGS])
def test_attempt_begins_as_late_as_it_can(known: Resumption, expected: Any) -> None:
    assert next_action(known) == expected


# ---------------------------------------------------------------- what is refuted

ANCHOR = honest(1, attempt=2)
ALTERED, UNREADABLE = ComplaintKind.ALTERED, ComplaintKind.UNREADABLE
OUTPUTS_DIFFER = OutputDisputed(QueryId(1), Attempt(2), Hop(2), NO_OUTPUT, NO_OUTPUT)
REFUTED: list[tuple[str, dict[str, Any], bool]] = [
    ("nothing", {}, False),
    ("guilty", {"faults": faults((2, 1, GUILTY))}, True),
    ("guilty later", {"faults": faults((3, 1, GUILTY))}, True),
    ("guilty among others", {"faults": faults((2, 3, SILENT), (2, 1, GUILTY), (3, 2, SILENT))}, True),
    ("guilty before", {"faults": faults((1, 1, GUILTY))}, False),
    ("guilty at the next hop", {"faults": faults((2, 2, GUILTY))}, False),
    ("guilty at the hop before", {"faults": faults((2, 0, GUILTY))}, False),
    ("silent", {"faults": faults((2, 1, SILENT))}, False),
    ("unsettled itself", {"faults": faults((2, 1, UNSETTLED), (2, 1, UNSETTLED))}, False),
    ("missed once", {"faults": faults((2, 2, UNSETTLED))}, False),
    ("missed twice", {"faults": faults((2, 2, UNSETTLED), (2, 2, UNSETTLED))}, True),
    ("missed twice, later", {"faults": faults((2, 2, UNSETTLED), (3, 2, UNSETTLED))}, True),
    ("missed three times", {"faults": faults(*[(2, 2, UNSETTLED)] * 3)}, True),
    ("missed twice, once before", {"faults": faults((1, 2, UNSETTLED), (2, 2, UNSETTLED))}, False),
    ("missed twice elsewhere", {"faults": faults((2, 3, UNSETTLED), (2, 3, UNSETTLED))}, False),
    ("silent reader, twice", {"faults": faults((2, 2, SILENT), (2, 2, SILENT))}, False),
    ("unreadable", {"dispute": complaint(UNREADABLE, 2, 2)}, True),
    ("unreadable later", {"dispute": complaint(UNREADABLE, 3, 2)}, True),
    ("unreadable before", {"dispute": complaint(UNREADABLE, 1, 2)}, False),
    ("unreadable elsewhere", {"dispute": complaint(UNREADABLE, 2, 3)}, False),
    ("unreadable hop before", {"dispute": complaint(UNREADABLE, 2, 1)}, False),
    ("altered", {"dispute": complaint(ALTERED, 2, 2)}, True),
    ("missing", {"dispute": complaint(ComplaintKind.MISSING, 2, 2)}, False),
    ("unable", {"dispute": complaint(ComplaintKind.UNABLE, 2, 2)}, False),
    ("equation 13", {"dispute": OUTPUTS_DIFFER}, False),
    ("equation 13, guilty", {"dispute": OUTPUTS_DIFFER, "faults": faults((2, 1, GUILTY))}, True),
]


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in REFUTED], ids=[row[0] for row in REFUTED])
def test_output_of_a_convict_or_one_that_cannot_be_read_is_refuted(fields: dict[str, Any], expected: bool) -> None:
    assert is_refuted(replace(SESSION, **fields), ANCHOR) is expected


# ---------------------------------------------------------------- what is drawn

KEYS = tuple(digest(600 + hop) for hop in range(HOPS))
SALTS = tuple(digest(700 + hop) for hop in range(HOPS))
FRESH, FIRST = digest(800), digest(801)
DRAWN = Drawn(KEYS, SALTS, FRESH)
FIRST_ROUTE = RouteDraw(Hop(0), swapped(1), SALTS, KEYS, FIRST, digest(802))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({SIGNERS[0]: 0, SIGNERS[1]: 1}, (0, 1)),
        ({SIGNERS[0]: 0, SIGNERS[2]: 2, SIGNERS[1]: 1}, (0, 1, 2)),
        ({SIGNERS[0]: 0, SIGNERS[1]: 3, SIGNERS[2]: 1, SIGNERS[3]: 2}, (0, 2, 3, 1)),
    ],
    ids=["one worker", "another order", "layers and seats differ"],
)
def test_each_layer_signs_its_hop_wherever_it_sits(layers: dict[Address, int], expected: tuple[int, ...]) -> None:
    assert route_signers(layers) == tuple(SIGNERS[index] for index in expected)


@pytest.mark.parametrize(
    ("first_hop", "first", "salts", "key"),
    [
        (0, None, SALTS, FRESH),
        (0, FIRST_ROUTE, SALTS, FIRST),
        (1, FIRST_ROUTE, SALTS[1:], FIRST),
        (3, FIRST_ROUTE, SALTS[3:], FIRST),
    ],
    ids=["first attempt", "again from the input", "from hop 1", "from the last hop"],
)
def test_route_has_salts_for_its_hops_and_the_querys_commitment_key(
    first_hop: int, first: RouteDraw | None, salts: tuple[Digest, ...], key: Digest
) -> None:
    drawn = draw_route(Hop(first_hop), SIGNERS, DRAWN, first)
    assert drawn == RouteDraw(Hop(first_hop), SIGNERS, KEYS, salts, key, NO_BLOB)


@pytest.mark.parametrize("first_hop", range(HOPS))
def test_link_is_left_for_each_hop_from_the_first_on(first_hop: int) -> None:
    links = route_links(draw_route(Hop(first_hop), SIGNERS, DRAWN, None))
    assert len(links) == HOPS - first_hop + 1
    assert links[-1] == ZERO
    for hop, (link, rest) in enumerate(pairwise(links), first_hop):
        assert link == route_link(SIGNERS[hop], SALTS[hop], rest)


def told(first_hop: int, session: Session = SESSION) -> list[tuple[SealingKey, RouteNote]]:
    return list(route_notes(draw_route(Hop(first_hop), SIGNERS, DRAWN, None), session, 5))


@pytest.mark.parametrize(("first_hop", "hops"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (3, [3])], ids=str)
def test_each_worker_of_the_attempt_has_a_note_of_its_own(first_hop: int, hops: list[int]) -> None:
    """The ouroboros needs none."""
    notes = told(first_hop)
    assert [note.hop for _, note in notes] == hops
    assert [key for key, _ in notes] == [KEYS[hop] for hop in hops]


@pytest.mark.parametrize(("first_hop", "hop"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)])
def test_note_opens_the_hops_link_and_names_its_neighbors_keys(first_hop: int, hop: int) -> None:
    links = route_links(draw_route(Hop(first_hop), SIGNERS, DRAWN, None))
    (note,) = (note for _, note in told(first_hop) if note.hop == hop)
    assert route_link(SIGNERS[hop], note.salt, note.next_route) == links[hop - first_hop]
    assert note.next_sealing_key == KEYS[(hop + 1) % HOPS]
    keys = tuple(hop_key(FRESH, Hop(at)) for at in (hop - 1, hop, hop + 1))
    assert (note.previous_key, note.own_key, note.next_key) == keys
    assert note.items == 5


OTHERS = replace(SESSION, updates={hop: replace(entry, signer=STRANGER) for hop, entry in ACCEPTED.items()})
PREDECESSORS: list[tuple[int, list[Address]]] = [
    (0, [SIGNERS[0], SIGNERS[1], SIGNERS[2]]),
    (1, [STRANGER, SIGNERS[1], SIGNERS[2]]),
    (2, [STRANGER, SIGNERS[2]]),
    (3, [STRANGER]),
]


@pytest.mark.parametrize(("first_hop", "expected"), PREDECESSORS, ids=[f"from hop {row[0]}" for row in PREDECESSORS])
def test_predecessor_of_the_first_hop_is_who_signed_what_it_goes_on_from(
    first_hop: int, expected: list[Address]
) -> None:
    assert [note.predecessor for _, note in told(first_hop, OTHERS)] == expected


def test_first_attempt_needs_no_accepted_update() -> None:
    assert [note.predecessor for _, note in told(0, replace(SESSION, updates={}))] == list(SIGNERS[:3])


@pytest.mark.parametrize("first_hop", range(HOPS))
def test_attempt_goes_on_from_the_update_before_its_first_hop(first_hop: int) -> None:
    expected = ACCEPTED[Hop(first_hop - 1)] if first_hop else None
    assert anchor_of(SESSION, draw_route(Hop(first_hop), SIGNERS, DRAWN, None)) == expected


# ---------------------------------------------------------------- who is due, and who failed

ROUTE = draw_route(Hop(1), SIGNERS, DRAWN, None)


@pytest.mark.parametrize("phase", list(QueryPhase), ids=lambda phase: phase.name)
def test_signer_is_due_in_two_phases_alone(phase: QueryPhase) -> None:
    session = replace(SESSION, phase=phase)
    asked = {QueryPhase.ROUTED: ReadRoute(), QueryPhase.COMPUTED: SIGNERS[0]}
    assert due_signer(session, SIGNERS[0]) == asked.get(phase)
    answered = {QueryPhase.ROUTED: SIGNERS[3], QueryPhase.COMPUTED: SIGNERS[0]}
    assert due_signer(session, SIGNERS[0], ROUTE) == answered.get(phase)


@pytest.mark.parametrize("hop", range(HOPS))
def test_signer_of_the_hop_that_is_due_is_the_routes(hop: int) -> None:
    session = replace(SESSION, phase=QueryPhase.ROUTED, next_hop=Hop(hop))
    assert due_signer(session, STRANGER, ROUTE) == SIGNERS[hop]


@pytest.mark.parametrize(
    ("told_of", "counted"),
    [
        ((), ()),
        (((1, 0, SILENT),), ((1, 0, SILENT),)),
        (((1, 3, GUILTY),), ((1, 3, GUILTY),)),
        (((1, 4, UNSETTLED),), ()),
        (((1, 4, GUILTY), (2, 1, SILENT), (2, 1, SILENT)), ((2, 1, SILENT), (2, 1, SILENT))),
    ],
    ids=["none", "hop 0", "last hop", "delivery", "several"],
)
def test_fault_of_the_delivery_counts_against_nobody(
    told_of: tuple[tuple[int, int, FaultKind], ...], counted: tuple[tuple[int, int, FaultKind], ...]
) -> None:
    assert counted_faults(replace(SESSION, faults=faults(*told_of))) == faults(*counted)


@pytest.mark.parametrize(
    ("first_hop", "hop", "signer", "expected"),
    [
        (2, 1, STRANGER, STRANGER),
        (2, 0, STRANGER, STRANGER),
        (2, 1, None, SIGNERS[1]),
        (2, 2, STRANGER, SIGNERS[2]),
        (2, 3, STRANGER, SIGNERS[3]),
        (2, 2, None, SIGNERS[2]),
        (0, 0, STRANGER, SIGNERS[0]),
    ],
    ids=["before", "long before", "before, unknown", "first", "after", "first, unknown", "from the input"],
)
def test_fault_counts_against_who_served_the_hop(
    first_hop: int, hop: int, signer: Address | None, expected: Address
) -> None:
    fault = Fault(Attempt(2), Hop(hop), GUILTY, signer)
    assert who_failed(fault, replace(ROUTE, first_hop=Hop(first_hop))) == expected
