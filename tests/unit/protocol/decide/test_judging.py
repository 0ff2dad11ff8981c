"""Who is guilty of a disputed edge, what is looked at for that, and what is waited for: one row a case, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.protocol.decide.judging import (
    GRACE_SECONDS,
    Case,
    Finding,
    Judge,
    Opened,
    OpenEnvelope,
    Post,
    Recall,
    Recalled,
    Reveal,
    Revealed,
    TakeOwnKey,
    Truth,
    Wait,
    next_action,
)
from deepring_chain.protocol.decide.routing import LookFor, Recompute
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed, UpdatePosted
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Attempt,
    Complaint,
    ComplaintKind,
    Digest,
    Hop,
    Pointer,
    QueryId,
    QueryPhase,
    TensorBytes,
    TrailHash,
    Verdict,
)
from tests.unit.protocol.protocol_tools import address, digest, posted

HOPS = 4
"""The ouroboros is hop 0, layers 1 to 3 follow; 4 is the delivery."""

COMMITMENTS = tuple(digest(500 + hop) for hop in range(HOPS + 1))
OUTPUTS = tuple(TensorBytes("int8", (1, hop + 1), bytes(hop + 1)) for hop in range(HOPS + 1))
TRUTH = Truth(OUTPUTS, COMMITMENTS)
FALSE = digest(1)
EVIDENCE = digest(2)
MISSING, UNREADABLE = ComplaintKind.MISSING, ComplaintKind.UNREADABLE
ALTERED, UNABLE = ComplaintKind.ALTERED, ComplaintKind.UNABLE


def envelope(hop: int) -> Pointer:
    return Pointer(digest(900 + hop))


def honest(hop: int, **changes: Any) -> UpdatePosted:
    words: dict[str, Any] = {"output": COMMITMENTS[hop], "next_output": COMMITMENTS[hop + 1], "envelope": envelope(hop)}
    return posted(hop, **{**words, **changes})


def disputed(receiver: int, **sender: Any) -> Session:
    """A query whose edge before `receiver` is in dispute; the sender's update is honest but for these changes."""
    entries = [honest(hop) for hop in range(receiver - 1)] + [honest(receiver - 1, **sender)]
    return Session(
        QueryId(1),
        address(9),
        digest(10),
        digest(11),
        digest(12),
        phase=QueryPhase.DISPUTED,
        attempt=Attempt(2),
        next_hop=Hop(receiver),
        hops=HOPS,
        updates={entry.signed.update.hop: entry for entry in entries},
        history=tuple(entries),
    )


NO_TRAIL = TrailHash(ZERO)


def complained(kind: ComplaintKind, receiver: int = 2, *, before: Digest | None = None, **sender: Any) -> Session:
    """The receiver complains of the sender; the hop before the sender committed to `before`, or else to the truth."""
    session = disputed(receiver, **sender)
    if before is not None:
        false = honest(receiver - 2, output=before)
        session = replace(session, updates={**session.updates, Hop(receiver - 2): false})
    evidence = NO_BLOB if receiver == HOPS else EVIDENCE
    told = Complaint(QueryId(1), Attempt(2), Hop(receiver), kind, evidence, NO_TRAIL)
    return replace(session, dispute=EnvelopeDisputed(told, address(77), ZERO, NO_ROUTE, b"", NO_TRAIL))


def contradicted(
    receiver: int, output: Digest | None = None, *, before: Digest | None = None, **sender: Any
) -> Session:
    """Eq. 13 fails between the sender and `receiver`, which committed to `output`, or else to the truth."""
    session = disputed(receiver, **sender)
    if before is not None:
        false = honest(receiver - 1, **{**sender, "output": before})
        session = replace(session, updates={**session.updates, Hop(receiver - 1): false})
    edge = OutputDisputed(QueryId(1), Attempt(2), Hop(receiver), NO_OUTPUT, NO_OUTPUT)
    entry = () if receiver == HOPS else (honest(receiver, output=output or COMMITMENTS[receiver]),)
    return replace(session, dispute=edge, history=(*session.history, *entry, edge))


def case(session: Session, looked: Mapping[Pointer, bool] | None = None, **fields: Any) -> Case:
    """One that was waited for, is in no journal, and of which the truth is known."""
    known: dict[str, Any] = {"waited": GRACE_SECONDS, "recalled": Recalled(None), "truth": TRUTH}
    return Case(session, looked=looked or {}, **{**known, **fields})


# ---------------------------------------------------------------- before anything is computed

SIGNED = (Verdict(QueryId(1), Attempt(2), Hop(2), True, False, digest(3), digest(12)), bytes(65))
FIRST, LAST = case(complained(MISSING)), case(complained(MISSING, HOPS))
CONTENT, OWN = case(complained(UNREADABLE)), case(complained(UNREADABLE, HOPS))
NOTHING: dict[str, Any] = {"recalled": None, "truth": None}
SOON: dict[str, Any] = {**NOTHING, "waited": 0.0}
SENT, KEPT = envelope(1), EVIDENCE
OUTPUT_DISPUTE = case(contradicted(2))

STEPS: list[tuple[str, Case, dict[str, Any], Any]] = [
    ("missing, at once", FIRST, SOON, LookFor(SENT)),
    ("missing, still gone", FIRST, {**SOON, "looked": {SENT: False}}, Wait()),
    ("missing, put back", FIRST, {**SOON, "looked": {SENT: True}}, Recall()),
    ("missing, put back in time", FIRST, {**SOON, "looked": {SENT: True}, "waited": GRACE_SECONDS - 0.01}, Recall()),
    ("just before the end", FIRST, {**SOON, "looked": {SENT: False}, "waited": GRACE_SECONDS - 0.01}, Wait()),
    ("just before the end, not looked", FIRST, {**SOON, "waited": GRACE_SECONDS - 0.01}, LookFor(SENT)),
    ("at the end", FIRST, {**NOTHING, "looked": {SENT: False}, "waited": GRACE_SECONDS}, Recall()),
    ("after the end, not looked", FIRST, {**NOTHING, "waited": GRACE_SECONDS + 1}, Recall()),
    ("unable, gone", case(complained(UNABLE)), {**SOON, "looked": {SENT: False}}, Wait()),
    ("unable, here", case(complained(UNABLE)), {**SOON, "looked": {SENT: True}}, Recall()),
    ("unreadable, at once", CONTENT, SOON, LookFor(SENT)),
    ("unreadable, envelope gone", CONTENT, {**SOON, "looked": {SENT: False}}, Wait()),
    ("unreadable, envelope here", CONTENT, {**SOON, "looked": {SENT: True}}, LookFor(KEPT)),
    ("unreadable, evidence gone", CONTENT, {**SOON, "looked": {SENT: True, KEPT: False}}, Wait()),
    ("unreadable, both here", CONTENT, {**SOON, "looked": {SENT: True, KEPT: True}}, Recall()),
    ("unreadable, after the end", CONTENT, {**NOTHING, "looked": {SENT: False, KEPT: False}}, Recall()),
    ("altered, envelope here", case(complained(ALTERED)), {**SOON, "looked": {SENT: True}}, LookFor(KEPT)),
    ("altered, evidence gone", case(complained(ALTERED)), {**SOON, "looked": {SENT: True, KEPT: False}}, Wait()),
    ("delivery missing, at once", LAST, SOON, LookFor(envelope(3))),
    ("delivery unreadable, at once", OWN, SOON, LookFor(envelope(3))),
    ("delivery unreadable, envelope here: no evidence", OWN, {**SOON, "looked": {envelope(3): True}}, Recall()),
    ("equation 13, at once", OUTPUT_DISPUTE, SOON, Recall()),
    ("equation 13, later", OUTPUT_DISPUTE, NOTHING, Recall()),
    ("not in the journal", FIRST, {"truth": None}, Recompute()),
    ("not in the journal, equation 13", OUTPUT_DISPUTE, {"truth": None}, Recompute()),
    ("in the journal", FIRST, {"truth": None, "recalled": Recalled(SIGNED)}, Post(*SIGNED)),
    ("in the journal, truth known", CONTENT, {"recalled": Recalled(SIGNED)}, Post(*SIGNED)),
    ("in the journal, still gone", FIRST, {"recalled": Recalled(SIGNED), "looked": {SENT: False}, "waited": 0}, Wait()),
]


@pytest.mark.parametrize(("known", "fields", "expected"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_what_is_lost_is_awaited_and_nothing_judged_twice(known: Case, fields: dict[str, Any], expected: Any) -> None:
    assert next_action(replace(known, **fields)) == expected


# ---------------------------------------------------------------- what is looked at

SECRET, PUBLIC = bytes([5]) * 32, digest(5)
KEY = Revealed(SECRET, PUBLIC, PUBLIC, b"k" * 32)
OTHER_KEY = replace(KEY, public=digest(6))
NO_KEY = Revealed(b"", None, PUBLIC)
OWN_KEY = Revealed(SECRET, PUBLIC, PUBLIC)


def complaint_of(session: Session) -> Complaint:
    assert isinstance(session.dispute, EnvelopeDisputed)
    return session.dispute.complaint


ALTERED_ONE = complained(ALTERED, 3, attempt=Attempt(1))
QUESTIONS: list[tuple[str, Case, Any]] = [
    ("missing", FIRST, LookFor(SENT)),
    ("missing at the delivery", LAST, LookFor(envelope(3))),
    ("unreadable", CONTENT, Reveal(complaint_of(CONTENT.session), Attempt(1))),
    ("altered", case(ALTERED_ONE), Reveal(complaint_of(ALTERED_ONE), Attempt(1))),
    (
        "sent in the attempt that runs",
        case(complained(ALTERED, attempt=Attempt(2))),
        Reveal(complaint_of(complained(ALTERED)), Attempt(2)),
    ),
    ("unreadable at the delivery", OWN, TakeOwnKey(Attempt(1))),
    ("altered at the delivery", case(complained(ALTERED, HOPS, attempt=Attempt(2))), TakeOwnKey(Attempt(2))),
    ("right key", replace(CONTENT, revealed=KEY), OpenEnvelope(honest(1), OUTPUTS[1], SECRET)),
    (
        "right key at hop 3",
        case(complained(ALTERED, 3), revealed=KEY),
        OpenEnvelope(honest(2), OUTPUTS[2], SECRET),
    ),
    ("own key", replace(OWN, revealed=OWN_KEY), OpenEnvelope(honest(3), OUTPUTS[3], SECRET)),
]


@pytest.mark.parametrize(("known", "expected"), [row[1:] for row in QUESTIONS], ids=[row[0] for row in QUESTIONS])
def test_complaint_is_looked_into(known: Case, expected: Any) -> None:
    assert next_action(known) == expected


# ---------------------------------------------------------------- findings

HERE, GONE = {SENT: True}, {SENT: False}
GOOD = "the recipient complained of a good envelope"
OUTPUT_1 = "hop 1 committed to another output than its layer's"
EXPECTS_2 = "hop 1 expects another output of hop 2 than its layer's"
DAMAGED = "hop 2 cannot go on: its parameters are damaged"
IN_STORE, NOT_PUT = "the envelope is in the store", "hop 1 did not put its envelope into the store"
READ: dict[str, Any] = {"revealed": KEY, "opened": Opened()}
OWN_READ: dict[str, Any] = {"revealed": OWN_KEY, "opened": Opened()}
LOST: dict[str, Any] = {"revealed": KEY, "opened": Opened(MISSING, "blob gone")}
BAD: dict[str, Any] = {"revealed": KEY, "opened": Opened(UNREADABLE, "does not open")}
CHANGED: dict[str, Any] = {"revealed": KEY, "opened": Opened(ALTERED, "another output")}

COMPLAINTS: list[tuple[str, Case, tuple[bool, bool, str]]] = [
    ("unable", case(complained(UNABLE)), (False, False, DAMAGED)),
    ("unable, false output", case(complained(UNABLE, output=FALSE)), (True, False, OUTPUT_1)),
    ("unable, false expectation", case(complained(UNABLE, next_output=FALSE)), (True, False, EXPECTS_2)),
    ("unable, both false", case(complained(UNABLE, output=FALSE, next_output=FALSE)), (True, False, OUTPUT_1)),
    ("unable, false before", case(complained(UNABLE, before=FALSE, output=FALSE)), (False, False, DAMAGED)),
    ("unable, true before", case(complained(UNABLE, before=COMMITMENTS[0], output=FALSE)), (True, False, OUTPUT_1)),
    (
        "unable at hop 1",
        case(complained(UNABLE, 1)),
        (False, False, "hop 1 cannot go on: its parameters are damaged"),
    ),
    (
        "unable at hop 1, false expectation",
        case(complained(UNABLE, 1, next_output=FALSE)),
        (True, False, "hop 0 expects another output of hop 1 than its layer's"),
    ),
    ("missing, here", case(complained(MISSING), HERE), (False, False, IN_STORE)),
    ("missing, gone", case(complained(MISSING), GONE), (True, False, NOT_PUT)),
    ("missing, here, false output", case(complained(MISSING, output=FALSE), HERE), (True, False, OUTPUT_1)),
    ("missing, here, false expectation", case(complained(MISSING, next_output=FALSE), HERE), (True, False, EXPECTS_2)),
    ("missing, gone, false output", case(complained(MISSING, output=FALSE), GONE), (True, False, NOT_PUT)),
    (
        "missing, here, false before",
        case(complained(MISSING, before=FALSE, output=FALSE), HERE),
        (False, False, IN_STORE),
    ),
    (
        "missing, gone, false before",
        case(complained(MISSING, before=FALSE, output=FALSE), GONE),
        (True, False, NOT_PUT),
    ),
    ("unreadable, good", case(complained(UNREADABLE), **READ), (False, True, GOOD)),
    ("altered, good", case(complained(ALTERED), **READ), (False, True, GOOD)),
    ("unreadable, good, false output", case(complained(UNREADABLE, output=FALSE), **READ), (True, True, GOOD)),
    ("unreadable, false expectation", case(complained(UNREADABLE, next_output=FALSE), **READ), (True, True, GOOD)),
    (
        "unreadable, good, false before",
        case(complained(UNREADABLE, before=FALSE, output=FALSE), **READ),
        (False, True, GOOD),
    ),
    ("unreadable, lost", case(complained(UNREADABLE), **LOST), (True, False, "hop 1: blob gone")),
    (
        "unreadable indeed",
        case(complained(UNREADABLE), **BAD),
        (True, False, "hop 1 sent an unusable envelope: does not open"),
    ),
    (
        "altered indeed",
        case(complained(ALTERED), **CHANGED),
        (True, False, "hop 1 sent an unusable envelope: another output"),
    ),
    (
        "unreadable indeed, false before",
        case(complained(UNREADABLE, before=FALSE, output=FALSE), **BAD),
        (True, False, "hop 1 sent an unusable envelope: does not open"),
    ),
    ("another's key", case(complained(UNREADABLE), revealed=OTHER_KEY), (False, True, GOOD)),
    ("another's key, altered", case(complained(ALTERED), revealed=OTHER_KEY), (False, True, GOOD)),
    ("another's key, false output", case(complained(ALTERED, output=FALSE), revealed=OTHER_KEY), (True, True, GOOD)),
    ("no key", case(complained(UNREADABLE), revealed=NO_KEY), (False, True, GOOD)),
    ("delivery missing, here", replace(LAST, looked={envelope(3): True}), (False, False, IN_STORE)),
    (
        "delivery missing, gone",
        replace(LAST, looked={envelope(3): False}),
        (True, False, "hop 3 did not put its envelope into the store"),
    ),
    ("delivery, good", replace(OWN, **OWN_READ), (False, False, "the envelope is good")),
    (
        "delivery, false output",
        case(complained(ALTERED, HOPS, output=FALSE), **OWN_READ),
        (True, False, "hop 3 committed to another output than its layer's"),
    ),
    (
        "delivery, false expectation",
        case(complained(ALTERED, HOPS, next_output=FALSE), **OWN_READ),
        (True, False, "hop 3 expects another output of hop 4 than its layer's"),
    ),
    (
        "delivery, unreadable indeed",
        replace(OWN, revealed=OWN_KEY, opened=Opened(UNREADABLE, "does not open")),
        (True, False, "hop 3 sent an unusable envelope: does not open"),
    ),
    (
        "delivery, lost",
        replace(OWN, revealed=OWN_KEY, opened=Opened(MISSING, "blob gone")),
        (True, False, "hop 3: blob gone"),
    ),
]


@pytest.mark.parametrize(("known", "expected"), [row[1:] for row in COMPLAINTS], ids=[row[0] for row in COMPLAINTS])
def test_complaint_is_settled_by_the_truth_and_the_envelope(known: Case, expected: tuple[bool, bool, str]) -> None:
    verdict = next_action(known)
    assert isinstance(verdict, Judge)
    assert verdict.finding == Finding(*expected)


OUTPUT_2 = "hop 2 committed to another output than its layer's"
CONTRADICTIONS: list[tuple[str, Session, tuple[bool, bool, str]]] = [
    ("both right", contradicted(2), (False, False, "both sides are right")),
    ("sender's output", contradicted(2, output=None, before=FALSE), (True, False, OUTPUT_1)),
    ("sender's expectation", contradicted(2, next_output=FALSE), (True, False, EXPECTS_2)),
    ("receiver's output", contradicted(2, FALSE), (False, True, OUTPUT_2)),
    ("both false", contradicted(2, FALSE, next_output=FALSE), (True, True, f"{EXPECTS_2}; {OUTPUT_2}")),
    ("receiver was sent something else", contradicted(2, FALSE, before=FALSE), (True, False, OUTPUT_1)),
    (
        "at hop 1",
        contradicted(1, FALSE, next_output=FALSE),
        (True, True, f"hop 0 expects another output of hop 1 than its layer's; {OUTPUT_1}"),
    ),
    ("at hop 1, receiver", contradicted(1, FALSE), (False, True, OUTPUT_1)),
    (
        "at the last hop, receiver",
        contradicted(3, FALSE),
        (False, True, "hop 3 committed to another output than its layer's"),
    ),
    ("at the delivery", contradicted(HOPS), (False, False, "both sides are right")),
    (
        "at the delivery, sender",
        contradicted(HOPS, next_output=FALSE),
        (True, False, "hop 3 expects another output of hop 4 than its layer's"),
    ),
    (
        "at the delivery, an earlier entry is false",
        replace(contradicted(HOPS), history=(honest(3, output=FALSE),)),
        (False, False, "both sides are right"),
    ),
]


@pytest.mark.parametrize(
    ("session", "expected"), [row[1:] for row in CONTRADICTIONS], ids=[row[0] for row in CONTRADICTIONS]
)
def test_violation_is_settled_by_the_truth(session: Session, expected: tuple[bool, bool, str]) -> None:
    verdict = next_action(case(session))
    assert isinstance(verdict, Judge)
    assert verdict.finding == Finding(*expected)


# ---------------------------------------------------------------- the evidence


@pytest.mark.parametrize(("receiver", "first", "end"), [(1, 0, 2), (2, 0, 3), (3, 1, 4), (4, 2, 5)])
def test_evidence_shows_the_outputs_around_the_edge(receiver: int, first: int, end: int) -> None:
    verdict = next_action(case(contradicted(receiver)))
    assert isinstance(verdict, Judge)
    assert (verdict.first_hop, verdict.outputs) == (first, OUTPUTS[first:end])


SHOWN: list[tuple[str, Case, tuple[bytes, bytes]]] = [
    ("equation 13", OUTPUT_DISPUTE, (b"", b"")),
    ("unable", case(complained(UNABLE)), (b"", b"")),
    ("missing", case(complained(MISSING), HERE), (b"", b"")),
    ("right key", case(complained(UNREADABLE), **READ), (SECRET, b"k" * 32)),
    ("right key, unreadable indeed", case(complained(ALTERED), **BAD), (SECRET, b"k" * 32)),
    ("another's key", case(complained(ALTERED), revealed=OTHER_KEY), (b"", b"k" * 32)),
    ("no key", case(complained(ALTERED), revealed=NO_KEY), (b"", b"")),
    ("own key", replace(OWN, **OWN_READ), (SECRET, b"")),
]


@pytest.mark.parametrize(("known", "keys"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_evidence_shows_the_keys_where_they_decide(known: Case, keys: tuple[bytes, bytes]) -> None:
    verdict = next_action(known)
    assert isinstance(verdict, Judge)
    assert (verdict.recipient_key, verdict.complaint_key) == keys


@pytest.mark.parametrize("known", [KEY, case(complained(ALTERED), revealed=KEY)], ids=["answer", "view"])
def test_secret_keys_are_not_printed(known: Any) -> None:
    assert repr(SECRET) not in repr(known)
