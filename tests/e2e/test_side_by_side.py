"""Several queries in one ring: none holds up another, and they share the blocks of a chain that has few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.connection import connect
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import QueryId, RingMode
from tests.e2e.incidents import order
from tests.e2e.live_ring import ROOT, LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

IN_FLIGHT = 8


def submit_all(ring: LiveRing, count: int) -> list[QueryId]:
    querent = ring.querent()
    return [querent.submit(random_images(1, seed=number)) for number in range(count)]


def assert_all_right(ring: LiveRing, queries: list[QueryId]) -> None:
    querent = ring.querent()
    for number, query in enumerate(queries):
        assert wait_for(querent, query).output == ring.plain_output(random_images(1, seed=number))


def test_slow_query_does_not_delay_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is in the midst of one query's turn; the queries that come after it are answered meanwhile."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with running_ring(tmp_path / "ring", tiny_model(), arrange_every=100, host_module="tests.e2e.slow_host") as ring:
        folder = ring.folder.path / "worker-2"
        (folder / "hold-1").touch()
        slow = submit_all(ring, 1)
        wait_until((folder / "held-1").exists, "worker-2 is held at query 1")
        others = submit_all(ring, 4)
        assert_all_right(ring, others)
        assert ring.session(slow[0]).is_open
        assert ring.session(slow[0]).next_hop == 2
        (folder / "hold-1").unlink()
        assert_all_right(ring, slow)
        assert ring.session(slow[0]).attempt == 1


def test_disputed_query_does_not_harm_those_beside_it(tmp_path: Path) -> None:
    """One of six in flight meets a liar, who lies once: that one is tried again, and all answers are right."""
    with running_ring(tmp_path / "ring", tiny_model(), arrange_every=100, host_module="deepring_chain.attacks") as ring:
        order(ring, "worker-2", Lie.PERTURBED_INPUT)
        queries = submit_all(ring, 6)
        assert_all_right(ring, queries)
        faults = [fault for query in queries for fault in ring.session(query).faults]
        assert [fault.kind for fault in faults] == [FaultKind.GUILTY]
        assert ring.audit().failure is None


def test_hops_of_all_queries_progress_in_the_same_blocks(tmp_path: Path) -> None:
    """A block is mined once each query's next entry waits for it. One after the other, so many never would."""
    with running_ring(tmp_path / "ring", tiny_model(), arrange_every=100) as ring:
        ring.await_mode(RingMode.QUERY)
        hops = len(ring.names)
        with mined_by_hand(ring) as mine, ThreadPoolExecutor(1) as thread:
            asked = thread.submit(submit_all_at_once, ring)
            for _ in range(hops + 3):  # the questions, their routes, the hops, the answers
                mine()
            queries = asked.result()
        assert_all_right(ring, queries)
        blocks = blocks_of_updates(ring)
    assert len(blocks) == IN_FLIGHT * hops
    assert len(set(blocks)) == hops


@contextmanager
def mined_by_hand(ring: LiveRing) -> Iterator[Callable[[], None]]:
    """No block comes by itself; gives what mines one when there is an entry of each query."""
    web3 = connect(ring.devnet.url)

    def call(method: str, *arguments: object) -> Any:
        return web3.provider.make_request(RPCEndpoint(method), list(arguments))["result"]

    def mine() -> None:
        wait_until(lambda: int(call("txpool_status")["pending"], 16) >= IN_FLIGHT, "an entry of each query")
        call("evm_mine")

    call("evm_setAutomine", False)
    try:
        yield mine
    finally:
        call("evm_setAutomine", True)


def submit_all_at_once(ring: LiveRing) -> list[QueryId]:
    """As so many querents would: each waits for its own receipt alone."""
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        querent = ring.querent()
        images = [random_images(1, seed=number) for number in range(IN_FLIGHT)]
        return list(threads.map(querent.submit, images))


def blocks_of_updates(ring: LiveRing) -> list[int]:
    client = ring.client()
    logged = client.events(ring.deployment.first_block, client.head().number)
    return [entry.block_number for entry in logged if isinstance(entry.event, UpdatePosted)]
