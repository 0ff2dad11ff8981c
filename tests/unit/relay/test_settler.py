"""What the ouroboros settles, when, and what happens when the ledger does not take it."""

from __future__ import annotations

from dataclasses import replace

from deepring_chain.actors.relay.settler import BYTES_PER_HOP, BYTES_PER_QUERY, GATHER_SECONDS, MOST_BYTES
from deepring_chain.chain.errors import LedgerReverted, NodeUnreachable
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryId
from tests.unit.relay.relay_script import HOPS, digest, relayed
from tests.unit.relay.settler_script import HOP_SECONDS, Scene


def test_query_is_settled_at_once_when_no_other_is_computed() -> None:
    scene = Scene(1)
    assert scene.act() == []
    scene.finish(1)
    assert scene.act() == [1]
    (part,) = scene.client.parts
    assert part.updates is not None
    assert part.delivery is not None
    assert len(part.updates[1]) == HOPS
    assert part.delivery[0].touched_at == 0


def test_finished_queries_wait_for_others_but_not_for_long() -> None:
    scene = Scene(3)
    scene.finish(1, 3)
    assert scene.act() == []
    scene.now = GATHER_SECONDS
    assert scene.act() == [1, 3]
    assert scene.client.settled == [[1, 3]]


def test_settlement_is_not_sent_again_before_the_ledger_was_read() -> None:
    scene = Scene(1)
    scene.finish(1)
    assert scene.act() == [1]
    assert scene.act() == []
    scene.sessions = [replace(scene.sessions[0], trail=digest(99))]
    assert scene.act() == []


def test_settlement_that_does_not_show_on_the_ledger_is_sent_again() -> None:
    scene = Scene(1)
    scene.finish(1)
    assert scene.act() == [1]
    assert scene.act() == []
    scene.now = 60.0
    assert scene.act() == [1]


def test_one_query_that_the_ledger_refuses_holds_up_no_other() -> None:
    scene = Scene(3)
    scene.client.refused[QueryId(2)] = LedgerReverted("UnexpectedState", {"query": 2})
    scene.finish(1, 2, 3)
    assert scene.act() == [1, 3]
    assert scene.client.settled == [[1], [3]]


def test_node_that_is_away_loses_nothing() -> None:
    scene = Scene(1)
    scene.client.refused[QueryId(1)] = NodeUnreachable("away")
    scene.finish(1)
    assert scene.act() == []
    del scene.client.refused[QueryId(1)]
    assert scene.act() == []
    scene.now = 60.0
    assert scene.act() == [1]


def test_hops_that_stand_still_are_settled_without_an_answer() -> None:
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, 2)
    assert scene.act() == []
    scene.now = HOP_SECONDS / 6 + 0.1
    assert scene.act() == [1]
    (part,) = scene.client.parts
    assert part.delivery is None
    assert part.updates is not None
    assert len(part.updates[1]) == 2


def test_answer_over_an_older_history_is_not_delivered() -> None:
    scene = Scene(1)
    scene.finish(1)
    view = scene.hops.view(scene.sessions[0])
    assert scene.settler.holds(view)
    assert not scene.settler.holds(replace(view, trail=digest(3)))


def test_answer_alone_is_delivered_where_the_ledger_has_all_hops() -> None:
    scene = Scene(1)
    scene.finish(1)
    scene.sessions = [scene.hops.view(scene.sessions[0])]
    assert scene.act() == [1]
    assert scene.client.parts[0].updates is None


def test_transaction_is_cut_where_a_node_would_refuse_its_size() -> None:
    per_query = BYTES_PER_QUERY + HOPS * BYTES_PER_HOP
    fitting = MOST_BYTES // per_query
    scene = Scene(fitting + 5)
    scene.finish(*range(1, fitting + 6))
    assert len(scene.act()) == fitting
    assert len(scene.act()) == 5


def test_ended_queries_are_forgotten() -> None:
    scene = Scene(1)
    scene.finish(1)
    view: Session = scene.hops.view(scene.sessions[0])
    scene.sessions = []
    scene.act()
    assert not scene.settler.holds(view)
