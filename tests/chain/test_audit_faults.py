"""Faults of blobs are collected and reading goes on; faults of the trail's own logic end the audit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account.signers.local import LocalAccount

from deepring_chain.audit import faults
from deepring_chain.audit.auditor import AuditOptions, AuditReport, audit
from deepring_chain.audit.chain import LinkedBlock, LinkedBlocks
from deepring_chain.audit.evidence import Admission
from deepring_chain.audit.progress import ProgressFile
from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.cli.audit_output import conclude
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import AnswerDelivered, LoggedEvent
from deepring_chain.protocol.evidence import seal_shared
from deepring_chain.protocol.restore import verdict_context
from deepring_chain.types import Address, Attempt, ComplaintKind, Hop, QueryPhase
from tests.chain.indirect import calling_code, delegate, deploy_forwarder, deploying, redirect, send_raw
from tests.chain.names import address_of, named
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, events_of, open_client

NOWHERE = named("nowhere")
DAMAGED = ("route notes 1/1", "answer 1/1", "envelope 1/1/2", "input 2", "route notes 2/1")
SUBJECTS = ["query 1", "query 1, delivery", "query 1, hop 2", "query 2", "query 2"]
"""What the audit names, as it finds it: an envelope when nobody can dispute it any more."""


@pytest.fixture
def damaged(stored: StoredRing) -> StoredRing:
    """A ring that answered three queries, and has lost blobs of two of them."""
    for _ in range(3):
        answer_one(stored)
    for name in DAMAGED:
        stored.file_of(name).unlink()
    return stored


def subjects(report: AuditReport) -> list[str]:
    return [fault.subject for fault in report.faults]


# ---------------------------------------------------------------------- collecting
def test_every_fault_is_named_and_the_rest_is_audited(damaged: StoredRing) -> None:
    report = audit_of(damaged)
    assert not report.passed
    assert report.stopped is None
    assert subjects(report) == SUBJECTS
    assert all(damaged.pointers[name].hex() in str(fault) for name, fault in zip(DAMAGED, report.faults, strict=True))
    assert report.last_block == open_client(damaged).head()
    assert report.trail.ended == {QueryPhase.DELIVERED: 3}
    assert report.stored_values > 0


def test_faults_beyond_the_first_ones_are_counted(damaged: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each field: a thousand envelopes of one worker hide no other kind of fault."""
    monkeypatch.setattr(faults, "MAX_FAULTS", 1)
    report = audit_of(damaged)
    assert subjects(report) == SUBJECTS[:-1]
    assert report.more_faults == {"RouteOpened.notes": 1}


@pytest.mark.parametrize("as_json", [False, True])
def test_output_lists_all_and_the_error_counts_them(
    damaged: StoredRing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    monkeypatch.setattr(faults, "MAX_FAULTS", 1)
    with pytest.raises(ProtocolError, match=r"^5 faults, the first: query 1: RouteOpened.notes"):
        conclude(audit_of(damaged), as_json=as_json)
    shown = capsys.readouterr().out
    if as_json:
        report = json.loads(shown)
        assert [fault["subject"] for fault in report["faults"]] == SUBJECTS[:-1]
        assert set(report["faults"][0]) == {"subject", "field", "expected", "found", "place"}
        assert (report["more_faults"], report["stopped"], report["passed"]) == ({"RouteOpened.notes": 1}, None, False)
        return
    told = [line for line in shown.splitlines() if line.startswith("fault: ")]
    assert [line.split(": ")[1] for line in told] == [*SUBJECTS[:-1], "1 more of RouteOpened.notes"]


def test_resumed_audit_names_them_as_well(damaged: StoredRing, tmp_path: Path) -> None:
    def resumed() -> AuditReport:
        options = AuditOptions(progress=ProgressFile(tmp_path / "progress"))
        return audit(open_client(damaged), damaged.store, damaged.ring.ledger.first_block, options)

    first = resumed()
    answer_one(damaged)
    damaged.file_of("answer 4/1").unlink()
    second = resumed()
    assert second.resumed_after == first.last_block
    assert subjects(second) == [*SUBJECTS, "query 4, delivery"]
    assert second.trail.ended == {QueryPhase.DELIVERED: 4}


def test_wrong_trail_ends_the_audit_and_hides_no_fault(damaged: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    lie_about_the_last(damaged, monkeypatch)
    report = audit_of(damaged)
    assert subjects(report) == SUBJECTS
    assert report.stopped is not None
    assert report.stopped.subject == "query 3, delivery"
    with pytest.raises(ProtocolError, match=r"^6 faults, the first: query 1: RouteOpened.notes"):
        conclude(report)


def lie_about_the_last(stored: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last event, a delivery, is of another attempt than the ledger had."""
    *events, last = events_of(stored)
    assert isinstance(last.event, AnswerDelivered)
    events.append(replace(last, event=replace(last.event, attempt=Attempt(2))))

    def in_block(_blocks: LinkedBlocks, block: LinkedBlock) -> list[LoggedEvent]:
        return [logged for logged in events if logged.block_number == block.header.number]

    monkeypatch.setattr(LinkedBlocks, "events", in_block)


def test_verdict_that_does_not_hold_is_collected_too(stored: StoredRing) -> None:
    """Nothing that comes later hangs on it."""
    key = X25519PrivateKey.from_private_bytes(named("auditor"))
    query = stored.submit().open_route().advance(1)
    query.complain()
    place = verdict_context(query.domain, query.query, Attempt(1), Hop(1))
    query.blobs["verdict 1/1"] = seal_shared([public_bytes(key)], b"no evidence", place)
    query.judge()
    query.reopen()
    query.advance(4).deliver()
    answer_one(stored)
    options = AuditOptions(admission=Admission(key))
    report = audit(open_client(stored), stored.store, stored.ring.ledger.first_block, options)
    assert report.stopped is None
    assert [(fault.subject, fault.field) for fault in report.faults] == [
        ("query 1, hop 1", "VerdictPosted.verdict.evidence")
    ]
    assert report.trail.ended == {QueryPhase.DELIVERED: 2}


# ---------------------------------------------------------------------- whose it is
@pytest.mark.parametrize("kind", [ComplaintKind.MISSING, ComplaintKind.UNABLE])
def test_evidence_that_no_verdict_reads_is_a_remark(stored: StoredRing, kind: ComplaintKind) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(kind=kind, evidence=NOWHERE)
    query.judge(sender_guilty=False)
    report = audit_of(stored)
    assert report.passed
    (remark,) = report.remarks
    assert remark.startswith("query 1, hop 1: EnvelopeDisputed.complaint.evidence is wrong")
    assert remark.endswith(f"nobody has to read it ({kind.name})")


def test_evidence_for_a_query_that_was_withdrawn_in_dispute_is_a_remark(stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(evidence=NOWHERE)
    query.wait_and_withdraw()
    report = audit_of(stored)
    assert report.passed
    assert report.remarks[0].endswith("the query was withdrawn")


@pytest.mark.parametrize("receiver", [False, True])
def test_envelope_that_was_disputed_for_something_else_is_no_fault_unless_that_was_a_lie(
    stored: StoredRing, receiver: bool
) -> None:
    query = stored.submit().open_route().advance(1)
    query.post(envelope=NOWHERE)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge(sender_guilty=False, receiver_guilty=receiver)
    query.reopen()
    query.advance(4).deliver()
    assert audit_of(stored).passed is not receiver


# ---------------------------------------------------------------------- calls through other code
@pytest.fixture
def through(stored: StoredRing, mallory: LocalAccount) -> Callable[[LocalAccount], None]:
    """Delegates an account; what it sends goes through the code that it runs."""

    def redirected(account: LocalAccount) -> None:
        delegate(stored.ring.ledger.web3, account, mallory, deploy_forwarder(stored.ring.ledger.web3))
        redirect(stored.ring.ledger.by(account), address_of(account))

    return redirected


def test_owner_whose_account_runs_code_is_audited_with_its_restores(
    stored: StoredRing, through: Callable[[LocalAccount], None]
) -> None:
    through(stored.ring.owner)
    try:
        stored.arrange(tampered=(2,))
        stored.order_restore(2)
        stored.ring.attest(2)
        answer_one(stored)
        report = audit_of(stored)
    finally:
        redirect(stored.ring.owner_client, None)
    assert report.failure is None
    assert report.counts.indirect_calls == 3  # a seating, an order, a route
    assert report.trail.events["RestoreOrdered"] == 1


def test_owner_whose_order_is_not_in_sight_is_named(stored: StoredRing, mallory: LocalAccount) -> None:
    """Only the owner can order so: its evidence is nowhere on the record."""
    stored.arrange(tampered=(2,))
    ledger, owner, web3 = stored.ring.ledger, stored.ring.owner, stored.ring.ledger.web3
    order = ledger.encode(LedgerCall("orderRestore", (2, stored.ring.expected_leaves()[2:], named("last"), NOWHERE)))
    code = send_raw(web3, mallory, None, deploying(calling_code(ledger.address, order)))["contractAddress"]
    delegate(web3, owner, mallory, Address(str(code)))
    assert send_raw(web3, owner, address_of(owner), b"")["status"] == 1
    report = audit_of(stored)
    assert report.stopped is not None
    assert (report.stopped.subject, report.stopped.field) == ("arrangement 2, seat 2", "RestoreOrdered.input")
