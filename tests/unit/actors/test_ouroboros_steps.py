"""What the ouroboros begins, for which queries and when, with and without a settler, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.actors import member as member_module
from deepring_chain.actors.lanes import SHORTEST_PAUSE, Bell
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.actors.ouroboros.ouroboros import TIMEOUT_RETRY_SECONDS
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.decide.hop import Received
from deepring_chain.protocol.decide.serving import MAX_ATTEMPTS, Deed, Judge, Question, ReadInput, next_action
from deepring_chain.protocol.session import Session
from deepring_chain.types import Attempt, QueryId, QueryPhase, RejectReason, RingMode
from tests.unit.actors.fake_ring import IMAGES, FakeRing, ask_up_to, client_of, session_of
from tests.unit.actors.test_tracker import flip_in_ouroboros
from tests.waiting import FOREVER


class Settler:
    """Notes what it is given, and holds one answer."""

    def __init__(self) -> None:
        self.asked: list[set[QueryId]] = []
        self.held: list[tuple[QueryId, Any]] = []

    def act(self, sessions: list[Session]) -> None:
        self.asked.append({session.query for session in sessions})

    def holds(self, session: Session) -> bool:
        return any(query == session.query for query, _ in self.held)

    def hold(self, session: Session, delivery: Any, _signature: bytes) -> None:
        self.held.append((session.query, delivery))


@pytest.fixture
def settler(ring: FakeRing) -> Settler:
    found: Any = Settler()
    ring.ouroboros._settler = found
    return found  # type: ignore[no-any-return]


def due(ring: FakeRing, session: Session, *, may_open: bool = True) -> Question | Deed | None:
    """What the ouroboros begins for a query."""
    return next_action(ring.ouroboros.service_of(session, may_open=may_open))


def calls(ring: FakeRing, name: str) -> list[str]:
    return [call for call in client_of(ring.members[0]).calls if call.startswith(name)]


# ---------------------------------------------------------------- with a settler


def test_answer_is_held_for_the_settler_and_not_delivered_by_itself(ring: FakeRing, settler: Settler) -> None:
    query = ask_up_to(ring, 3)
    ring.settle()
    assert [held for held, _ in settler.held] == [query]
    assert calls(ring, "deliver") == []
    assert session_of(ring, query).phase is QueryPhase.COMPUTED
    ring.members[0].follower.refresh()
    assert due(ring, session_of(ring, query)) is None


def test_settler_is_asked_in_every_turn_in_which_the_ring_is_authentic(ring: FakeRing, settler: Settler) -> None:
    ring.step(0)
    ring.step(0)
    assert ring.members[0].state.mode is RingMode.ATTESTING
    assert settler.asked == []
    ring.settle()
    assert set() in settler.asked
    query = ring.ask()
    ring.settle()
    assert settler.asked[-1] == {query}


def test_answer_is_delivered_at_once_without_a_settler(ring: FakeRing) -> None:
    query = ask_up_to(ring, 3)
    ring.settle()
    assert calls(ring, "deliver") == [f"deliver {query}"]


# ---------------------------------------------------------------- which step


def test_query_waits_for_the_arrangement_that_is_due(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.members[0].follower.refresh()
    session = session_of(ring, query)
    assert due(ring, session) == ReadInput()
    assert due(ring, session, may_open=False) is None
    request_arrangement(ring.folder / "0")
    ring.step(0)
    assert calls(ring, "open_route") == []


@pytest.mark.parametrize("mode", sorted(set(RingMode) - {RingMode.QUERY}), ids=lambda mode: mode.name)
def test_dispute_alone_is_served_while_the_ring_is_not_authentic(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, mode: RingMode
) -> None:
    session = session_of(ring, ask_up_to(ring, 1))
    ring.members[0].follower.refresh()
    monkeypatch.setattr(type(ring.members[0].state), "mode", mode)
    begun = {phase: due(ring, replace(session, phase=phase)) for phase in QueryPhase}
    assert {phase: action for phase, action in begun.items() if action is not None} == {QueryPhase.DISPUTED: Judge()}


def test_query_that_failed_too_often_is_rejected(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.members[0].follower.refresh()
    sessions = ring.members[0].state.sessions
    sessions[query] = replace(sessions[query], attempt=Attempt(MAX_ATTEMPTS))
    ring.ledger.state.sessions[query] = sessions[query]
    ring.ouroboros.act()
    assert calls(ring, "reject_query") == [f"reject_query {query} {RejectReason.RING_FAULTY.name}"]
    assert calls(ring, "open_route") == []


def test_refusal_that_is_not_because_the_ledger_moved_on_goes_through(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise LedgerReverted("NotOuroboros", {})

    monkeypatch.setattr(client_of(ring.members[0]), "arrange", refuse)
    with pytest.raises(LedgerReverted, match="NotOuroboros"):
        ring.step(0)


def test_query_for_which_nothing_is_due_begins_no_turn(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    ring.members[0].follower.refresh()
    ring.ouroboros.lanes.keep_only(set())
    assert not ring.ouroboros.act()
    assert ring.ouroboros.lanes._lanes == {}
    assert session_of(ring, query).next_hop == 2


@pytest.mark.parametrize("moves", [(True, False), (False, True), (False, False)], ids=str)
def test_ouroboros_has_acted_if_any_query_has_moved(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, moves: tuple[bool, bool]
) -> None:
    ring.settle()
    queries = [ring.ask(), ring.ask()]
    ring.members[0].follower.refresh()
    moved = dict(zip(queries, moves, strict=True))
    monkeypatch.setattr(ring.ouroboros, "_begin", lambda session, **_: moved[session.query])
    assert ring.ouroboros.act() is any(moves)


def test_turn_under_way_is_left_alone(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hop's time is not called over while it runs: that is called once, and tried again a second later."""
    session = session_of(ring, ask_up_to(ring, 2))
    ring.members[0].follower.refresh()
    monkeypatch.setattr(ring.ouroboros.lanes, "is_free", lambda _session: False)
    ring.ouroboros._waiting.clear()
    assert not ring.ouroboros._begin(session, may_open=True)
    assert ring.ouroboros._waiting == {}


def test_hop_0_and_the_delivery_are_timed_as_turns(ring: FakeRing) -> None:
    query = ask_up_to(ring, 3)
    ring.settle()
    turns = ring.members[0].metrics.timings.plain()
    assert [(turn["query"], turn["hop"]) for turn in turns] == [(query, 0), (query, 4)]


def test_refused_hop_0_is_reported_unless_it_comes_too_late(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LedgerReverted("WrongSigner", {})

    ring.settle()
    ring.ask()
    monkeypatch.setattr(client_of(ring.members[0]), "post", refuse)
    with pytest.raises(LedgerReverted, match="WrongSigner"):
        ring.settle()
    assert calls(ring, "time_out") == []


# ---------------------------------------------------------------- timeouts


def test_timeout_is_called_once_a_while_and_only_after_the_hops_time(ring: FakeRing) -> None:
    session = session_of(ring, ask_up_to(ring, 2))
    owner, seconds = ring.ouroboros, client_of(ring.members[0]).hop_seconds
    answers = []
    for pause in (0, seconds, 0.5, TIMEOUT_RETRY_SECONDS / 2, TIMEOUT_RETRY_SECONDS, seconds):
        ring.now += pause
        answers.append(owner._is_overdue(session))
    assert answers == [False, False, True, False, True, True]


def test_progress_begins_the_hops_time_anew(ring: FakeRing) -> None:
    session = session_of(ring, ask_up_to(ring, 2))
    owner, seconds = ring.ouroboros, client_of(ring.members[0]).hop_seconds
    assert not owner._is_overdue(session)
    ring.now += seconds + 1
    assert not owner._is_overdue(replace(session, touched_block=session.touched_block + 1))
    ring.now += seconds + 1
    assert owner._is_overdue(replace(session, touched_block=session.touched_block + 1))


@pytest.mark.parametrize("what", ["timeout", "complaint"])
def test_nobody_is_blamed_before_the_ledger_knows_all(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    session, owner = session_of(ring, ask_up_to(ring, 2)), ring.ouroboros
    asked: list[QueryId] = []

    def settle_first(held: Session) -> bool:
        asked.append(held.query)
        return True

    monkeypatch.setattr(ring.members[0].posting, "settle_first", settle_first)
    monkeypatch.setattr(ring.members[0].posting, "is_ahead", lambda _held: True)
    before = list(client_of(ring.members[0]).calls)
    late = replace(owner.service_of(session, may_open=True), is_overdue=True)
    useless = replace(late, session=replace(session, phase=QueryPhase.COMPUTED), received=Received())
    assert owner._pursue(late if what == "timeout" else useless)
    assert asked == [session.query]
    assert client_of(ring.members[0]).calls == before
    assert list(ring.members[0].journal.keys("complaint/")) == []


def test_hop_0_that_is_refused_while_its_lane_rests_is_called_over_when_it_is_tried_again(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop looks more often than a lane tries: what it asks in between must not use up the call."""

    def refuse(*_: Any) -> None:
        raise LedgerReverted("UnexpectedState", {})

    ring.settle()
    query, owner, lanes, bell = ring.ask(), ring.ouroboros, ring.ouroboros.lanes, Bell()
    monkeypatch.setattr(client_of(ring.members[0]), "post", refuse)
    monkeypatch.setattr(lanes, "_clock", lambda: ring.now)
    ring.step(0)
    session = session_of(ring, query)
    assert (session.phase, session.next_hop) == (QueryPhase.ROUTED, 0)
    ring.members[0].follower.refresh()
    with lanes.opened(bell, 1):
        for pause in (0, client_of(ring.members[0]).hop_seconds, SHORTEST_PAUSE, SHORTEST_PAUSE * 2):
            ring.now += pause
            owner.act()
            while not lanes.is_quiet:
                bell.wait(FOREVER)
                lanes.settle()
    assert calls(ring, "time_out") == [f"time_out {query}"]


# ---------------------------------------------------------------- its own part


def test_own_layer_that_changed_since_it_attested_is_loaded_again_before_hop_0(ring: FakeRing) -> None:
    """Else it would announce a false output, and hop 1, which is honest, would contradict it."""
    ring.settle()
    flip_in_ouroboros(ring)
    query = ring.ask()
    ring.settle()
    assert session_of(ring, query).faults == ()
    result = ring.querent.wait(query, 0, lambda _session, _mode: None)
    assert result.output == ring.model.run(ring.model.card.quantise_input(IMAGES))


def test_nothing_of_ended_queries_is_kept(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    ring.step(0)
    assert set(ring.ouroboros._waiting) == {query}
    ring.settle()
    ring.ouroboros.act()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert ring.ouroboros._waiting == {}
    assert ring.ouroboros.lanes._lanes == {}
    assert list(ring.members[0].journal.keys("input/")) == []


# ---------------------------------------------------------------- every member's keys


def test_keys_that_an_open_query_needs_are_kept(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first attempt was sealed to them, and a later one may go on from it."""
    monkeypatch.setattr(member_module, "KEPT_ARRANGEMENTS", 0)
    query = ask_up_to(ring, 2)
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.step(0)
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.step(0)
    assert session_of(ring, query).phase is QueryPhase.INTERRUPTED
    for _ in range(8):
        for index in (0, 1, 2, 3):
            if session_of(ring, query).phase is QueryPhase.INTERRUPTED:
                ring.step(index)
    members: list[Member] = ring.members
    assert members[0].arranged().arranged.arrangement == 2
    assert [sorted(member.journal.keys("sealing-key/")) for member in members] == [
        ["sealing-key/1", "sealing-key/2"]
    ] * 4
    ring.settle()
    ring.ask()
    ring.settle()
    assert all("sealing-key/1" not in member.journal.keys("sealing-key/") for member in members)


def test_ring_that_is_not_arranged_has_no_keys_to_forget(ring: FakeRing) -> None:
    ring.members[1].forget_old_keys()
    assert list(ring.members[1].journal.keys("sealing-key/")) == []


def test_posting_is_told_which_queries_have_ended(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(ring.members[1].posting, "forget_ended", told.append)
    ring.members[1].open_sessions()
    assert told == [ring.members[1].state]
