"""One process runs an actor's folder, and one `deepring up` a ring: a second one is refused before it does anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.errors import ConfigError
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.folder import DEPLOYMENT_FILE, RingFolder
from deepring_chain.ring.folder_lock import LOCK_FILE
from deepring_chain.runtime.processes import RingProcesses
from tests.e2e.command import DEEPRING, Terminal, environment, refusal, ring_up
from tests.e2e.live_ring import PASSWORD, LiveRing, await_ended, no_step, random_images, running_ring, tiny_model
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring that runs."""
    with running_ring(tmp_path_factory.mktemp("owner") / "ring", tiny_model(2), arrange_every=100) as live:
        live.ask(random_images(1))
        yield live


def run_files(ring: LiveRing) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (ring.folder.path / "run").iterdir()}


def deployment(ring: LiveRing) -> Path:
    return ring.folder.path / DEPLOYMENT_FILE


@contextmanager
def running(folder: Path, published: Path) -> Iterator[subprocess.Popen[str]]:
    """`deepring run` of one folder, until Ctrl-C."""
    process = subprocess.Popen(
        [DEEPRING, "run", str(folder), "--deployment", str(published)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "is ready as" in process.stdout.readline()
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()
        process.communicate()


def doctors_errors(terminal: Terminal, ring: Path) -> dict[str, dict[str, str]]:
    _, output, _ = terminal.run("doctor", "--json", "--ring", ring)
    found = json.loads(output)["findings"]
    return {finding["cause"]: finding for finding in found if finding["severity"] == "error"}


@pytest.mark.parametrize("name", ["ouroboros", "worker-1"])
def test_second_process_of_an_actor_is_refused_and_leaves_the_first_ones_files(
    ring: LiveRing, terminal: Terminal, name: str
) -> None:
    before, head = run_files(ring), ring.client().web3.eth.block_number
    told = terminal.refusal("run", ring.folder.path / name, "--deployment", deployment(ring))
    assert f"already run by process {ring.pid(name)};" in told
    assert run_files(ring) == before
    assert set(before) == {"host.status", "ouroboros.json", "worker-1.json", "worker-2.json"}
    assert ring.client().web3.eth.block_number == head
    assert doctors_errors(terminal, ring.folder.path) == {}


def test_second_ring_on_the_folder_is_refused_before_a_node_is_started(ring: LiveRing, terminal: Terminal) -> None:
    before, published = run_files(ring), deployment(ring).read_bytes()
    told = terminal.refusal("up", "--ring", ring.folder.path)
    assert f"{ring.folder.path}: already run by process {os.getpid()};" in told
    second = RingProcesses(ring.folder, ring.deployment, PASSWORD, ring.options)
    with pytest.raises(ConfigError, match="already run by process"):
        second.start()
    second.stop()
    assert (run_files(ring), deployment(ring).read_bytes()) == (before, published)
    assert not ring.folder.log_file("anvil").exists()


def test_killed_actor_is_started_again_by_its_host_and_then_held_by_the_new_process(
    ring: LiveRing, terminal: Terminal
) -> None:
    first = ring.pid("worker-2")
    ring.kill("worker-2")
    ring.start("worker-2")
    assert ring.pid("worker-2") != first
    told = terminal.refusal("run", ring.folder.path / "worker-2", "--deployment", deployment(ring))
    assert f"already run by process {ring.pid('worker-2')};" in told


def test_ring_is_refused_while_one_of_its_actors_is_run_by_itself(ring: LiveRing, tmp_path: Path) -> None:
    alone = RingFolder(tmp_path / "ring")
    shutil.copytree(ring.folder.path, alone.path, ignore=shutil.ignore_patterns(LOCK_FILE, "run", "logs"))
    with running(alone.path / "worker-1", deployment(ring)) as process:
        told = refusal("up", "--ring", alone.path, "--rpc", ring.devnet.url)
        assert f"{alone.path / 'worker-1'}: already run by process {process.pid};" in told


def test_second_up_is_refused_and_kill_9_of_the_first_frees_the_ring(tmp_path: Path, terminal: Terminal) -> None:
    path = tmp_path / "ring"
    init_ring(path, tiny_model(2), PASSWORD, no_step)
    first = subprocess.Popen(
        [DEEPRING, "up", "--ring", path], env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("ring is up")
        actors = {int((path / "logs" / f"{name}.pid").read_text()) for name in ("ouroboros", "worker-1", "worker-2")}
        published = (path / DEPLOYMENT_FILE).read_bytes()
        assert f"{path}: already run by process {first.pid};" in terminal.refusal("up", "--ring", path)
        assert (path / DEPLOYMENT_FILE).read_bytes() == published
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    await_ended(actors)
    with ring_up(path):
        assert doctors_errors(terminal, path) == {}
    assert list((path / "run").iterdir()) == []


def test_doctor_names_an_arrangement_of_a_copy_of_the_ouroboros(
    ring: LiveRing, terminal: Terminal, tmp_path: Path
) -> None:
    """A copy has a lock of its own: what it does is seen on the ledger."""
    assert doctors_errors(terminal, ring.folder.path) == {}
    twin = tmp_path / "twin"
    twin.mkdir()
    shutil.copy(ring.folder.path / "ring.toml", twin)
    shutil.copytree(ring.folder.ouroboros, twin / "ouroboros")
    before = arrangement(ring)
    os.kill(ring.pid("ouroboros"), signal.SIGSTOP)
    try:
        with running(twin / "ouroboros", deployment(ring)):
            request_arrangement(twin / "ouroboros")
            wait_until(lambda: arrangement(ring) > before, "the copy arranges the ring")
    finally:
        os.kill(ring.pid("ouroboros"), signal.SIGCONT)
    found = doctors_errors(terminal, ring.folder.path)["racing_arrangements"]
    assert f"Arrangement {before + 1} was not drawn by the ouroboros that runs here" in found["sentence"]
    assert "stop the other ouroboros" in found["mend"]


def arrangement(ring: LiveRing) -> int:
    current = ring.state().arrangement
    assert current is not None
    return current.arranged.arrangement


def test_doctor_names_two_processes_of_one_actor_where_the_lock_was_deleted(ring: LiveRing, terminal: Terminal) -> None:
    (ring.folder.path / "worker-1" / LOCK_FILE).unlink()
    with running(ring.folder.path / "worker-1", deployment(ring)) as second:
        found = doctors_errors(terminal, ring.folder.path)["two_owners"]
        for pid in (second.pid, ring.pid("worker-1")):
            assert str(pid) in found["sentence"]
        assert found["mend"] == f"kill {second.pid}"
    assert "worker-1.json" in run_files(ring)
