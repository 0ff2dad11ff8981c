"""The entries of a trail, as the ledger is shown them: they lead from the question to the trail, whatever happened."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import OutputDisputed, RouteOpened, UpdatePosted
from deepring_chain.protocol.history import all_entries, entries_after
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, start_trail
from deepring_chain.types import Digest, TrailEntry, TrailHash
from tests.unit.protocol.full_trail import full_trail
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_names import DOMAIN, OUROBOROS, named, place_events
from tests.unit.protocol.trail_script import ScriptedTrail


def told(script: ScriptedTrail) -> tuple[LedgerState, dict[int, int]]:
    """What the events tell, and the times of their blocks."""
    state = LedgerState()
    placed = script.placed()
    state.apply_all(logged for logged, _ in placed)
    return state, {logged.block_number: witness.time for logged, witness in placed}


def session_of(query: ScriptedQuery) -> tuple[Session, dict[int, int]]:
    state, times = told(query.script)
    return state.sessions[query.query], times


def walked(trail: TrailHash, entries: list[TrailEntry]) -> Digest:
    for entry in entries:
        trail = extend_trail(trail, entry.digest, entry.signer)
    return trail


def whole_history(query: ScriptedQuery) -> list[TrailEntry]:
    session, times = session_of(query)
    return all_entries(DOMAIN, OUROBOROS, session, session.question(times.__getitem__))


def test_every_query_of_a_full_trail_leads_from_its_question_to_its_trail() -> None:
    state, times = LedgerState(), dict[int, int]()
    for logged, witness in place_events(full_trail()):
        state.apply(logged)
        times[logged.block_number] = witness.time
    for session in state.sessions.values():
        question = session.question(times.__getitem__)
        entries = all_entries(DOMAIN, OUROBOROS, session, question)
        assert walked(start_trail(session.query, session.querent, question), entries) == session.trail
        assert len(entries) == len(session.history)


def test_every_update_of_a_full_trail_leads_to_its_query_s_trail() -> None:
    state = LedgerState()
    state.apply_all(logged for logged, _ in place_events(full_trail()))
    anchors = [(session, event) for session in state.sessions.values() for event in session.history]
    for session, event in anchors:
        if isinstance(event, UpdatePosted):
            assert walked(event.trail, entries_after(DOMAIN, OUROBOROS, session, event)) == session.trail
    assert len(anchors) > 50


def test_question_alone_has_no_entries(script: ScriptedTrail) -> None:
    assert whole_history(script.submit()) == []


def test_entry_that_violates_eq_13_is_followed_by_its_mark(query: ScriptedQuery) -> None:
    query.post().contradict(named("a lie")).judge(receiver=True)
    session, _ = session_of(query)
    honest, lie = (event for event in session.history if isinstance(event, UpdatePosted))
    assert entries_after(DOMAIN, OUROBOROS, session, lie)[0] == VIOLATION
    assert entries_after(DOMAIN, OUROBOROS, session, honest)[1] == VIOLATION
    assert any(isinstance(event, OutputDisputed) for event in session.history)


def test_answer_that_violates_eq_13_is_followed_by_its_mark(query: ScriptedQuery) -> None:
    query.post().post().post().post().contradict_delivery(named("a lie"))
    entries = whole_history(query)
    session, _ = session_of(query)
    assert entries[-1] == VIOLATION
    assert entries[-2].signer == OUROBOROS
    assert walked(query.trail, []) == session.trail


def test_renewal_stands_where_the_new_attempt_began(script: ScriptedTrail) -> None:
    query = script.submit().open_route().post().time_out()
    script.register()
    script.arrange()
    script.attest(0, 1, 2, 3)
    query.reopen().post()
    session, _ = session_of(query)
    entries = whole_history(query)
    assert [entry == RENEWAL for entry in entries] == [False, True, False]
    assert isinstance(session.history[1], RouteOpened)
    assert session.trail == query.trail


def test_same_update_is_found_by_its_place_not_by_its_looks(query: ScriptedQuery) -> None:
    """Hop 0 of two attempts: what follows the first is longer than what follows the second."""
    query.post().time_out().reopen().post()
    session, _ = session_of(query)
    first, second = (event for event in session.history if isinstance(event, UpdatePosted))
    assert [len(entries_after(DOMAIN, OUROBOROS, session, anchor)) for anchor in (first, second)] == [1, 0]


@pytest.mark.parametrize("hops", [1, 4])
def test_entries_are_digest_and_signer_of_what_was_posted(query: ScriptedQuery, hops: int) -> None:
    query.post_run(hops)
    session, _ = session_of(query)
    updates = [event for event in session.history if isinstance(event, UpdatePosted)]
    assert whole_history(query) == [
        TrailEntry(message_digest(DOMAIN, event.signed.update), event.signer) for event in updates
    ]
    assert all(after.signed.update.trail == before.trail for before, after in pairwise(updates))
