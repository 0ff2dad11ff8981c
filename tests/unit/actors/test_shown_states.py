"""Actors show the ledger the state that a query is in: after faults, after a reorganization, under a new model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.querent import withdraw_session
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.attacks.orders import LabOrder, Lie, give_order
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.errors import ChainError
from deepring_chain.follow.follower import read_session
from deepring_chain.protocol.events import OutputDisputed, RouteOpened, VerdictPosted
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryId, QueryPhase
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, client_of, session_of


def refused(client: object, session: Session) -> str:
    with pytest.raises(LedgerReverted) as caught:
        withdraw_session(client, session)  # type: ignore[arg-type]
    return caught.value.name


def register_next_model(ring: FakeRing) -> None:
    """The same parameters under another version."""
    model = ring.ledger.state.model
    assert model is not None
    ring.ledger.emit(replace(model, version=model.version + 1))


# ---------------------------------------------------------------- states


def test_state_that_is_out_of_date_is_refused(ring: FakeRing) -> None:
    """Somebody else acted meanwhile: nothing is accepted for a place that the query has left."""
    query = ask_up_to(ring, 1)
    member = ring.members[0]
    old = session_of(ring, query)
    ring.step(1)
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        member.client.time_out(query, member.shown(old))
    assert session_of(ring, query).next_hop == 2


@pytest.mark.parametrize("member", ["phase", "attempt", "hop", "model_version", "touched_at"])
def test_state_with_one_other_member_is_refused(ring: FakeRing, member: str) -> None:
    query = ask_up_to(ring, 1)
    shown = ring.members[0].shown(session_of(ring, query))
    value = QueryPhase.INTERRUPTED if member == "phase" else getattr(shown, member) + 1
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        client_of(ring.members[0]).time_out(query, replace(shown, **{member: value}))  # type: ignore[arg-type]


def test_ledger_holds_what_every_member_would_show(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle()
    held = client_of(ring.members[0]).state_of(query)
    for member in ring.members:
        member.follower.refresh()
        assert member.shown(member.state.sessions[query]).fold() == held


def test_times_of_a_chain_that_is_gone_are_not_shown(ring: FakeRing) -> None:
    """The same block number, another time: with the old one nothing would be accepted any more."""
    query = ask_up_to(ring, 2)
    height = ring.ledger.height
    before = ring.members[1].client.block_time(height)
    ring.ledger.set_back(height - 1)
    ring.ledger.now += 30
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert ring.ledger.times[height] > before


# ---------------------------------------------------------------- another model


def test_query_begins_anew_under_another_model(ring: FakeRing) -> None:
    """What the older version computed is no output to go on from, though its hops were accepted."""
    query = ask_up_to(ring, 3)
    member = ring.members[0]
    member.client.time_out(query, member.shown(session_of(ring, query)))
    register_next_model(ring)
    ring.settle()
    session = session_of(ring, query)
    assert (session.phase, session.attempt, session.model_version) == (QueryPhase.DELIVERED, 2, 2)
    assert [event.first_hop for event in session.history if isinstance(event, RouteOpened)] == [0]


def test_query_goes_on_under_the_same_model(ring: FakeRing) -> None:
    query = ask_up_to(ring, 3)
    member = ring.members[0]
    member.client.time_out(query, member.shown(session_of(ring, query)))
    ring.settle()
    session = session_of(ring, query)
    opened = [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RouteOpened)]
    assert [event.first_hop for event in opened if event.query == query] == [0, 3]
    assert not [event for event in session.history if isinstance(event, RouteOpened)]


# ---------------------------------------------------------------- withdrawals


def test_querent_withdraws_after_the_long_deadline_and_not_before(ring: FakeRing) -> None:
    query = ask_up_to(ring, 2)
    client = ring.querent._client
    session = read_session(client, 1, query)
    assert refused(client, session) == "DeadlineAhead"
    ring.ledger.now += client.withdraw_seconds
    withdraw_session(client, session)
    assert session_of(ring, query).phase is QueryPhase.WITHDRAWN
    assert refused(client, read_session(client, 1, query)) == "QueryNotOpen"


def test_nobody_else_withdraws_a_query(ring: FakeRing) -> None:
    """The ledger keeps no querent: who asked is bound into the trail's first word."""
    query = ask_up_to(ring, 2)
    ring.ledger.now += 10_000
    for member in ring.members:
        assert refused(member.client, session_of(ring, query)) == "UnexpectedTrail"


def test_question_with_an_earlier_time_is_refused(ring: FakeRing) -> None:
    """Or anybody could withdraw before the deadline."""
    query = ask_up_to(ring, 1)
    client = ring.querent._client
    session = session_of(ring, query)
    assert refused(client, replace(session, submitted_block=1)) == "UnexpectedTrail"


def test_withdrawal_shows_all_that_happened(ring: FakeRing) -> None:
    """A lie, its mark and its verdict are on the trail as well."""
    ring.settle()
    ring.replace_worker(2, LabWorker)
    give_order(ring.blocks[1].folder, LabOrder(Lie.PERTURBED_INPUT))
    query = ring.ask()
    ring.settle(3)
    session = session_of(ring, query)
    assert {OutputDisputed, VerdictPosted} <= {type(event) for event in session.history}
    assert session.phase is QueryPhase.INTERRUPTED
    ring.ledger.now += 10_000
    withdraw_session(ring.querent._client, session)
    assert session_of(ring, query).phase is QueryPhase.WITHDRAWN


def test_unknown_query_is_one_line(ring: FakeRing) -> None:
    with pytest.raises(ChainError, match="query 9: the ledger has no such query"):
        read_session(ring.querent._client, 1, QueryId(9))
