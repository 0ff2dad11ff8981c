"""Who works for years keeps of ended queries what is still asked for, and no more."""

from __future__ import annotations

from deepring_chain.protocol.events import AnswerDelivered, Event, HopTimedOut, QueryRejected, VerdictPosted
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Attempt, Hop, QueryId, QueryPhase, RejectReason, Verdict
from tests.unit.protocol.protocol_tools import arranged, digest, logged, opened, posted, submitted
from tests.unit.protocol.test_ledger_state import READY, after


def worked(*events: Event) -> LedgerState:
    """The state of somebody who works for years."""
    state = LedgerState(keeps_ended=False)
    state.apply_all(logged(event, number) for number, event in enumerate([*READY, *events], start=1))
    return state


def round_of(query: int, *faults: Event) -> list[Event]:
    """A query that is answered."""
    answer = AnswerDelivered(QueryId(query), Attempt(1), digest(1), digest(2), bytes(65), digest(3))
    return [submitted(query), opened(query), *faults, *(posted(hop, query) for hop in range(3)), answer]


def test_ended_queries_are_dropped_at_the_next_arrangement_and_still_counted() -> None:
    state = worked(*round_of(1), submitted(2), QueryRejected(QueryId(2), RejectReason.MALFORMED), submitted(3))
    assert list(state.sessions) == [1, 2, 3]
    for event in (arranged(2), submitted(4)):
        state.apply(logged(event))
    assert list(state.sessions) == [3, 4]
    assert state.phases() == {QueryPhase.DELIVERED: 1, QueryPhase.REJECTED: 1, QueryPhase.SUBMITTED: 2}


def test_open_query_goes_on_after_the_next_arrangement() -> None:
    state = worked(submitted(1), opened(1), posted(0), arranged(2), posted(1), posted(2))
    assert state.sessions[QueryId(1)].phase is QueryPhase.COMPUTED
    assert len(state.sessions[QueryId(1)].history) == 3


def test_of_an_ended_query_in_which_somebody_failed_it_stays_known_who() -> None:
    late = HopTimedOut(QueryId(1), Attempt(1), Hop(0), 0)
    state = worked(*round_of(1, late), arranged(2))
    session = state.sessions[QueryId(1)]
    assert [(fault.hop, fault.kind) for fault in session.faults] == [(0, FaultKind.SILENT)]
    assert (session.history, dict(session.updates), session.phase) == ((), {}, QueryPhase.DELIVERED)


def test_state_does_not_grow_with_the_queries_that_were_answered() -> None:
    rounds = [
        event
        for query in range(1, 101)
        for event in (*round_of(query), *([arranged(query)] if query % 10 == 0 else []))
    ]
    state = worked(*rounds)
    assert len(state.sessions) == 0
    assert state.phases() == {QueryPhase.DELIVERED: 100}


def test_who_tells_of_the_past_keeps_every_query() -> None:
    state = after(*READY, *round_of(1), arranged(2))
    assert len(state.sessions[QueryId(1)].history) == 4
    assert state.phases() == {QueryPhase.DELIVERED: 1}


def test_fault_names_who_had_posted_the_hop() -> None:
    state = after(*READY, submitted(1), opened(1), posted(0), posted(1))
    signer = state.sessions[QueryId(1)].updates[Hop(1)].signer
    verdict = Verdict(QueryId(1), Attempt(1), Hop(2), True, False, digest(4), digest(5))
    state.apply(logged(VerdictPosted(verdict, bytes(65), digest(6))))
    (fault,) = state.sessions[QueryId(1)].faults
    assert (fault.hop, fault.kind, fault.signer) == (1, FaultKind.GUILTY, signer)


def test_what_was_dropped_has_ended_and_what_is_open_or_not_asked_yet_has_not() -> None:
    state = worked(*round_of(1), *round_of(2), submitted(3), arranged(2), *round_of(4))
    assert list(state.sessions) == [3, 4]
    assert [state.has_ended(QueryId(query)) for query in (1, 2, 3, 4, 5)] == [True, True, False, True, False]


def test_nothing_has_ended_for_one_who_begins_to_read_anew() -> None:
    assert not LedgerState().has_ended(QueryId(1))
