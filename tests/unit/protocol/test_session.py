"""One query's state machine, walked through what the ledger can emit."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QueryWithdrawn,
    VerdictPosted,
)
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.session import Fault, FaultKind, Moment, QueryEvent, Session
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, mark_trail
from deepring_chain.types import (
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    ArrangementId,
    Attempt,
    Complaint,
    ComplaintKind,
    Hop,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    Verdict,
)
from tests.unit.protocol.protocol_tools import ITEMS, address, digest, opened, posted, submitted

SEATS = 3
NOW = Moment(ArrangementId(4), SEATS, model_version=2, block=7)
LATER = Moment(ArrangementId(5), SEATS, model_version=2, block=9)


def after(*events: QueryEvent) -> Session:
    session = Session.submitted(submitted())
    for event in events:
        session = session.apply(event, NOW)
    return session


def delivered(answer: int = 50) -> AnswerDelivered:
    return AnswerDelivered(QueryId(1), Attempt(1), digest(answer), digest(51), bytes(65), digest(52))


def disputed(hop: int) -> OutputDisputed:
    return OutputDisputed(QueryId(1), Attempt(1), Hop(hop), digest(60), digest(61))


def test_submitted_query_waits_for_its_route() -> None:
    session = after()
    assert session.phase is QueryPhase.SUBMITTED
    assert session.is_open
    event = submitted()
    assert (session.query, session.querent, session.trail) == (event.query, event.querent, event.trail)
    assert (session.sealed_input, session.sealing_key) == (event.sealed_input, event.sealing_key)
    assert (session.updates, session.answer, session.dispute, session.hops) == ({}, None, None, 0)


def test_rejected_query_is_closed_with_its_reason() -> None:
    session = after(QueryRejected(QueryId(1), RejectReason.WRONG_SHAPE))
    assert session.phase is QueryPhase.REJECTED
    assert session.reject_reason is RejectReason.WRONG_SHAPE
    assert not session.is_open


def test_opened_route_waits_for_its_first_hop() -> None:
    session = after(opened())
    assert session.phase is QueryPhase.ROUTED
    assert session.is_open
    assert (session.arrangement, session.attempt, session.next_hop, session.hops) == (4, 1, 0, SEATS)
    assert (session.route, session.notes) == (opened().route, opened().notes)
    assert session.trail == submitted().trail


def test_update_moves_on_to_the_next_hop() -> None:
    session = after(opened(), posted(0))
    assert session.phase is QueryPhase.ROUTED
    assert session.next_hop == 1
    assert session.route == posted(0).signed.next_route
    assert session.trail == posted(0).trail
    assert session.updates == {0: posted(0)}
    assert session.history == (posted(0),)
    assert session.notes == opened().notes


def test_last_update_computes_the_query() -> None:
    session = after(opened(), posted(0), posted(1), posted(2))
    assert session.phase is QueryPhase.COMPUTED
    assert session.is_open
    assert session.next_hop == SEATS
    assert session.updates == {hop: posted(hop) for hop in range(3)}


def test_delivered_query_is_closed_with_its_answer() -> None:
    session = after(opened(), posted(0), posted(1), posted(2), delivered())
    assert session.phase is QueryPhase.DELIVERED
    assert session.answer == delivered()
    assert session.trail == delivered().trail
    assert not session.is_open


@pytest.mark.parametrize("hop", [1, 2])
def test_contradicting_update_is_on_the_trail_but_not_accepted(hop: int) -> None:
    """The ledger emits the entry first and then what it contradicts; also after the last hop."""
    session = after(opened(), *(posted(number) for number in range(hop + 1)), disputed(hop))
    assert session.phase is QueryPhase.DISPUTED
    assert session.dispute == disputed(hop)
    assert session.is_open
    assert session.next_hop == hop
    assert session.updates == {number: posted(number) for number in range(hop)}
    assert session.trail == mark_trail(posted(hop).trail, VIOLATION)
    assert session.history == (*(posted(number) for number in range(hop + 1)), disputed(hop))


def test_disputed_delivery_is_no_answer() -> None:
    """The ouroboros delivers something else than the last layer committed to: nobody may take it for an answer."""
    session = after(opened(), posted(0), posted(1), posted(2), delivered(), disputed(3))
    assert session.phase is QueryPhase.DISPUTED
    assert session.answer is None
    assert session.trail == mark_trail(delivered().trail, VIOLATION)
    assert session.updates == {hop: posted(hop) for hop in range(3)}


def complained(hop: int) -> EnvelopeDisputed:
    complaint = Complaint(QueryId(1), Attempt(1), Hop(hop), ComplaintKind.MISSING, digest(80), posted(hop - 1).trail)
    return EnvelopeDisputed(complaint, address(hop + 1), digest(81), digest(82), bytes(65), digest(83))


def judged(hop: int, sender: bool, receiver: bool) -> VerdictPosted:
    verdict = Verdict(QueryId(1), Attempt(1), Hop(hop), sender, receiver, digest(84), digest(83))
    return VerdictPosted(verdict, bytes(65), digest(85))


def test_complaint_stops_the_query_before_its_hop() -> None:
    session = after(opened(), posted(0), complained(1))
    assert session.phase is QueryPhase.DISPUTED
    assert session.is_open
    assert (session.next_hop, session.dispute, session.trail) == (1, complained(1), digest(83))
    assert session.updates == {0: posted(0)}


@pytest.mark.parametrize(
    ("sender", "receiver", "guilty"), [(True, False, [0]), (False, True, [1]), (True, True, [0, 1]), (False, False, [])]
)
def test_verdict_blames_the_hops_it_names(sender: bool, receiver: bool, guilty: list[int]) -> None:
    session = after(opened(), posted(0), complained(1), judged(1, sender, receiver))
    assert session.phase is QueryPhase.INTERRUPTED
    assert session.is_open
    unsettled = (Fault(Attempt(1), Hop(1), FaultKind.UNSETTLED),)
    assert session.faults == (tuple(Fault(Attempt(1), Hop(hop), FaultKind.GUILTY) for hop in guilty) or unsettled)
    assert session.trail == digest(85)
    assert session.history == (posted(0), complained(1), judged(1, sender, receiver))


def test_timeout_blames_the_hop_that_was_due() -> None:
    session = after(opened(), posted(0), HopTimedOut(QueryId(1), Attempt(1), Hop(1), 100))
    assert session.phase is QueryPhase.INTERRUPTED
    assert session.faults == (Fault(Attempt(1), Hop(1), FaultKind.SILENT),)
    assert session.trail == posted(0).trail


def test_withdrawn_query_is_closed() -> None:
    session = after(opened(), QueryWithdrawn(QueryId(1)))
    assert session.phase is QueryPhase.WITHDRAWN
    assert not session.is_open


@pytest.mark.parametrize("phase", list(QueryPhase))
def test_open_queries_are_those_that_can_still_be_answered(phase: QueryPhase) -> None:
    ended = {QueryPhase.NONE, QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN}
    assert replace(after(), phase=phase).is_open is (phase not in ended)


def test_second_attempt_keeps_the_accepted_updates() -> None:
    resumed = QueryResumed(QueryId(1), Attempt(2), Attempt(1), Hop(1))
    session = after(opened(), posted(0), posted(1)).apply(opened(attempt=2, first_hop=2), LATER).apply(resumed, LATER)
    assert (session.attempt, session.next_hop, session.phase) == (2, 2, QueryPhase.ROUTED)
    assert session.updates == {0: posted(0), 1: posted(1)}
    assert session.trail == posted(1).trail
    assert session.arrangements == {1: 4, 2: 5}
    assert session.arrangement == 5


def test_number_of_hops_stays_that_of_the_route() -> None:
    larger = replace(LATER, seats=9)
    session = after(opened()).apply(posted(0), larger).apply(posted(1), larger)
    assert (session.hops, session.arrangement) == (SEATS, 4)
    assert session.apply(posted(2), larger).phase is QueryPhase.COMPUTED


def test_route_of_another_length_computes_after_its_own_last_hop() -> None:
    shorter = replace(NOW, seats=2)
    session = Session.submitted(submitted()).apply(opened(), shorter)
    assert session.apply(posted(0), shorter).phase is QueryPhase.ROUTED
    assert session.apply(posted(0), shorter).apply(posted(1), shorter).phase is QueryPhase.COMPUTED


def test_session_of_before_does_not_change() -> None:
    before = after(opened())
    after_update = before.apply(posted(0), NOW)
    assert before.updates == {}
    assert before.next_hop == 0
    with pytest.raises(FrozenInstanceError):
        after_update.next_hop = Hop(5)  # type: ignore[misc]
    updates: Any = after_update.updates
    with pytest.raises(TypeError):
        updates[Hop(0)] = posted(1)


def test_event_of_another_kind_is_refused() -> None:
    foreign: Any = submitted(2)
    with pytest.raises(ProtocolError, match="query 1: an event of another kind"):
        after(foreign)


def test_delivery_is_the_message_that_was_signed() -> None:
    message = delivered().delivery(digest(77))
    assert (message.query, message.attempt, message.answer) == (1, 1, digest(50))
    assert (message.output, message.trail) == (digest(51), digest(77))
    assert ZERO not in (message.answer, message.output)


# ---------------------------------------------------------------- what is shown to the ledger


def time_of(block: int) -> int:
    """A block a minute."""
    return 1_000 + 60 * block


def shown(session: Session) -> QueryState:
    return session.state(time_of)


def test_submitted_query_is_shown_with_the_time_it_was_asked() -> None:
    session = Session.submitted(submitted(), block=3)
    assert shown(session) == QueryState(
        QueryPhase.SUBMITTED, Attempt(0), Hop(0), 0, 0, time_of(3), NO_ROUTE, NO_OUTPUT, submitted().trail
    )
    assert session.question(time_of) == Question(submitted().sealed_input, submitted().sealing_key, time_of(3))


def test_routed_query_is_shown_with_the_last_step() -> None:
    session = after(opened()).apply(posted(0), LATER)
    assert shown(session) == QueryState(
        QueryPhase.ROUTED,
        Attempt(1),
        Hop(1),
        ITEMS,
        2,
        time_of(9),
        posted(0).signed.next_route,
        posted(0).signed.update.next_output,
        posted(0).trail,
    )


def test_question_keeps_its_time_whatever_happens() -> None:
    session = Session.submitted(submitted(), block=3).apply(opened(), NOW).apply(posted(0), LATER)
    assert session.question(time_of).submitted_at == time_of(3)


def test_computed_query_has_no_deadline_any_more() -> None:
    """The ledger forgets the time with the last hop: complaint, verdict and rejection then show none either."""
    session = after(opened(), posted(0), posted(1), posted(2))
    assert shown(session).touched_at == 0
    assert shown(session.apply(complained(3), LATER)).touched_at == 0
    assert shown(session.apply(delivered(), LATER)).touched_at == 0
    assert shown(after(opened(), posted(0), posted(1))).touched_at == time_of(7)


def test_complaint_and_verdict_and_timeout_do_not_touch_the_time() -> None:
    session = after(opened(), posted(0))
    for event in (complained(1), HopTimedOut(QueryId(1), Attempt(1), Hop(1), 100)):
        assert shown(session.apply(event, LATER)).touched_at == time_of(7)
    judged_later = session.apply(complained(1), LATER).apply(judged(1, True, False), LATER)
    assert shown(judged_later).touched_at == time_of(7)


def test_contradiction_is_shown_with_the_expected_output_and_the_time_of_the_lie() -> None:
    session = after(opened(), posted(0)).apply(posted(1), LATER).apply(disputed(1), LATER)
    state = shown(session)
    assert (state.phase, state.hop, state.expected_output) == (QueryPhase.DISPUTED, 1, disputed(1).expected)
    assert state.touched_at == time_of(9)
    assert state.route == posted(1).signed.next_route
    assert state.trail == mark_trail(posted(1).trail, VIOLATION)


def test_contradicting_last_hop_keeps_its_time_and_a_contradicting_delivery_has_none() -> None:
    """The hop is due again, but no hop is after the last one."""
    hops = (opened(), posted(0), posted(1), posted(2))
    assert shown(after(*hops, disputed(2))).touched_at == time_of(7)
    assert shown(after(*hops, delivered(), disputed(3))).touched_at == 0


def test_resumed_attempt_expects_what_its_anchor_expects() -> None:
    resumed = QueryResumed(QueryId(1), Attempt(2), Attempt(1), Hop(0))
    session = after(opened(), posted(0), posted(1)).apply(opened(attempt=2, first_hop=1), LATER)
    assert session.expected_output == ZERO
    session = session.apply(resumed, LATER)
    assert session.expected_output == posted(0).signed.update.next_output
    assert shown(session).touched_at == time_of(9)


def test_resumed_attempt_takes_the_anchor_of_the_attempt_that_is_named() -> None:
    second = posted(0, attempt=2, next_output=digest(99))
    session = after(opened(), posted(0), opened(attempt=2), second, opened(attempt=3, first_hop=1))
    for attempt, expected in ((1, posted(0).signed.update.next_output), (2, digest(99))):
        resumed = QueryResumed(QueryId(1), Attempt(3), Attempt(attempt), Hop(0))
        assert session.apply(resumed, LATER).expected_output == expected


def test_resumed_attempt_after_a_hop_that_nobody_posted_is_refused() -> None:
    with pytest.raises(ProtocolError, match="query 1: resumed after hop 1, which was not posted"):
        after(opened(), posted(0), QueryResumed(QueryId(1), Attempt(2), Attempt(1), Hop(1)))


def test_attempt_from_the_start_expects_nothing() -> None:
    session = after(opened(), posted(0), opened(attempt=2))
    assert (session.expected_output, session.trail) == (ZERO, posted(0).trail)
    assert session.history == (posted(0),)


def test_route_under_another_model_leaves_a_mark() -> None:
    renewed = replace(LATER, model_version=3)
    session = after(opened(), posted(0)).apply(opened(attempt=2), renewed)
    assert session.trail == mark_trail(posted(0).trail, RENEWAL)
    assert session.history == (posted(0), opened(attempt=2))
    assert shown(session).model_version == 3


def test_first_route_leaves_no_mark_whatever_the_model() -> None:
    session = after(opened())
    assert (session.trail, session.history, session.model_version) == (submitted().trail, (), 2)
