"""`resumeRoute`: a query goes on from an accepted output, not from the start (paper 3.5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    OutputDisputed,
    QueryResumed,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.protocol.history import all_entries, entries_after
from deepring_chain.protocol.session import FaultKind, Session, TrailEvent
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, start_trail
from deepring_chain.types import Address, Attempt, Domain, Hop, QueryPhase, TrailEntry, TrailHash
from tests.chain.clock import Clock
from tests.chain.names import address_of, named
from tests.chain.query_driver import ScriptedQuery
from tests.chain.ring_driver import ScriptedRing


def judge_contradiction(query: ScriptedQuery) -> None:
    query.contradict()
    query.judge()


def judge_complaint(query: ScriptedQuery) -> None:
    query.complain()
    query.judge()


INTERRUPTIONS: dict[str, Callable[[ScriptedQuery], object]] = {
    "eq. 13": judge_contradiction,
    "complaint": judge_complaint,
    "timeout": ScriptedQuery.let_time_out,
}


@pytest.mark.parametrize("why", INTERRUPTIONS)
@pytest.mark.parametrize(("hop", "first"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_attempt_begins_after_any_accepted_hop(
    query: ScriptedQuery, clock: Clock, why: str, hop: int, first: int
) -> None:
    query.advance(hop)
    INTERRUPTIONS[why](query)
    trail = query.trail
    receipt = query.resume(first)
    opened = RouteOpened(query.query, Attempt(2), Hop(first), query.items, query.links[first], query.notes)
    resumed = QueryResumed(query.query, Attempt(2), Attempt(1), Hop(first - 1))
    assert query.ring.ledger.events(receipt) == [opened, resumed]
    assert query.place == (QueryPhase.ROUTED, 2, first, query.links[first], query.output(first), trail)
    assert query.state.touched_at == query.ring.ledger.time_of(receipt)
    query.advance(4).deliver()
    assert query.state.phase == QueryPhase.DELIVERED
    assert query.state.trail == query.trail


def test_standby_takes_over_and_only_the_hops_from_the_fault_on_are_executed_again(
    query: ScriptedQuery, standby: LocalAccount
) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.signers = (*query.signers[:2], standby, query.signers[3])
    query.resume(2)
    assert query.signer == standby
    query.advance(4).deliver()
    posted = [event.signed.update for event in history(query) if isinstance(event, UpdatePosted)]
    hops = [(update.attempt, update.hop) for update in posted]
    assert hops == [(1, 0), (1, 1), (1, 2), (2, 2), (2, 3)]


def test_first_hop_of_the_attempt_is_held_to_what_the_anchor_expects(query: ScriptedQuery) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.resume(2)
    (_, disputed) = query.ring.ledger.events(query.contradict())
    expected = query.output(2)
    assert disputed == OutputDisputed(query.query, Attempt(2), Hop(2), expected, named("another output"))


def test_dispute_on_the_delivery_is_judged_and_the_last_layer_executed_again(query: ScriptedQuery) -> None:
    query.advance(4)
    query.deliver(output=named("another output"))
    assert query.state.phase == QueryPhase.DISPUTED
    query.judge()
    query.resume(3)
    assert query.place[:3] == (QueryPhase.ROUTED, 2, 3)
    query.post()
    assert query.place[0] == QueryPhase.COMPUTED
    query.deliver()
    assert query.place == (QueryPhase.DELIVERED, 2, 4, bytes(32), query.output(4), query.trail)


def test_complaint_of_the_ouroboros_is_judged_and_the_last_layer_executed_again(query: ScriptedQuery) -> None:
    query.advance(4)
    judge_complaint(query)
    query.resume(3)
    query.advance(4).deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_attempt_may_go_on_from_an_older_attempt_than_the_last(query: ScriptedQuery) -> None:
    query.advance(2)
    first = query.accepted(1)
    judge_contradiction(query)
    query.reopen()
    query.post()
    query.post(next_output=named("bogus"))
    judge_complaint(query)
    (_, resumed) = query.ring.ledger.events(query.resume_from(first))
    assert resumed == QueryResumed(query.query, Attempt(3), Attempt(1), Hop(1))
    assert query.state.expected_output == query.output(2)
    query.advance(4).deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_attempt_may_begin_with_the_input_again(query: ScriptedQuery) -> None:
    query.advance(3)
    judge_complaint(query)
    trail = query.trail
    events = query.ring.ledger.events(query.reopen())
    assert events == [RouteOpened(query.query, Attempt(2), Hop(0), query.items, query.links[0], query.notes)]
    assert query.place[:3] == (QueryPhase.ROUTED, 2, 0)
    assert query.state.trail == trail
    query.advance(4).deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_query_that_was_interrupted_may_be_rejected(query: ScriptedQuery) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.reject()
    assert query.state.phase == QueryPhase.REJECTED


def test_route_is_resumed_under_a_new_arrangement(query: ScriptedQuery) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.ring.tamper(2).order_restore(2)
    query.ring.attest(2)
    query.resume(2)
    assert query.advance(4).state.phase == QueryPhase.COMPUTED


# ------------------------------------------------------------------ many attempts, one trail


def history(query: ScriptedQuery) -> list[TrailEvent]:
    """The events of the query's trail, as an actor reads them from the chain."""
    return list(session_of(query).history)


def session_of(query: ScriptedQuery) -> Session:
    """The query as its events tell it."""
    session = query.ring.ledger.session(query.query)
    assert session is not None
    return session


def entry_of(event: TrailEvent, trail: TrailHash, domain: Domain, owner: Address) -> TrailEntry:
    """What the rolling hash takes from an event."""
    match event:
        case UpdatePosted():
            return TrailEntry(message_digest(domain, event.signed.update), event.signer)
        case OutputDisputed():
            return VIOLATION
        case RouteOpened():
            return RENEWAL
        case EnvelopeDisputed():
            return TrailEntry(message_digest(domain, event.complaint), event.recipient)
        case VerdictPosted():
            return TrailEntry(message_digest(domain, event.verdict), owner)
        case AnswerDelivered():
            return TrailEntry(message_digest(domain, event.delivery(trail)), owner)


def recomputed_trail(query: ScriptedQuery, session: Session) -> TrailHash:
    """The trail from the events alone; each event that is no mark must carry the one after it."""
    owner = Address(query.ring.owner.address)
    trail = start_trail(session.query, session.querent, query.question)
    for event in session.history:
        entry = entry_of(event, trail, query.domain, owner)
        trail = extend_trail(trail, entry.digest, entry.signer)
        assert isinstance(event, OutputDisputed | RouteOpened) or event.trail == trail
    return trail


def test_trail_holds_over_many_attempts(query: ScriptedQuery, clock: Clock, standby: LocalAccount) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.resume(2)
    query.advance(3).complain()
    query.judge(sender_guilty=False, receiver_guilty=True)
    query.signers = (*query.signers[:3], standby)
    query.resume(3)
    query.let_time_out()
    query.reopen()
    query.advance(4).deliver(output=named("another output"))
    query.judge()
    query.resume(1)
    query.advance(4).deliver()
    session = session_of(query)
    assert query.state.trail == session.trail == query.trail == recomputed_trail(query, session)
    assert (session.phase, session.attempt, query.state.phase) == (QueryPhase.DELIVERED, 5, QueryPhase.DELIVERED)
    assert [fault.kind for fault in session.faults].count(FaultKind.SILENT) == 1
    assert len(session.history) == len(query.entries) == 19
    assert all_entries(query.domain, address_of(query.ring.owner), session, query.question) == query.history


def test_history_from_the_events_is_what_the_ledger_wants_for_a_resumed_attempt(query: ScriptedQuery) -> None:
    query.advance(2)
    judge_contradiction(query)
    query.resume(2)
    query.advance(3)
    judge_complaint(query)
    session, owner = session_of(query), Address(query.ring.owner.address)
    entries = entries_after(query.domain, owner, session, session.updates[Hop(0)])
    assert entries == query.after(query.accepted(0))
    query.resume_from(query.accepted(0), entries)
    assert query.place[:3] == (QueryPhase.ROUTED, 3, 1)


def test_queries_resume_independently(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = (ring.submit(querent).open_route().advance(2) for _ in range(2))
    for query in (first, second):
        judge_contradiction(query)
    second.resume(1)
    first.resume(2)
    assert (first.state.hop, second.state.hop) == (2, 1)
    assert [query.advance(4).state.phase for query in (first, second)] == [QueryPhase.COMPUTED] * 2
