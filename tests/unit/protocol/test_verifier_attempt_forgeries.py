"""New attempts of a query that go on where they may not, or are signed by whom they must not."""

from __future__ import annotations

import pytest

from deepring_chain.protocol.events import QueryResumed, RouteOpened
from deepring_chain.types import Attempt, Hop, QueryPhase
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import ITEMS, OWNER, STRANGER, WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail

# ---------------------------------------------------------------------- attempts


def test_attempt_goes_on_where_the_last_one_stopped(query: ScriptedQuery) -> None:
    query.post().post().time_out().reopen(2).post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


def test_attempt_after_the_hop_that_failed_is_refused(query: ScriptedQuery) -> None:
    query.post().post().post().time_out().reopen()
    query.post().time_out()
    query.reopen(2, anchor=1)
    failure = failure_of(query.script)
    assert (failure.field, failure.expected, failure.found) == ("RouteOpened.first_hop", "0..1", "2")


def test_attempt_without_a_hop_is_refused(query: ScriptedQuery) -> None:
    query.post().post().post().post().complain().judge()
    query.links = [named("a link")] * 5
    opened = RouteOpened(query.query, Attempt(2), Hop(4), ITEMS, named("a link"), named("notes"))
    query.script.emit(opened, QueryResumed(query.query, Attempt(2), Attempt(1), Hop(3)))
    assert (failure_of(query.script).expected, failure_of(query.script).found) == ("0..3", "4")


def test_attempt_from_an_output_that_violates_eq_13_is_refused(query: ScriptedQuery) -> None:
    """The entry is on the trail, and yet no accepted output."""
    query.post().post().contradict(named("a lie")).judge(sender=True)
    query.reopen(3)
    assert failure_of(query.script).expected == "0..2"


def test_attempt_from_the_output_of_a_guilty_sender_is_refused(query: ScriptedQuery) -> None:
    query.post().post().complain().judge(sender=True).reopen(2)
    failure = failure_of(query.script)
    assert failure.field == "RouteOpened.first_hop"
    assert "no verdict refuted" in failure.expected


def test_attempt_from_a_guilty_sender_s_later_output_is_accepted(query: ScriptedQuery) -> None:
    query.post().post().complain().judge(sender=True).reopen(1).post().time_out().reopen(2).post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


def test_attempt_that_is_not_held_to_its_anchor_is_refused(query: ScriptedQuery) -> None:
    query.post().post().time_out().reopen(2).post(output=named("another output")).post()
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 2", "UpdatePosted.event")


def test_attempt_from_an_older_output_of_the_same_hop_is_refused(query: ScriptedQuery) -> None:
    query.post().post().time_out().reopen().post().post().time_out().reopen(2, anchor=1)
    failure = failure_of(query.script)
    assert (failure.field, failure.expected, failure.found) == ("QueryResumed.anchor_attempt", "2", "1")


def test_attempt_from_the_middle_without_its_anchor_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out().reopen(1)
    query.script.calls.pop()
    query.post()
    assert failure_of(query.script).expected.startswith("QueryResumed right after its cause")


def test_anchor_of_an_attempt_from_the_start_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out().reopen()
    query.script.emit(QueryResumed(query.query, query.attempt, Attempt(1), Hop(0)))
    assert failure_of(query.script).field == "QueryResumed.event"


def test_anchor_in_another_transaction_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out().reopen(1)
    _, resumed = query.script.calls.pop()
    query.script.emit(resumed)
    assert "in the same transaction" in failure_of(query.script).expected


@pytest.mark.parametrize("attempt", [1, 3])
def test_attempt_out_of_count_is_refused(query: ScriptedQuery, attempt: int) -> None:
    query.post().time_out()
    query.attempt = Attempt(attempt - 1)
    query.reopen()
    assert failure_of(query.script).field == "RouteOpened.attempt"


def test_update_of_an_older_attempt_is_refused(query: ScriptedQuery) -> None:
    query.post().time_out()
    late = query.posted()
    query.reopen(1)
    query.script.emit(late)
    assert failure_of(query.script).field == "UpdatePosted.signed.update.attempt"


def test_signer_of_the_anchor_cannot_sign_the_next_hop(query: ScriptedQuery) -> None:
    query.post().post().time_out()
    query.signers = (OWNER, WORKERS[0], WORKERS[0], WORKERS[2])
    query.reopen(2).post()
    assert failure_of(query.script).expected == "an account that signed no other hop"


def test_signer_of_an_attempt_may_sign_again_in_the_next(query: ScriptedQuery) -> None:
    query.post().post().time_out().reopen().post().post().post().post().deliver()
    assert verify(query.script).ended == {QueryPhase.DELIVERED: 1}


def test_attempts_are_signed_by_who_was_seated_when_they_were_opened(script: ScriptedTrail) -> None:
    query = script.submit().open_route().post().time_out()
    query.signers = (OWNER, STRANGER, *WORKERS[1:])
    query.reopen(1).post()
    assert failure_of(script).field == "UpdatePosted.signer"
