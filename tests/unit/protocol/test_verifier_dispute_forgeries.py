"""Complaints, verdicts, timeouts, attempts and withdrawals that break a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.types import ZERO, Address, Attempt, Hop, QueryId, QueryPhase
from tests.unit.protocol.query_phases import Bring, computed, disputed, interrupted, routed, submitted
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import OWNER, STRANGER, WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail

# ---------------------------------------------------------------------- complaints


@pytest.mark.parametrize("complainer", [OWNER, WORKERS[1], STRANGER], ids=["ouroboros", "next worker", "stranger"])
def test_complaint_of_somebody_who_is_not_the_recipient_is_refused(
    query: ScriptedQuery, complainer: LocalAccount
) -> None:
    query.post()
    query.signers = (OWNER, complainer, *WORKERS[1:])
    query.complain()
    failure = failure_of(query.script)
    assert failure.subject == "query 1, hop 1"
    assert failure.field.startswith("EnvelopeDisputed.")
    assert "recipient" in failure.field or "route" in failure.field


@pytest.mark.parametrize("complainer", WORKERS, ids=["layer 1", "layer 2", "layer 3"])
def test_complaint_of_a_worker_about_the_last_output_is_refused(query: ScriptedQuery, complainer: object) -> None:
    query.post().post().post().post()
    disputed = query.complained()
    signature = sign_message(complainer, query.script.domain, disputed.complaint)  # type: ignore[arg-type]
    query.script.emit(replace(disputed, recipient=Address(complainer.address), signature=signature))  # type: ignore[attr-defined]
    failure = failure_of(query.script)
    assert (failure.field, failure.expected) == ("EnvelopeDisputed.recipient", OWNER.address)


def test_complaint_about_nothing_is_refused(query: ScriptedQuery) -> None:
    query.complain()
    assert failure_of(query.script).field == "EnvelopeDisputed.complaint.hop"


def test_complaint_with_the_opening_of_another_hop_is_refused(query: ScriptedQuery) -> None:
    disputed = query.post().complained()
    query.script.emit(replace(disputed, salt=query.salts()[2], next_route=query.links[3]))
    assert "route link" in failure_of(query.script).field


@pytest.mark.parametrize("change", [{"hop": Hop(2)}, {"attempt": Attempt(2)}, {"trail": named("other history")}])
def test_complaint_signed_for_another_place_is_refused(query: ScriptedQuery, change: dict[str, Any]) -> None:
    query.post().complain(**change)
    (name,) = change
    assert failure_of(query.script).field == f"EnvelopeDisputed.complaint.{name}"


@pytest.mark.parametrize("change", [{"hop": Hop(2)}, {"attempt": Attempt(2)}, {"trail": named("other history")}])
def test_verdict_signed_for_another_place_is_refused(query: ScriptedQuery, change: dict[str, Any]) -> None:
    query.post().complain().judge(**change)
    (name,) = change
    assert failure_of(query.script).field == f"VerdictPosted.verdict.{name}"


@pytest.mark.parametrize("bring", [disputed, interrupted])
def test_complaint_when_nothing_is_under_way_is_refused(script: ScriptedTrail, bring: Bring) -> None:
    bring(script).complain()
    assert failure_of(script).expected == "COMPUTED or ROUTED"


@pytest.mark.parametrize("bring", [submitted, routed, computed, interrupted])
def test_verdict_without_a_dispute_is_refused(script: ScriptedTrail, bring: Bring) -> None:
    bring(script).judge(sender=True)
    assert (failure_of(script).field, failure_of(script).expected) == (
        "VerdictPosted.query (its phase)",
        "DISPUTED",
    )


@pytest.mark.parametrize("bring", [routed, computed, disputed])
def test_rejection_of_a_query_that_does_not_wait_is_refused(script: ScriptedTrail, bring: Bring) -> None:
    bring(script).reject()
    assert failure_of(script).expected == "INTERRUPTED or SUBMITTED"


@pytest.mark.parametrize("bring", [routed, computed, disputed])
def test_new_attempt_of_a_query_that_does_not_wait_is_refused(script: ScriptedTrail, bring: Bring) -> None:
    bring(script).reopen()
    assert failure_of(script).expected == "INTERRUPTED or SUBMITTED"


@pytest.mark.parametrize("bring", [submitted, computed, disputed, interrupted])
def test_timeout_of_a_query_that_is_not_at_a_hop_is_refused(script: ScriptedTrail, bring: Bring) -> None:
    query = bring(script)
    if bring is submitted:
        query.deadline = lambda: 0  # type: ignore[method-assign]
    query.time_out()
    assert failure_of(script).expected == "ROUTED"


# ---------------------------------------------------------------------- verdicts


def test_verdict_by_a_worker_is_refused(query: ScriptedQuery) -> None:
    query.post().complain().judge(sender=True, signer=WORKERS[0])
    assert failure_of(query.script).field == "VerdictPosted.signature"


def test_verdict_that_acquits_two_layers_which_contradict_each_other_is_refused(query: ScriptedQuery) -> None:
    query.post().contradict(named("a lie")).judge()
    assert failure_of(query.script).found == "nobody"


def test_verdict_that_acquits_both_sides_of_a_complaint_is_accepted(query: ScriptedQuery) -> None:
    query.post().complain().judge()
    assert verify(query.script).open_queries[0].phase is QueryPhase.INTERRUPTED


def test_disputes_are_settled_while_the_ring_is_not_authentic(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post()
    script.arrange()
    query.complain().judge(sender=True).reject()
    assert verify(script).ended == {QueryPhase.REJECTED: 1}


def test_complaint_of_somebody_who_has_no_seat_is_refused(script: ScriptedTrail) -> None:
    query = script.submit()
    query.signers = (OWNER, STRANGER, *WORKERS[1:])
    query.open_route().post().complain()
    assert failure_of(script).field == "EnvelopeDisputed.recipient"


def test_entries_about_a_query_that_nobody_asked_are_refused(query: ScriptedQuery) -> None:
    disputed_ = query.post().complained()
    assert isinstance(disputed_, EnvelopeDisputed)
    query.script.emit(replace(disputed_, complaint=replace(disputed_.complaint, query=QueryId(9))))
    failure = failure_of(query.script)
    assert (failure.subject, failure.found) == ("query 9", "one that nobody asked")


def test_complaint_after_the_last_hop_may_carry_any_opening(query: ScriptedQuery) -> None:
    """The ledger ignores it there, and whoever posts the complaint chooses it."""
    query.post().post().post().post()
    disputed_ = query.complained()
    assert disputed_.salt == ZERO
    query.script.emit(replace(disputed_, salt=named("anything")))
    assert verify(query.script).open_queries[0].phase is QueryPhase.DISPUTED
