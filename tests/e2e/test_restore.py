"""Changed parameters, wherever they lie: the flag goes off, the worker and the tensor are named, all is as before."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepring_chain.attacks.bit_flip import flip_file_bit, tensor_places
from deepring_chain.model.checkpoint import load_layers
from deepring_chain.ring.folder import MODEL_FILE, PARAMS_FILE
from deepring_chain.types import QueryPhase, RingMode
from tests.e2e.incidents import (
    arrange,
    await_restored,
    flags_since,
    flip_in_file,
    flip_in_memory,
    height,
    reports_since,
    stopped,
)
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

IMAGES = random_images(2, seed=5)
Flip = tuple[str, str, bool]

FLIPS: dict[str, list[Flip]] = {
    "in memory": [("worker-2", "layer.2.weight", False)],
    "in the file": [("worker-1", "layer.1.bias", True)],
    "in the neighbor's layer": [("worker-1", "layer.2.multiplier", False)],
    "in both copies": [("worker-2", "layer.2.weight", False), ("worker-2", "layer.3.weight", False)],
    "in both holders of one layer": [("worker-2", "layer.2.bias", False), ("worker-1", "layer.2.bias", False)],
    "in several workers": [("worker-1", "layer.1.weight", True), ("worker-3", "layer.3.bias", False)],
    "in all workers": [(f"worker-{layer}", f"layer.{layer}.weight", False) for layer in (1, 2, 3)],
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("restore") / "ring"
    lab = "deepring_chain.attacks"
    with running_ring(path, tiny_model(), host_module=lab, arrange_every=100) as ring:
        yield ring


def assert_as_before(ring: LiveRing) -> None:
    """The ring answers as the plain model does, with the parameters that it began with, and the trail holds."""
    assert ring.ask(IMAGES).output == ring.plain_output(IMAGES)
    for entry in ring.folder.load_config().workers:
        own, following = load_layers(ring.folder.path / entry.name / PARAMS_FILE)
        assert own.content() == ring.model.layer(entry.layer).content()
        assert following.content() == ring.model.layer(ring.model.next_index(entry.layer)).content()
    assert ring.audit().failure is None


@pytest.mark.parametrize("flips", FLIPS.values(), ids=FLIPS.keys())
def test_flipped_bits_are_found_at_the_next_attestation_named_and_restored(lab: LiveRing, flips: list[Flip]) -> None:
    lab.await_mode(RingMode.QUERY)
    block = height(lab)
    for worker, tensor, in_file in flips:
        (flip_in_file if in_file else flip_in_memory)(lab, worker, tensor, 5)
    arrange(lab)
    workers = {worker for worker, _, _ in flips}
    await_restored(lab, block, len(workers))
    changed = {worker: ", ".join(tensor for name, tensor, _ in flips if name == worker) for worker in workers}
    assert reports_since(lab, block) == set(changed.items())
    flags = flags_since(lab, block)
    assert flags[0] is False
    assert flags[-1] is True
    assert_as_before(lab)


def test_query_asked_while_the_flag_is_off_waits_and_is_answered_right(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    block = height(lab)
    flip_in_memory(lab, "worker-2", "layer.2.weight", 9)
    querent = lab.querent()
    with stopped(lab, "worker-1"):
        arrange(lab)
        wait_until(lambda: lab.client().mode() is not RingMode.QUERY, "a new arrangement")
        query = querent.submit(IMAGES)
        other = querent.submit(IMAGES[:1])
        assert lab.session(query).phase is QueryPhase.SUBMITTED
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert wait_for(querent, other).output == lab.plain_output(IMAGES[:1])
    assert lab.session(query).attempt == 1
    assert reports_since(lab, block) == {("worker-2", "layer.2.weight")}


# ---------------------------------------------------------------- files that do not load


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def scramble(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 9)


def exceed_range(path: Path) -> None:
    """A weight of -128, where seven bits are the rule (protocol 3)."""
    data = bytearray(path.read_bytes())
    start, _ = tensor_places(bytes(data))["layer.3.weight"]
    data[start] = 0x80
    path.write_bytes(bytes(data))


def rename_tensor(path: Path) -> None:
    """A tensor by a name that is not even ASCII, and too long for a report in bytes, though not in characters."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    header["\u00e9" * 200] = header.pop("layer.3.bias")
    text = json.dumps(header, ensure_ascii=False).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (truncate, PARAMS_FILE),
        (scramble, PARAMS_FILE),
        (exceed_range, "layer.3.weight"),
        (rename_tensor, "layer.3.bias"),
    ],
)
def test_worker_whose_file_does_not_load_starts_and_is_restored(
    lab: LiveRing, damage: Callable[[Path], None], named: str
) -> None:
    lab.await_mode(RingMode.QUERY)
    block = height(lab)
    lab.kill("worker-3")
    damage(lab.folder.path / "worker-3" / PARAMS_FILE)
    lab.start("worker-3")
    querent = lab.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    ((worker, changed),) = reports_since(lab, block)
    assert worker == "worker-3"
    assert changed.split(", ")[0] == named
    assert_as_before(lab)


def refusal_to_start(ring: LiveRing, name: str) -> str:
    """What an actor says that does not start."""
    ring.processes.start_actor(name)
    wait_until(lambda: bool(ring.processes.statuses[name].error), f"{name} refuses")
    return str(ring.await_state(name, "exited").error)


def test_worker_without_a_file_refuses_to_start(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    path = lab.folder.path / "worker-3" / PARAMS_FILE
    lab.kill("worker-3")
    path.rename(path.with_name("away"))
    said = refusal_to_start(lab, "worker-3")
    path.with_name("away").rename(path)
    lab.start("worker-3")
    assert "neither params.safetensors (a worker) nor model.safetensors (the ouroboros) is here" in said


# ---------------------------------------------------------------- the ouroboros


def test_ouroboros_with_a_changed_checkpoint_refuses_to_start_in_one_line(lab: LiveRing) -> None:
    """Whoever accuses others must hold the ring's own model."""
    lab.await_mode(RingMode.QUERY)
    path = lab.folder.ouroboros / MODEL_FILE
    shutil.copy(path, path.with_name("backup"))
    lab.kill("ouroboros")
    flip_file_bit(path, "layer.2.weight", 3)
    said = refusal_to_start(lab, "ouroboros")
    path.with_name("backup").replace(path)
    lab.start("ouroboros")
    assert len(said.splitlines()) == 1
    assert str(path) in said
    assert_as_before(lab)


def test_ouroboros_whose_file_changed_while_it_runs_keeps_the_model_that_it_has(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    path = lab.folder.ouroboros / MODEL_FILE
    shutil.copy(path, path.with_name("backup"))
    flip_file_bit(path, "layer.2.weight", 3)
    block = height(lab)
    flip_in_memory(lab, "worker-2", "layer.2.weight", 3)
    arrange(lab)
    await_restored(lab, block, 1)
    path.with_name("backup").replace(path)
    assert_as_before(lab)
