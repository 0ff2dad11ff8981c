"""The auditor on calls within calls: what is settled together is judged as if it came alone."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.audit import inputs
from deepring_chain.audit.inputs import DEEPEST
from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.types import QueryPhase
from tests.chain.clock import Clock
from tests.chain.names import named
from tests.chain.query_driver import settle_whole
from tests.chain.stored_ring import StoredRing, audit_of, envelope_of, failure_of


def nested(stored: StoredRing, depth: int, *calls: LedgerCall) -> LedgerCall:
    """Calls within so many calls."""
    for _ in range(depth):
        calls = (LedgerCall("multicall", ([stored.ring.ledger.encode(call) for call in calls],)),)
    return calls[0]


def submit_call(stored: StoredRing, name: str) -> LedgerCall:
    return LedgerCall("submitQuery", (stored.put(name, envelope_of(name)), named("key")))


def test_queries_settled_together_pass(stored: StoredRing) -> None:
    settle_whole(*(stored.submit().open_route() for _ in range(3)))
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.ended == {QueryPhase.DELIVERED: 3}
    assert report.trail.events["UpdatePosted"] == 12


def test_missing_envelope_inside_a_run_is_named(stored: StoredRing) -> None:
    settle_whole(stored.submit().open_route())
    stored.file_of("envelope 1/1/2").unlink()
    assert failure_of(stored).subject == "query 1, hop 2"


@pytest.mark.parametrize("depth", [1, 2, DEEPEST])
def test_calls_within_calls_are_compared(stored: StoredRing, depth: int) -> None:
    stored.ring.ledger.send(
        stored.querent, nested(stored, depth, submit_call(stored, "one"), submit_call(stored, "two"))
    )
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.events["QuerySubmitted"] == 2
    assert report.counts.indirect_calls == 0


def test_calls_deeper_than_anyone_makes_do_not_spoil_the_audit(stored: StoredRing, mallory: LocalAccount) -> None:
    """Mallory hides a question in many calls: nobody's audit fails for that."""
    stored.ring.ledger.send(mallory, nested(stored, DEEPEST + 3, submit_call(stored, "hidden")))
    report = audit_of(stored)
    assert report.failure is None
    assert report.counts.indirect_calls == 1


def test_transaction_is_read_once_however_many_events_it_made(
    stored: StoredRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a stranger's questions, all in one transaction, would cost the auditor their number squared."""
    asked = 20
    read: list[bytes] = []
    real = inputs._decode

    def decode(call: inputs._Call, data: bytes) -> inputs.Values | None:
        read.append(data)
        return real(call, data)

    monkeypatch.setattr(inputs, "_decode", decode)
    calls = [submit_call(stored, f"question {number}") for number in range(asked)]
    stored.ring.ledger.send(stored.querent, nested(stored, 1, *calls))
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.events["QuerySubmitted"] == asked
    assert len([data for data in read if data[:4] == stored.ring.ledger.encode(calls[0])[:4]]) == asked


def test_contradictions_renewals_and_withdrawals_pass(stored: StoredRing, clock: Clock) -> None:
    disputed, renewed, withdrawn = (stored.submit().open_route().advance(2) for _ in range(3))
    disputed.contradict()
    disputed.judge(sender_guilty=False, receiver_guilty=True)
    stored.register().arrange()
    renewed.let_time_out()
    for query in (disputed, renewed):
        query.reopen()
    settle_whole(disputed, renewed)
    withdrawn.wait_and_withdraw()
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.ended == {QueryPhase.DELIVERED: 2, QueryPhase.WITHDRAWN: 1}
