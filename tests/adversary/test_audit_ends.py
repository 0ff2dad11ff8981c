"""Ending the audit: faults that one member plants, so that nobody reads what comes later.

Who: one worker, or any querent.
Wants: that from now on every audit stops at its call, or that the ring seems at fault. It points to nothing as a
complaint's evidence, reports through a delegated account (EIP-7702) or in a layout that no program uses, and hides a
question in calls within calls, beside another one.
Stopped by: DR-67 (the audit collects faults of blobs and reads on; nobody has to read such evidence), DR-63 (what a
call passed is compared where it is in sight, and counted where it is not).
Outcome: refused: the audit passes, and says so in a remark or a count. A complaint that needed its evidence convicts
its author.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from eth_utils import function_signature_to_4byte_selector

from assurance.adversary.liars import complaining
from assurance.adversary.outcomes import blamed, refused
from assurance.adversary.stepped_ring import SteppedRing, WorkerKind
from deepring_chain.audit.auditor import AuditReport
from deepring_chain.audit.inputs import DEEPEST
from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import RestoreOrdered, RestoreReported
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import Complaint, ComplaintKind, Digest, Pointer, QueryPhase
from tests.adversary.test_stale_attestation import attest_with
from tests.chain.indirect import delegate, deploy_forwarder, redirect, send_raw
from tests.chain.ring_driver import account_named, fund, named

LIAR = "worker-2"
LATER = 3
REPORT = "reportRestore(uint16,string)"


def without_evidence(kind: ComplaintKind) -> WorkerKind:
    """Complains once of a good envelope, and points to nothing."""
    base: Any = complaining(kind)

    class Liar(base):  # type: ignore[misc]
        def _make_complaint(self, session: Session, note: RouteNote, kind: ComplaintKind, _key: object) -> Complaint:
            pointer = Digest(os.urandom(32))
            return Complaint(session.query, session.attempt, note.hop, kind, Pointer(pointer), session.trail)

    return Liar


def complain_without_evidence(own_ring: SteppedRing, kind: ComplaintKind) -> Session:
    """One query in which worker 2 does so; it is answered, and others after it."""
    query = own_ring.ask_up_to(2)
    with own_ring.bribed(LIAR, without_evidence(kind)):
        own_ring.settle("ouroboros")
    own_ring.settle_patiently()
    own_ring.wait(2)  # the referee gives the evidence's author time to put it back
    own_ring.expect_answered(query)
    for _ in range(LATER):
        own_ring.expect_answered(own_ring.ask())
    return own_ring.session(query)


def expect_read_to_the_end(ring: SteppedRing, delivered: int) -> AuditReport:
    """The audit passes, up to the newest block, with all answers."""
    report = ring.audit()
    assert report.failure is None
    assert report.last_block == ring.client().head()
    assert report.trail.ended[QueryPhase.DELIVERED] == delivered
    return report


@refused
@pytest.mark.parametrize("kind", [ComplaintKind.UNABLE, ComplaintKind.MISSING])
def test_evidence_that_nobody_reads_is_a_remark(own_ring: SteppedRing, kind: ComplaintKind) -> None:
    session = complain_without_evidence(own_ring, kind)
    report = expect_read_to_the_end(own_ring, 1 + LATER)
    (remark,) = report.remarks
    assert remark.startswith(f"query {session.query}, hop 2: EnvelopeDisputed.complaint.evidence is wrong")
    assert remark.endswith(f"nobody has to read it ({kind.name})")


@blamed
def test_evidence_that_convicts_its_author_is_a_remark(own_ring: SteppedRing) -> None:
    session = complain_without_evidence(own_ring, ComplaintKind.UNREADABLE)
    assert own_ring.guilt(session.query) == [(2, FaultKind.GUILTY)]
    report = expect_read_to_the_end(own_ring, 1 + LATER)
    (remark,) = report.remarks
    assert remark.endswith("who posted it was found guilty")


# ---------------------------------------------------------------------- calls
def restore_once(ring: SteppedRing) -> None:
    """The worker attests a wrong leaf in a new arrangement, and is restored."""
    attest_with(ring, lambda _true, _challenge: Digest(os.urandom(32)))
    ring.arrange()
    ring.settle_patiently()
    kinds = [type(logged.event) for logged in ring.events()]
    assert kinds.count(RestoreOrdered) == kinds.count(RestoreReported) == 1
    ring.expect_answered(ring.ask())


@refused
def test_report_through_a_delegated_account_is_counted(own_ring: SteppedRing) -> None:
    worker, web3, stranger = own_ring.member(LIAR), own_ring.client().web3, account_named("stranger")
    fund(web3, [stranger])
    delegate(web3, worker.keys.account, stranger, deploy_forwarder(web3))
    redirect(worker.client, worker.keys.address)
    restore_once(own_ring)
    report = expect_read_to_the_end(own_ring, 1)
    assert report.counts.indirect_calls == 1
    assert any("other accounts made" in item.what for item in report.not_checked)


@refused
def test_report_whose_words_stand_in_its_head_is_counted(
    own_ring: SteppedRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger takes an offset of 0: the position is the words' length as well."""
    worker, ring = own_ring.member(LIAR), own_ring

    def report(_client: LedgerClient, position: int, _changed: str) -> object:
        data = function_signature_to_4byte_selector(REPORT) + position.to_bytes(32, "big") + bytes(32)
        return send_raw(ring.client().web3, worker.keys.account, ring.deployment.ledger, data)

    monkeypatch.setattr(LedgerClient, "report_restore", report)
    restore_once(ring)
    (reported,) = [logged.event for logged in ring.events() if isinstance(logged.event, RestoreReported)]
    assert reported.changed == "\0" * reported.position
    assert expect_read_to_the_end(ring, 1).counts.indirect_calls == 1


@refused
def test_question_that_is_hidden_beside_another_is_counted(own_ring: SteppedRing) -> None:
    querent = account_named("somebody")
    fund(own_ring.client().web3, [querent])
    client = LedgerClient.open(own_ring.devnet.url, own_ring.deployment.ledger, querent)
    shown, hidden = (client._encoder.encode("submitQuery", (named(name), named("key"))) for name in ("a", "b"))
    for _ in range(DEEPEST + 1):
        hidden = client._encoder.encode("multicall", ([hidden],))
    client._send("multicall", [shown, hidden])
    own_ring.settle()
    own_ring.expect_answered(own_ring.ask())
    report = expect_read_to_the_end(own_ring, 1)
    assert report.counts.indirect_calls == 1
    assert report.trail.ended[QueryPhase.REJECTED] == 2
