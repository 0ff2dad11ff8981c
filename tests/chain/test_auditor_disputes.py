"""Blobs that the ring itself found unusable are recorded, and no failure of the audit; without a dispute they are."""

from __future__ import annotations

import pytest

from deepring_chain.protocol.envelope import seal_content
from deepring_chain.types import ZERO, ComplaintKind, QueryPhase
from tests.chain.ring_driver import named
from tests.chain.stored_ring import RECIPIENT, StoredQuery, StoredRing, audit_of, failure_of, notes_of

NOWHERE = named("nowhere")
GARBAGE = b"no envelope"


def at_hop_2(stored: StoredRing, *, sends_garbage: bool) -> StoredQuery:
    """Hop 1 has sent garbage, or a pointer to nothing."""
    query = stored.submit().open_route().advance(1)
    if sends_garbage:
        query.blobs["envelope 1/1/1"] = GARBAGE
        query.post()
    else:
        query.post(envelope=NOWHERE)
    return query


@pytest.mark.parametrize(("sends_garbage", "kind"), [(False, ComplaintKind.MISSING), (True, ComplaintKind.UNREADABLE)])
def test_unusable_envelope_that_its_recipient_disputed_is_a_remark(
    stored: StoredRing, sends_garbage: bool, kind: ComplaintKind
) -> None:
    query = at_hop_2(stored, sends_garbage=sends_garbage)
    query.complain(kind=kind)
    assert audit_of(stored).passed
    query.judge(sender_guilty=False)
    query.resume(1)
    query.advance(4).deliver()
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.ended == {QueryPhase.DELIVERED: 1}
    (remark,) = report.remarks
    assert remark.startswith("query 1, hop 1: UpdatePosted.signed.update.envelope is wrong")
    assert remark.endswith(f"its recipient disputed it ({kind.name})")
    assert report.disputed_blobs == 1


@pytest.mark.parametrize(("sends_garbage", "kind"), [(True, ComplaintKind.MISSING), (False, ComplaintKind.UNREADABLE)])
def test_unusable_envelope_that_was_disputed_for_something_else_is_named(
    stored: StoredRing, sends_garbage: bool, kind: ComplaintKind
) -> None:
    query = at_hop_2(stored, sends_garbage=sends_garbage)
    query.complain(kind=kind)
    query.judge(sender_guilty=False, receiver_guilty=True)
    assert failure_of(stored).subject == "query 1, hop 1"


def test_unusable_envelope_of_a_sender_who_was_found_guilty_is_a_remark(stored: StoredRing) -> None:
    query = at_hop_2(stored, sends_garbage=True)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge()
    report = audit_of(stored)
    assert report.failure is None
    assert report.remarks[0].endswith("who posted it was found guilty")


def test_missing_envelope_of_a_liar_whom_the_hop_before_contradicts_is_a_remark(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(2)
    query.contradict(envelope=NOWHERE)
    assert failure_of(stored).subject == "query 1, hop 2"
    query.judge(sender_guilty=False, receiver_guilty=True)
    assert audit_of(stored).passed


@pytest.mark.parametrize("end", ["nothing more", "the next hop", "a timeout", "a withdrawal", "the answer"])
def test_missing_envelope_that_nobody_disputed_is_named(stored: StoredRing, end: str) -> None:
    query = at_hop_2(stored, sends_garbage=False)
    match end:
        case "the next hop":
            query.post()
        case "a timeout":
            query.let_time_out()
        case "a withdrawal":
            query.wait_and_withdraw()
        case "the answer":
            query.advance(4).deliver()
    failure = failure_of(stored)
    assert (failure.subject, failure.found) == ("query 1, hop 1", "none")


def test_missing_envelope_that_is_sent_again_before_anybody_disputed_it_is_named(stored: StoredRing) -> None:
    query = at_hop_2(stored, sends_garbage=False)
    query.let_time_out()
    query.resume(1)
    query.post()
    query.complain(kind=ComplaintKind.MISSING)
    assert failure_of(stored).found == "none"


def test_envelope_that_a_later_attempt_finds_missing_is_a_remark(stored: StoredRing) -> None:
    """The store lost it after its first reader had it."""
    query = stored.submit().open_route().advance(3)
    query.let_time_out()
    query.resume(2)
    stored.file_of("envelope 1/1/1").unlink()
    query.complain(kind=ComplaintKind.MISSING)
    query.judge(sender_guilty=False)
    query.resume(1)
    query.advance(4).deliver()
    report = audit_of(stored)
    assert report.failure is None
    assert report.disputed_blobs == 1


def test_delivery_that_is_disputed_does_not_end_the_wait_for_a_complaint(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(4)
    stored.file_of("envelope 1/1/2").unlink()
    query.deliver(output=named("another answer"))
    query.judge()
    query.resume(3)
    query.complain(kind=ComplaintKind.MISSING)
    assert audit_of(stored).disputed_blobs == 1


def test_disputed_envelope_that_lies_in_the_store_is_good(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(kind=ComplaintKind.MISSING)
    query.judge(sender_guilty=False)
    report = audit_of(stored)
    assert report.passed
    assert report.remarks == ()


# ---------------------------------------------------------------------- evidence
def test_complaint_without_evidence_is_named_unless_its_author_is_found_guilty(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(evidence=NOWHERE)
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == ("query 1, hop 1", "EnvelopeDisputed.complaint.evidence")
    query.judge(sender_guilty=False, receiver_guilty=True)
    report = audit_of(stored)
    assert report.failure is None
    assert report.remarks[0].endswith("who posted it was found guilty")


def test_complaint_without_evidence_that_is_upheld_is_named(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(evidence=NOWHERE)
    query.judge()
    query.reopen()
    assert failure_of(stored).field == "EnvelopeDisputed.complaint.evidence"


def test_complaint_of_the_ouroboros_needs_no_evidence_and_a_workers_does(stored: StoredRing) -> None:
    query = stored.submit().compute()
    query.complain(evidence=ZERO)
    assert audit_of(stored).passed
    other = stored.submit().open_route().advance(1)
    other.complain(evidence=ZERO)
    assert failure_of(stored).subject == "query 2, hop 1"


@pytest.mark.parametrize(
    "blob", [None, GARBAGE, seal_content(RECIPIENT, b"an envelope", b"place")], ids=["none", "garbage", "an envelope"]
)
def test_verdict_without_usable_evidence_is_named(stored: StoredRing, blob: bytes | None) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain()
    if blob is None:
        query.judge(evidence=NOWHERE)
    else:
        query.blobs["verdict 1/1"] = blob
        query.judge()
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == ("query 1, hop 1", "VerdictPosted.verdict.evidence")


@pytest.mark.parametrize("damage", ["deleted", "garbage"])
def test_restore_without_usable_parameters_is_named(stored: StoredRing, damage: str) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2, GARBAGE if damage == "garbage" else None)
    if damage == "deleted":
        stored.file_of("parameters 2/2").unlink()
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == ("arrangement 2, seat 2", "RestoreOrdered.parameters")


@pytest.mark.parametrize(("first_hop", "receivers"), [(1, 2), (2, 3), (3, 2)])
def test_route_notes_are_one_for_each_hop_that_is_left(stored: StoredRing, first_hop: int, receivers: int) -> None:
    query = stored.submit().open_route().advance(first_hop)
    query.let_time_out()
    query.blobs["route notes 1/2"] = notes_of("x", receivers)
    query.resume(first_hop)
    failure = failure_of(stored)
    assert f"{receivers} of them for {4 - first_hop} workers" in failure.found
