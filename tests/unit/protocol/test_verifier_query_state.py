"""What the verifier holds of a query after each entry: the auditor compares it with the ledger's word of the query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_query import QueryVerifier
from deepring_chain.types import NO_OUTPUT, NO_ROUTE, ZERO, Attempt, Hop, QueryId, QueryPhase
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of
from tests.unit.protocol.trail_names import ITEMS, OWNER, STRANGER, TERMS, named
from tests.unit.protocol.trail_script import ScriptedTrail

LIE = named("a lie")


def held(query: ScriptedQuery) -> QueryVerifier:
    verifier = TrailVerifier(TERMS)
    for logged, witness in query.script.placed():
        verifier.check(logged, witness)
    verifier.finish()
    found = verifier.open_query(query.query)
    assert found is not None
    return found


def state_of(query: ScriptedQuery) -> QueryState:
    return held(query).state()


def expected(
    query: ScriptedQuery, phase: QueryPhase, hop: int, *, touched_at: int, output: bytes, version: int = 1
) -> QueryState:
    route = query.links[hop] if hop < len(query.links) else ZERO
    return QueryState(phase, query.attempt, Hop(hop), ITEMS, version, touched_at, route, output, query.trail)  # type: ignore[arg-type]


def test_submitted_query_has_no_attempt(script: ScriptedTrail) -> None:
    query = script.submit()
    state = QueryState(QueryPhase.SUBMITTED, Attempt(0), Hop(0), 0, 0, script.time, NO_ROUTE, NO_OUTPUT, query.trail)
    assert state_of(query) == state
    assert held(query).submitted_at == script.time


def test_routed_query_waits_for_its_next_hop(query: ScriptedQuery) -> None:
    script = query.script
    assert state_of(query) == expected(query, QueryPhase.ROUTED, 0, touched_at=script.time, output=ZERO)
    script.time += 7
    script.in_block = 2
    query.post()
    assert state_of(query) == expected(query, QueryPhase.ROUTED, 1, touched_at=script.time, output=named("output 1/1"))


def test_computed_query_has_no_deadline_and_no_route(query: ScriptedQuery) -> None:
    query.post().post().post().post()
    assert state_of(query) == expected(query, QueryPhase.COMPUTED, 4, touched_at=0, output=named("output 1/4"))
    assert state_of(query).route == ZERO


def test_attempt_that_goes_on_expects_the_anchor_s_output(query: ScriptedQuery) -> None:
    query.post().post().time_out()
    assert state_of(query).phase is QueryPhase.INTERRUPTED
    query.reopen(2)
    time = query.script.time
    assert state_of(query) == expected(query, QueryPhase.ROUTED, 2, touched_at=time, output=named("output 1/2"))


def test_attempt_from_the_start_expects_nothing(query: ScriptedQuery) -> None:
    query.post().post().time_out().reopen()
    time = query.script.time
    assert state_of(query) == expected(query, QueryPhase.ROUTED, 0, touched_at=time, output=ZERO)


def test_attempt_under_another_model_is_marked_and_names_it(query: ScriptedQuery) -> None:
    query.post().time_out()
    query.script.register()
    query.script.arrange()
    query.script.attest(0, 1, 2, 3)
    query.reopen()
    time = query.script.time
    assert state_of(query) == expected(query, QueryPhase.ROUTED, 0, touched_at=time, output=ZERO, version=2)


def test_violation_interrupts_at_its_hop_over_a_marked_history(query: ScriptedQuery) -> None:
    query.post().contradict(LIE)
    time = query.script.time
    before = expected(query, QueryPhase.DISPUTED, 1, touched_at=time, output=named("output 1/1"))
    assert state_of(query) == replace(before, route=query.links[2])


@pytest.mark.parametrize(("end", "field"), [("update", "signed.update.query"), ("timeout", "query")])
def test_entry_of_an_unknown_query_names_where_it_says_so(query: ScriptedQuery, end: str, field: str) -> None:
    query.query = QueryId(9)
    query.time_out(deadline=1) if end == "timeout" else query.post()
    failure = failure_of(query.script)
    assert (failure.subject, failure.field.partition(".")[2]) == ("query 9", field)


@pytest.mark.parametrize(
    ("end", "phase"),
    [
        (lambda query: query.post().post().post().post().deliver(), QueryPhase.DELIVERED),
        (lambda query: query.time_out().reject(), QueryPhase.REJECTED),
        (lambda query: query.withdraw(), QueryPhase.WITHDRAWN),
    ],
)
def test_ended_query_is_given_out_as_it_ended(
    query: ScriptedQuery, end: Callable[[ScriptedQuery], None], phase: QueryPhase
) -> None:
    end(query)
    verifier = TrailVerifier(TERMS)
    for logged, witness in query.script.placed():
        verifier.check(logged, witness)
    ended = verifier.take_ended()
    assert ended is not None
    assert (ended.phase, ended.trail) == (phase, query.trail)


def test_worker_who_complains_twice_in_other_seats_is_refused(script: ScriptedTrail) -> None:
    """The same rule for a complaint as for an update: who signed a hop does not receive another."""
    query = script.submit()
    query.signers = (OWNER, script.seats[1], script.seats[1], STRANGER)
    query.open_route().post().post().complain()
    failure = failure_of(script)
    assert (failure.field, failure.expected) == ("EnvelopeDisputed.recipient", "an account that signed no other hop")
