"""What the ouroboros settles, when, and what happens when the ledger does not take it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relay_script import DOMAIN, HOPS, digest, relayed, routed

from deepring_chain.actors.settler import BYTES_PER_HOP, BYTES_PER_QUERY, GATHER_SECONDS, MOST_BYTES, Settler
from deepring_chain.chain.errors import LedgerReverted, NodeUnreachable
from deepring_chain.chain.settlement import Settlement
from deepring_chain.errors import ChainError
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.session import Session
from deepring_chain.types import Delivery, QueryId

HOP_SECONDS = 60


@dataclass
class ScriptedClient:
    """A ledger that takes settlements, but for those of some queries."""

    refused: dict[QueryId, ChainError] = field(default_factory=dict)
    settled: list[list[QueryId]] = field(default_factory=list)
    parts: list[Settlement] = field(default_factory=list)
    hop_seconds: int = HOP_SECONDS

    def block_time(self, number: int) -> int:
        return number

    def settle(self, settlements: Sequence[Settlement]) -> dict[str, int]:
        queries = [_query(each) for each in settlements]
        for query in queries:
            if query in self.refused:
                raise self.refused[query]
        self.settled.append(queries)
        self.parts.extend(settlements)
        return {"gasUsed": 1}


def _query(settlement: Settlement) -> QueryId:
    if settlement.updates is not None:
        return settlement.updates[1][0].update.query
    assert settlement.delivery is not None
    return settlement.delivery[1].query


class Scene:
    """A settler, over queries whose hops are relayed by hand."""

    def __init__(self, queries: int) -> None:
        self.now, self.ended = 0.0, threading.Semaphore(0)
        self.client, self.hops = ScriptedClient(), RelayedHops(DOMAIN)
        self.sessions = [routed(query) for query in range(1, queries + 1)]
        client: Any = self.client
        self.settler = Settler(client, self.hops, self.ended.release, lambda: self.now)

    def finish(self, *queries: int) -> None:
        """All hops and the answer of these queries are there."""
        for query in queries:
            view = relayed(self.sessions[query - 1], self.hops, HOPS)
            self.settler.hold(view, Delivery(view.query, view.attempt, digest(1), digest(2), view.trail), bytes(65))

    def act(self) -> list[QueryId]:
        """One turn of the main loop; which queries it settled."""
        before = len(self.client.settled)
        if self.settler.act(self.sessions):
            assert self.ended.acquire(timeout=10)
        return [query for batch in self.client.settled[before:] for query in batch]


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
