"""An actor that vanished and cannot start at once comes back by itself when it can."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from assurance.faults.disk import allow_writing, forbid_writing
from deepring_chain.ring.running import HostRecord
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring that starts again what vanishes."""
    path = tmp_path_factory.mktemp("returns")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keeps = ("--state", str(path / "chain.json"))
    with running_ring(path / "ring", tiny_model(), port=port, extra=keeps, arrange_every=100) as live:
        live.restart_all(restarts=True)
        yield live


def host_of(ring: LiveRing) -> int:
    record = HostRecord.read(ring.folder.path)
    assert record is not None
    return record.pid


def vanish(ring: LiveRing, name: str) -> None:
    """kill -9, and a start that fails."""
    os.kill(ring.pid(name), signal.SIGKILL)
    ring.await_state(name, "failed")


def assert_serves(ring: LiveRing, name: str) -> None:
    ring.await_state(name, "ready")
    images = random_images(2, seed=9)
    assert ring.ask(images).output == ring.plain_output(images)


def test_actor_that_vanished_while_the_node_was_away_comes_back_with_it(ring: LiveRing) -> None:
    ring.devnet.stop()
    vanish(ring, "worker-1")
    ring.devnet.start()
    assert_serves(ring, "worker-1")


def test_actor_that_vanished_while_the_disk_was_full_comes_back_with_the_space(ring: LiveRing) -> None:
    """Nothing that the host writes ends it, and with it all the others."""
    host = host_of(ring)
    forbid_writing([host])
    vanish(ring, "worker-2")
    assert host_of(ring) == host
    assert ring.processes.is_alive()
    allow_writing([host])
    assert_serves(ring, "worker-2")
