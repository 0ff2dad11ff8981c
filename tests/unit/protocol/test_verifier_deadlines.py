"""Deadlines, timeouts and withdrawals: a second before, at, and after each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deepring_chain.types import QueryPhase
from tests.unit.protocol.query_phases import Bring, computed, disputed, interrupted, routed, submitted
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import TERMS
from tests.unit.protocol.trail_script import ScriptedTrail

# ---------------------------------------------------------------------- deadlines


@pytest.mark.parametrize(("seconds", "holds"), [(-1, False), (0, False), (1, True)])
def test_timeout_is_accepted_only_after_the_deadline(query: ScriptedQuery, seconds: int, holds: bool) -> None:
    query.post()
    query.time_out(wait=query.deadline() - query.script.time - 1 + seconds)
    assert query.script.time == query.deadline() + seconds
    if holds:
        assert verify(query.script).open_queries[0].phase is QueryPhase.INTERRUPTED
    else:
        assert failure_of(query.script).field == "HopTimedOut.event (its time)"


@pytest.mark.parametrize(("seconds", "holds"), [(0, True), (1, False)])
def test_update_is_accepted_only_until_the_deadline(query: ScriptedQuery, seconds: int, holds: bool) -> None:
    query.post()
    deadline = query.deadline()
    query.script.emit(query.posted(), wait=deadline - query.script.time - 1 + seconds)
    assert query.script.time == deadline + seconds
    if holds:
        assert verify(query.script).open_queries[0].next_hop == 2
    else:
        assert failure_of(query.script).field == "UpdatePosted.event (its time)"


def test_deadline_counts_from_when_the_ring_became_authentic(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post()
    script.arrange()
    script.emit(wait=TERMS.hop_seconds)
    script.attest(0, 1, 2, 3)
    query.post()
    assert verify(script).open_queries[0].next_hop == 2
    query.time_out(deadline=query.deadline() + 1)
    assert failure_of(script).field == "HopTimedOut.deadline"


def test_timeout_outside_of_query_mode_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    script.arrange()
    query.time_out()
    assert (failure_of(script).expected, failure_of(script).found) == ("QUERY", "ATTESTING")


@pytest.mark.parametrize("bring", [submitted, routed, computed, disputed, interrupted])
def test_every_open_query_is_withdrawn_only_after_the_long_deadline(script: ScriptedTrail, bring: Bring) -> None:
    query = bring(script)
    began = next(sent.time for sent, event in script.calls if getattr(event, "query", None) == query.query)
    wait = began + TERMS.withdraw_seconds - script.time - 1
    query.withdraw(wait)
    assert failure_of(script).field == "QueryWithdrawn.event (its time)"
    script.calls.pop()
    query.withdraw(wait=1)
    assert verify(script).ended == {QueryPhase.WITHDRAWN: 1}


@pytest.mark.parametrize(
    "again",
    [
        ScriptedQuery.reject,
        ScriptedQuery.reopen,
        ScriptedQuery.post,
        ScriptedQuery.complain,
        ScriptedQuery.judge,
        ScriptedQuery.time_out,
        ScriptedQuery.withdraw,
        ScriptedQuery.deliver,
    ],
)
def test_nothing_is_accepted_after_a_withdrawal(query: ScriptedQuery, again: Callable[[ScriptedQuery], object]) -> None:
    query.post().withdraw()
    again(query)
    assert failure_of(query.script).found == "one that has ended"
