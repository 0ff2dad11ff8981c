"""`multicall`: several calls of one sender in one transaction; all of them, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.chain.settlement import LedgerCall, Settlement
from deepring_chain.protocol.events import AnswerDelivered, QuerySubmitted, RouteOpened, UpdatePosted
from deepring_chain.types import QueryPhase, RouteLink
from tests.chain.calls import post_call
from tests.chain.expect import refused, refused_state
from tests.chain.names import named
from tests.chain.query_driver import deliver_all, settle, settle_whole
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing


@pytest.fixture
def routed(ring: ScriptedRing, querent: LocalAccount) -> list[ScriptedQuery]:
    """Three queries whose hop 0 is due."""
    return [ring.submit(querent).open_route() for _ in range(3)]


def open_call(query: ScriptedQuery, route: RouteLink | None = None) -> LedgerCall:
    return LedgerCall(
        "openRoute", (query.query, query.state.as_struct(), route or query.links[0], query.notes, query.items)
    )


def test_hops_and_answers_of_several_queries_settle_in_one_transaction(routed: list[ScriptedQuery]) -> None:
    ledger = routed[0].ring.ledger
    events = ledger.events(settle_whole(*routed))
    kinds = [type(event) for event in events]
    assert kinds == [UpdatePosted] * 12 + [AnswerDelivered] * 3
    assert [query.state.phase for query in routed] == [QueryPhase.DELIVERED] * 3
    assert [query.state.trail for query in routed] == [query.trail for query in routed]


def test_hops_and_answers_settle_in_two_transactions(routed: list[ScriptedQuery]) -> None:
    settle(*routed)
    assert [query.state.phase for query in routed] == [QueryPhase.COMPUTED] * 3
    deliver_all(*routed)
    assert [query.state.phase for query in routed] == [QueryPhase.DELIVERED] * 3


@pytest.mark.parametrize("bad", range(3))
def test_one_refused_call_takes_back_all_others(routed: list[ScriptedQuery], bad: int) -> None:
    settle(*routed)
    settlements = [Settlement(delivery=query.sign_answer()) for query in routed]
    closing = settlements[bad].delivery
    assert closing is not None
    state, delivery, signature = closing
    settlements[bad] = Settlement(delivery=(replace(state, touched_at=1), delivery, signature))
    with refused_state(routed[bad], *routed):
        routed[0].ring.owner_client.settle(settlements)


def test_refused_answer_takes_back_its_hops(routed: list[ScriptedQuery]) -> None:
    query = routed[0]
    state, updates = query.state, query.sign_run()
    _, delivery, signature = query.sign_answer(state)
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        query.ring.owner_client.settle([Settlement((state, updates), (state, delivery, signature))])
    assert query.state == state


def test_calls_are_the_senders_own(ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount) -> None:
    """Mallory has the ledger call itself: it does not become the owner by that."""
    query = ring.submit(querent)
    call = open_call(query)
    nested = LedgerCall("multicall", ([ring.ledger.encode(call)],))
    for calls in ((call, call), (nested, nested)):
        with refused("NotOuroboros", ouroboros=ring.owner.address, caller=mallory.address):
            ring.ledger.send(mallory, *calls)
    events = ring.ledger.events(ring.ledger.send(ring.owner, nested))
    assert [type(event) for event in events] == [RouteOpened]


def test_same_call_twice_in_one_transaction_counts_once(query: ScriptedQuery) -> None:
    call = post_call(query.state, query.sign(query.update()))
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        query.ring.ledger.send(query.ring.owner, call, call)
    assert query.state.hop == 0


def test_anyone_asks_several_questions_at_once(ring: ScriptedRing, querent: LocalAccount) -> None:
    calls = [LedgerCall("submitQuery", (named(f"input {number}"), named("key"))) for number in range(3)]
    events = ring.ledger.events(ring.ledger.send(querent, *calls))
    assert [event.query for event in events if isinstance(event, QuerySubmitted)] == [1, 2, 3]


def test_nothing_is_called_by_an_empty_multicall(ring: ScriptedRing, mallory: LocalAccount) -> None:
    assert list(ring.ledger.send(mallory, LedgerCall("multicall", ([],)))["logs"]) == []
