"""The attacks as their users type them: a lab ring of the shipped network, tampered with, lied to, killed, mended."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepring_chain.cli import lab
from deepring_chain.datasets.samples import load_mnist_samples
from tests.e2e.command import Terminal, ring_up, said
from tests.waiting import FOREVER, wait_until

SAMPLES = load_mnist_samples()
LABELS = [str(label) for label in SAMPLES.labels[:3]]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab ring that `deepring up --lab` runs."""
    path = tmp_path_factory.mktemp("lab") / "ring"
    said("init", "--ring", path)
    with ring_up(path, "--lab"):
        yield path


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy worker takes its order, however late."""
    monkeypatch.setattr(lab, "ORDER_SECONDS", FOREVER)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "three.npy"
    np.save(path, SAMPLES.images[:3])
    return path


def ask(terminal: Terminal, ring: Path, images: Path) -> Any:
    """The classes that the ring says."""
    return json.loads(terminal.said("query", "--ring", ring, images, "--json"))["predictions"]


def trail(terminal: Terminal, ring: Path, *arguments: object) -> str:
    return terminal.said("trail", "--ring", ring, *arguments)


def events(terminal: Terminal, ring: Path, kind: str) -> list[Any]:
    """All events of one kind, from the trail."""
    entries = json.loads(trail(terminal, ring, "--json"))
    return [found["event"] for entry in entries if (found := entry["logged"])["event"]["kind"] == kind]


def restored(terminal: Terminal, ring: Path) -> list[str]:
    return [event["changed"] for event in events(terminal, ring, "RestoreReported")]


def test_perturbing_worker_is_judged_in_the_next_blocks_and_the_trail_says_so(
    ring: Path, images: Path, terminal: Terminal
) -> None:
    ordered = terminal.said("perturb", "worker-3", "--ring", ring)
    assert ordered == "worker-3: will do perturbed-input at its next turn\n"
    assert ask(terminal, ring, images) == LABELS
    query = max(event["query"] for event in events(terminal, ring, "QuerySubmitted"))
    printed = trail(terminal, ring, query)
    ((lie, verdict),) = re.findall(r"from the lie to the verdict: \d+ s \(block (\d+) to (\d+)\)", printed)
    assert 0 < int(verdict) - int(lie) <= 2  # the lie's own, the contradiction's, the verdict's
    assert re.search(r"hop 3 guilty", printed)
    assert re.search(r"hop 2 acquitted", printed)


def test_bit_tampered_in_memory_is_named_and_restored_after_an_arrangement(
    ring: Path, images: Path, terminal: Terminal
) -> None:
    before = restored(terminal, ring)
    flipped = ("tamper", "worker-2", "--ring", ring, "--tensor", "layer.2.weight", "--bit", 5)
    assert terminal.said(*flipped) == "worker-2: bit 5 of layer.2.weight flipped in memory\n"
    asked = terminal.said("arrange", "--ring", ring)
    assert asked == "asked for a new arrangement; `deepring trail` shows it\n"
    wait_until(lambda: len(restored(terminal, ring)) > len(before), "the restore")
    assert restored(terminal, ring) == [*before, "layer.2.weight"]
    printed = trail(terminal, ring)
    assert "authenticity OFF" in printed
    assert re.search(r"restore ordered for seat \d \(worker-2\)", printed)
    assert "worker-2 restored; had changed: layer.2.weight" in printed
    assert ask(terminal, ring, images) == LABELS


def test_bit_tampered_in_the_file_takes_effect_when_the_worker_is_killed_and_comes_back(
    ring: Path, images: Path, terminal: Terminal
) -> None:
    before = restored(terminal, ring)
    flipped = ("tamper", "worker-4", "--ring", ring, "--where", "file", "--tensor", "layer.4.bias", "--bit", 3)
    assert terminal.said(*flipped).splitlines() == [
        "worker-4: bit 3 of layer.4.bias flipped in its file",
        "worker-4 loads the file at its next start: deepring kill worker-4",
    ]
    pid = (ring / "logs" / "worker-4.pid").read_text()
    assert terminal.said("kill", "worker-4", "--ring", ring) == f"worker-4: process {pid} killed\n"
    log = ring / "logs" / "worker-4.log"
    wait_until(lambda: log.read_text().count("ready as") == 2, "worker-4 comes back")
    assert ask(terminal, ring, images) == LABELS
    terminal.said("arrange", "--ring", ring)
    wait_until(lambda: len(restored(terminal, ring)) > len(before), "the restore")
    assert restored(terminal, ring)[-1] == "layer.4.bias"


def test_noise_on_a_workers_weights_is_found_blamed_and_restored_in_the_next_query(
    ring: Path, images: Path, terminal: Terminal
) -> None:
    before = restored(terminal, ring)
    noise = ("tamper", "worker-3", "--ring", ring, "--noise", 40, "--seed", 1)
    assert terminal.said(*noise) == "worker-3: noise of 40 steps added to layer.3.weight in memory\n"
    assert ask(terminal, ring, images) == LABELS
    query = max(event["query"] for event in events(terminal, ring, "QuerySubmitted"))
    assert re.search(r"hop 3 guilty", trail(terminal, ring, query))
    wait_until(lambda: len(restored(terminal, ring)) > len(before), "the restore")
    assert restored(terminal, ring) == [*before, "layer.3.weight"]


def test_several_bits_flipped_in_the_file_are_all_named_when_the_worker_loads_it(
    ring: Path, images: Path, terminal: Terminal
) -> None:
    before = restored(terminal, ring)
    flips = ("tamper", "worker-1", "--ring", ring, "--flips", 7, "--seed", 1, "--where", "file")
    assert terminal.said(*flips, "--tensor", "layer.2.bias").startswith("worker-1: 7 bits flipped in its file\n")
    terminal.said("kill", "worker-1", "--ring", ring)
    wait_until(lambda: (ring / "logs" / "worker-1.log").read_text().count("ready as") == 2, "worker-1 comes back")
    terminal.said("arrange", "--ring", ring)
    wait_until(lambda: len(restored(terminal, ring)) > len(before), "the restore")
    assert restored(terminal, ring)[-1] == "layer.2.bias"
    assert ask(terminal, ring, images) == LABELS


def test_noisy_input_is_judged_and_the_answer_is_right(ring: Path, images: Path, terminal: Terminal) -> None:
    ordered = terminal.said("perturb", "worker-3", "--lie", "noisy-input", "--noise", 50, "--ring", ring)
    assert ordered == "worker-3: will do noisy-input at its next turn\n"
    assert ask(terminal, ring, images) == LABELS
    query = max(event["query"] for event in events(terminal, ring, "QuerySubmitted"))
    assert re.search(r"hop 3 guilty", trail(terminal, ring, query))


def test_tampered_with_ring_passes_the_audit(ring: Path, terminal: Terminal) -> None:
    assert terminal.said("audit", "--ring", ring)


@pytest.mark.parametrize(
    ("arguments", "said_of_it"),
    [
        (("tamper", "worker-9"), "no worker with readable parameters here"),
        (("tamper", "worker-1", "--tensor", "layer.9.weight"), "no tensor layer.9.weight; there are layer.1.bias"),
        (("tamper", "worker-1", "--where", "file", "--tensor", "layer.1.bias", "--bit", "99999999"), "no bit 99999999"),
        (("tamper", "worker-1", "--tensor", "layer.1.bias", "--bit", "99999999"), "no bit 99999999"),
        (("tamper", "worker-1", "--bit", "1", "--noise", "1"), "--bit, --flips and --noise exclude each other"),
        (("tamper", "worker-1", "--tensor", "layer.1.bias", "--noise", "1"), "layer.1.bias is none"),
        (("tamper", "worker-1", "--tensor", "layer.1.bias", "--flips", "99999999"), "there are 28800 bits"),
        (("tamper", "worker-9", "--noise", "1"), "no worker with readable parameters here"),
        (("perturb", "worker-9"), "no such worker"),
        (("perturb", "worker-1", "--lie", "noisy-input", "--noise", "inf"), "noise of inf steps"),
        (("kill", "worker-9"), "no such process runs"),
        (("withdraw", "99"), "the ledger has no such query"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "refused",
)
def test_attack_on_what_is_not_there_is_refused_in_one_line(
    ring: Path, terminal: Terminal, arguments: tuple[str, ...], said_of_it: str
) -> None:
    assert said_of_it in terminal.refusal(*arguments, "--ring", ring)
