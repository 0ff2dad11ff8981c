"""The attacks' own words: which bit of which tensor, in the file or for the memory, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepring_chain.attacks.orders import ORDER_FILE, TENSORS_FILE, LabOrder, Lie, take_order, take_tensors
from deepring_chain.cli import lab
from deepring_chain.model.checkpoint import LAYERS_KIND
from deepring_chain.model.tensor_file import read_tensor_file
from deepring_chain.ring.folder import PARAMS_FILE
from tests.e2e.command import Terminal
from tests.unit.cli.test_devnets_only import make_ring

Given = list[tuple[LabOrder | None, dict[str, torch.Tensor]]]


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    return make_ring(tmp_path / "ring", 31337)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> Given:
    """What a worker in `_order`'s folder is told; it takes each order at once, as a lab worker does."""
    found: Given = []
    honest = lab._order

    def order(folder: Path, give: Callable[[Path], None]) -> None:
        def give_and_take(to: Path) -> None:
            give(to)
            found.append((take_order(to), take_tensors(to) if (to / TENSORS_FILE).exists() else {}))

        honest(folder, give_and_take)

    monkeypatch.setattr(lab, "_order", order)
    return found


def held(ring: Path) -> dict[str, torch.Tensor]:
    return read_tensor_file(ring / "worker-1" / PARAMS_FILE, LAYERS_KIND)[1]


def changed_bits(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, int]:
    """How many bits of which tensor differ."""
    bits = {}
    for name, tensor in before.items():
        pairs = zip(tensor.numpy().tobytes(), after[name].numpy().tobytes(), strict=True)
        bits[name] = sum((one ^ other).bit_count() for one, other in pairs)
    return {name: count for name, count in bits.items() if count}


def test_bit_that_is_named_is_ordered_for_the_memory(ring: Path, terminal: Terminal, orders: Given) -> None:
    before = held(ring)
    told = terminal.said("tamper", "worker-1", "--ring", ring, "--tensor", "layer.1.bias", "--bit", 3)
    assert told == "worker-1: bit 3 of layer.1.bias flipped in memory\n"
    ((order, _),) = orders
    assert order is not None
    assert (order.lie, order.flips) == (Lie.FLIP_MEMORY_BITS, (("layer.1.bias", 3),))
    assert changed_bits(before, held(ring)) == {}


def test_bits_are_flipped_in_the_file_and_nowhere_else(ring: Path, terminal: Terminal, orders: Given) -> None:
    before = held(ring)
    told = terminal.said("tamper", "worker-1", "--ring", ring, "--flips", 7, "--where", "file")
    assert told.startswith("worker-1: 7 bits flipped in its file\n")
    assert sum(changed_bits(before, held(ring)).values()) == 7
    assert orders == []


def test_all_bits_of_a_tensor_can_be_flipped_and_no_more(ring: Path, terminal: Terminal) -> None:
    before = held(ring)
    bits = 8 * before["layer.1.bias"].numpy().nbytes
    words = ("tamper", "worker-1", "--ring", ring, "--where", "file", "--tensor", "layer.1.bias")
    assert f"there are {bits} bits" in terminal.refusal(*words, "--flips", bits + 1)
    assert f"no bit {bits}" in terminal.refusal(*words, "--bit", bits)
    assert changed_bits(before, held(ring)) == {}
    terminal.said(*words, "--flips", bits)
    terminal.said(*words, "--bit", bits - 1)
    assert changed_bits(before, held(ring)) == {"layer.1.bias": bits - 1}


def test_random_bit_is_one_of_any_tensor(ring: Path, terminal: Terminal) -> None:
    before = held(ring)
    terminal.said("tamper", "worker-1", "--ring", ring, "--where", "file")
    assert sum(changed_bits(before, held(ring)).values()) == 1


@pytest.mark.parametrize("where", ["file", "memory"])
def test_noise_is_added_to_the_workers_own_weights(ring: Path, terminal: Terminal, orders: Given, where: str) -> None:
    before = held(ring)
    told = terminal.said("tamper", "worker-1", "--ring", ring, "--noise", 40, "--seed", 1, "--where", where)
    assert told.startswith("worker-1: noise of 40 steps added to layer.1.weight in ")
    if where == "file":
        assert set(changed_bits(before, held(ring))) == {"layer.1.weight"}
        assert orders == []
    else:
        assert changed_bits(before, held(ring)) == {}
        assert [(order and order.lie, set(tensors)) for order, tensors in orders] == [
            (Lie.OVERWRITE_MEMORY, {"layer.1.weight"})
        ]


def test_lie_is_ordered(ring: Path, terminal: Terminal, orders: Given) -> None:
    told = terminal.said("perturb", "worker-1", "--lie", "noisy-input", "--noise", 50, "--seed", 2, "--ring", ring)
    assert told == "worker-1: will do noisy-input at its next turn\n"
    assert orders == [(LabOrder(Lie.NOISY_INPUT, steps=50.0, seed=2), {})]


def test_lies_about_the_memory_are_those_of_tamper_alone() -> None:
    assert {lie.value for lie in lab.Lies} == {
        lie.value for lie in Lie if not lie.value.endswith(("-memory", "memory-bit", "memory-bits"))
    }


@pytest.mark.parametrize("words", [("perturb", "worker-1"), ("tamper", "worker-1", "--noise", "1")], ids=" ".join)
def test_order_that_nobody_takes_is_taken_back(
    ring: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(lab, "ORDER_SECONDS", 0.0)
    told = terminal.refusal(*words, "--ring", ring)
    assert "worker-1 takes no orders; start the ring with `deepring up --lab`" in told
    assert [(ring / "worker-1" / name).exists() for name in (ORDER_FILE, TENSORS_FILE)] == [False, False]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tamper", "worker-9"), "no worker with readable parameters here"),
        (("tamper", "worker-1", "--tensor", "layer.9.weight"), "no tensor layer.9.weight; there are layer.1.bias"),
        (("tamper", "worker-1", "--bit", "1", "--noise", "1"), "--bit, --flips and --noise exclude each other"),
        (("tamper", "worker-1", "--bit", "1", "--flips", "1"), "--bit, --flips and --noise exclude each other"),
        (("tamper", "worker-1", "--tensor", "layer.1.bias", "--noise", "1"), "layer.1.bias is none"),
        (("tamper", "worker-9", "--noise", "1"), "no worker with readable parameters here"),
        (("perturb", "worker-9"), "no such worker"),
        (("kill", "worker-9"), "no such process runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_attack_on_what_is_not_there_is_one_line(
    ring: Path, terminal: Terminal, words: tuple[str, ...], told: str
) -> None:
    assert told in terminal.refusal(*words, "--ring", ring)
