"""Several queries in one ring: none holds up another, and they share the blocks of a chain that has few."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import QueryId
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
    """A block a second, as on a public chain: eight queries take little longer than one.

    One after the other they would take a block for each of their entries.
    """
    with running_ring(tmp_path / "ring", tiny_model(), arrange_every=100, extra=["--block-time", "1"]) as ring:
        queries = submit_all_at_once(ring)
        assert_all_right(ring, queries)
        blocks = blocks_of_updates(ring)
    hops = len(ring.names)
    assert len(blocks) == IN_FLIGHT * hops
    assert len(set(blocks)) <= 3 * hops


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
