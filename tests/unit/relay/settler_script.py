"""A settler over a scripted ledger, a scripted clock and hops that are relayed by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deepring_chain.actors.relay.settler import Settler
from deepring_chain.chain.settlement import Settlement
from deepring_chain.errors import ChainError
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.types import Delivery, QueryId
from tests.unit.relay.relay_script import DOMAIN, HOPS, digest, relayed, routed

HOP_SECONDS = 60


@dataclass
class ScriptedClient:
    """A ledger that takes settlements while its gate is open, but for those of some queries."""

    refused: dict[QueryId, ChainError] = field(default_factory=dict)
    settled: list[list[QueryId]] = field(default_factory=list)
    timed_out: list[tuple[QueryId, QueryState]] = field(default_factory=list)
    no_timeout: ChainError | None = None
    parts: list[Settlement] = field(default_factory=list)
    hop_seconds: int = HOP_SECONDS
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def block_time(self, number: int) -> int:
        return number

    def settle(self, settlements: Sequence[Settlement]) -> dict[str, int]:
        self.gate.wait()
        queries = [_query(each) for each in settlements]
        for query in queries:
            if query in self.refused:
                raise self.refused[query]
        self.settled.append(queries)
        self.parts.extend(settlements)
        return {"gasUsed": 1}

    def time_out(self, query: QueryId, state: QueryState) -> None:
        if self.no_timeout is not None:
            raise self.no_timeout
        self.timed_out.append((query, state))


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
            assert self.ended.acquire()
        return [query for batch in self.client.settled[before:] for query in batch]
