"""The node or the store goes away in mid-query and comes back: actors wait, and nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepring_chain.types import QueryId, RingMode
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring on a node that keeps its chain in a file, at a port that it can come back to."""
    path = tmp_path_factory.mktemp("outages")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keeps = ("--state", str(path / "chain.json"))
    with running_ring(path / "ring", tiny_model(), port=port, extra=keeps, arrange_every=100) as live:
        yield live


@contextmanager
def held_at_worker_2(ring: LiveRing, images: NDArray[np.uint8]) -> Iterator[QueryId]:
    """A query that cannot pass worker 2 while the block lasts, for certain."""
    ring.await_mode(RingMode.QUERY)
    os.kill(ring.pid("worker-2"), signal.SIGSTOP)
    try:
        query = ring.querent().submit(images)
        ring.await_session(query, lambda session: session.next_hop == 2)
        yield query
    finally:
        os.kill(ring.pid("worker-2"), signal.SIGCONT)


def is_waiting_for_an_answer(ring: LiveRing) -> bool:
    """Whether there is a request that the node has not read: its bytes wait in a socket that the node listens at."""
    port = f"0100007F:{ring.devnet.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(queued.partition(":")[2], 16) for _, local, _, _, queued, *_ in rows if local == port)


def log_lines(ring: LiveRing, name: str, level: str) -> list[str]:
    return [line for line in (ring.folder.logs / f"{name}.log").read_text().splitlines() if f" {level} " in line]


def test_ring_goes_on_after_the_node_was_stopped_and_started_again(ring: LiveRing) -> None:
    images = random_images(3)
    with held_at_worker_2(ring, images) as query:
        ring.devnet.stop()
        wait_until(lambda: log_lines(ring, "worker-1", "ERROR"), "worker-1 notices")
        ring.devnet.start()
    assert wait_for(ring.querent(), query).output == ring.plain_output(images)
    assert ring.ask(images).output == ring.plain_output(images)
    assert ring.audit().failure is None
    (complaint,) = log_lines(ring, "worker-1", "ERROR")
    assert "no node answers" in complaint


def test_ring_goes_on_after_the_node_hung(ring: LiveRing) -> None:
    images = random_images(3)
    with held_at_worker_2(ring, images) as query:
        os.kill(ring.devnet.process_id, signal.SIGSTOP)
        os.kill(ring.pid("worker-2"), signal.SIGCONT)
        wait_until(lambda: is_waiting_for_an_answer(ring), "worker-2 asks the node")
        os.kill(ring.devnet.process_id, signal.SIGCONT)
    assert wait_for(ring.querent(), query).output == ring.plain_output(images)


def test_ring_goes_on_after_the_store_was_away_and_complains_once(ring: LiveRing) -> None:
    images = random_images(3)
    store = ring.folder.path / "store"
    before = log_lines(ring, "worker-2", "ERROR")
    with held_at_worker_2(ring, images) as query:
        store.rename(store.with_name("away"))
        os.kill(ring.pid("worker-2"), signal.SIGCONT)
        wait_until(lambda: len(log_lines(ring, "worker-2", "ERROR")) > len(before), "worker-2 complains")
        assert ring.session(query).next_hop == 2
        store.with_name("away").rename(store)
    assert wait_for(ring.querent(), query).output == ring.plain_output(images)
    (complaint,) = log_lines(ring, "worker-2", "ERROR")[len(before) :]
    assert "there is no store at" in complaint
