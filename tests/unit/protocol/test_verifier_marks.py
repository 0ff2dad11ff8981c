"""Marks on the trail, versions of the model, and runs in one log: what a lying ledger could leave out or put in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.events import OutputDisputed, UpdatePosted
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, mark_trail
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.types import QueryPhase
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import OWNER, TERMS, WORKERS, Placed, named
from tests.unit.protocol.trail_script import ScriptedTrail

LIE = named("a lie")
MODEL = "event (the ring's model)"


def renew(script: ScriptedTrail) -> None:
    """The next version of the model, attested."""
    script.register()
    script.arrange()
    script.attest(0, 1, 2, 3)


# ---------------------------------------------------------------------- violations


def test_entries_after_a_marked_violation_are_accepted(query: ScriptedQuery) -> None:
    query.post().contradict(LIE).judge(receiver=True).reopen(1).post().post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


def test_verdict_without_the_mark_before_it_is_refused(query: ScriptedQuery) -> None:
    """The ledger forgot that the entry was a violation: a later attempt could go on from it."""
    posted = query.post().posted(output=LIE)
    query.script.emit(posted, query.disputed(LIE))
    query.hop -= 1
    query.judge(receiver=True)
    failure = failure_of(query.script)
    assert (failure.field, failure.found) == ("VerdictPosted.verdict.trail", f"0x{posted.trail.hex()}")


def test_verdict_after_a_delivery_without_the_mark_is_refused(query: ScriptedQuery) -> None:
    query.post().post().post().post()
    query.script.emit(query.delivered(output=LIE), query.contradicted(query.hop, named("output 1/4"), LIE))
    query.judge(sender=True)
    assert failure_of(query.script).field == "VerdictPosted.verdict.trail"


def test_mark_after_an_entry_that_holds_eq_13_is_refused(query: ScriptedQuery) -> None:
    """An honest output, made unusable as an anchor."""
    query.post().post()
    query.trail = mark_trail(query.trail, VIOLATION)
    query.post()
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 2", "UpdatePosted.signed.update.trail")


def test_violation_marked_with_another_word_is_refused(query: ScriptedQuery) -> None:
    posted = query.post().posted(output=LIE)
    query.script.emit(posted, query.disputed(LIE))
    query.trail = mark_trail(query.trail, RENEWAL)
    query.hop -= 1
    query.judge(receiver=True)
    assert failure_of(query.script).field == "VerdictPosted.verdict.trail"


def test_contradiction_at_hop_0_is_refused(query: ScriptedQuery) -> None:
    """Nothing is expected of the input: whoever saw hop 0's entry could dispute it and nobody would have lied."""
    posted = query.posted()
    query.script.emit(posted, OutputDisputed(query.query, query.attempt, posted.signed.update.hop, bytes(32), LIE))  # type: ignore[arg-type]
    assert failure_of(query.script).field == "OutputDisputed.event"


# ---------------------------------------------------------------------- versions of the model


def test_attempt_begun_anew_under_another_model_is_accepted(query: ScriptedQuery) -> None:
    query.post().post().time_out()
    renew(query.script)
    query.reopen().post().post().post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


def test_attempt_anew_under_another_model_without_the_mark_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out()
    renew(query.script)
    query.version = query.script.version
    query.reopen().post()
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 0", "UpdatePosted.signed.update.trail")


def test_mark_of_renewal_under_the_same_model_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out()
    query.version -= 1
    query.reopen().post()
    assert failure_of(query.script).field == "UpdatePosted.signed.update.trail"


def test_mark_at_the_first_route_is_refused(script: ScriptedTrail) -> None:
    """No attempt was made under any model yet."""
    query = script.submit()
    renew(script)
    query.trail = mark_trail(query.trail, RENEWAL)
    query.open_route().post()
    assert failure_of(script).field == "UpdatePosted.signed.update.trail"


def test_first_route_after_a_new_model_is_accepted(script: ScriptedTrail) -> None:
    query = script.submit()
    renew(script)
    query.open_route().post().post().post().post().deliver()
    assert verify(script).ended == {QueryPhase.DELIVERED: 1}


def test_attempt_from_an_output_of_the_older_model_is_refused(query: ScriptedQuery) -> None:
    query.post().post().time_out()
    renew(query.script)
    query.reopen(2)
    failure = failure_of(query.script)
    assert (failure.field, failure.found) == (f"RouteOpened.{MODEL}", "2")


def test_attempt_from_before_the_renewal_is_refused(query: ScriptedQuery) -> None:
    """Two attempts after the model changed, the ring goes on from what the old model computed."""
    query.post().post().time_out()
    renew(query.script)
    query.reopen().post().post().time_out().reopen(2, anchor=1)
    failure = failure_of(query.script)
    assert (failure.field, failure.expected, failure.found) == ("QueryResumed.anchor_attempt", "2", "1")


@pytest.mark.parametrize("back", [1, 2])
def test_update_for_a_route_of_the_older_model_is_refused(query: ScriptedQuery, back: int) -> None:
    """Also if the ring was renewed twice since."""
    query.post()
    for _ in range(back):
        renew(query.script)
    query.post()
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1", f"UpdatePosted.{MODEL}")
    assert (failure.expected, failure.found) == ("model version 1, which the route was opened for", str(1 + back))


def test_answer_of_the_older_model_is_refused(query: ScriptedQuery) -> None:
    query.post().post().post().post()
    renew(query.script)
    query.deliver()
    assert failure_of(query.script).field == f"AnswerDelivered.{MODEL}"


def test_complaint_and_verdict_outlive_the_model(query: ScriptedQuery) -> None:
    """Who is to blame does not depend on what the ring computes now."""
    query.post().post().post().post()
    renew(query.script)
    query.complain().judge(sender=True).reopen().post().post().post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


# ---------------------------------------------------------------------- several hops in one log


def checked(events: list[Placed]) -> TrailVerifier:
    verifier = TrailVerifier(TERMS)
    for logged, witness in events:
        verifier.check(logged, witness)
    return verifier


def test_run_stands_in_one_log(query: ScriptedQuery) -> None:
    query.post_run(4)
    events = [logged for logged, _ in query.script.placed() if isinstance(logged.event, UpdatePosted)]
    assert [logged.part for logged in events] == [0, 1, 2, 3]
    assert len({logged.log_index for logged in events}) == 1
    assert verify(query.script).open_queries[0].phase is QueryPhase.COMPUTED


def test_run_tells_the_same_as_its_hops_one_by_one(script: ScriptedTrail) -> None:
    together, apart = script.submit().open_route(), script.submit().open_route()
    together.post_run(4).deliver()
    apart.post().post().post().post().deliver()
    assert verify(script).ended == {QueryPhase.DELIVERED: 2}


@pytest.mark.parametrize("parts", [(0, 0), (1, 0), (1, 1)], ids=["same place", "backwards", "same later place"])
def test_hops_of_a_run_out_of_their_order_are_refused(query: ScriptedQuery, parts: tuple[int, int]) -> None:
    query.post_run(2)
    *rest, (first, when), (second, _) = query.script.placed()
    moved = [(replace(logged, part=part), when) for logged, part in zip((first, second), parts, strict=True)]
    with pytest.raises(AuditFailure, match="a place after"):
        checked([*rest, *moved])


def test_swapped_hops_of_a_run_are_refused(query: ScriptedQuery) -> None:
    first, second = query.posted(), query.posted()
    query.script.emit(second, first, is_run=True)
    assert failure_of(query.script).field == "UpdatePosted.signed.update.hop"


def test_hop_missing_in_a_run_is_refused(query: ScriptedQuery) -> None:
    hops = [query.posted() for _ in range(3)]
    query.script.emit(hops[0], hops[2], is_run=True)
    assert failure_of(query.script).field == "UpdatePosted.signed.update.hop"


def test_hop_of_a_run_signed_by_another_is_refused(query: ScriptedQuery) -> None:
    query.post()
    query.signers = (OWNER, WORKERS[1], WORKERS[0], WORKERS[2])
    query.post_run(2)
    failure = failure_of(query.script)
    assert (failure.subject, "route link" in failure.field) == ("query 1, hop 1", True)


def test_violation_in_a_run_is_not_passed_over(query: ScriptedQuery) -> None:
    """No entry can come between a violation and its record: not in the same log either."""
    query.script.emit(query.posted(), query.posted(output=LIE), query.posted(), is_run=True)
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 1", "UpdatePosted.event")


def test_run_after_its_deadline_is_refused(query: ScriptedQuery) -> None:
    query.script.emit(*(query.posted() for _ in range(3)), is_run=True, wait=TERMS.hop_seconds)
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 0", "UpdatePosted.event (its time)")
