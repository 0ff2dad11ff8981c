"""Orders to a lab worker are taken once, and unreadable ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepring_chain.attacks.orders import (
    ORDER_FILE,
    TENSORS_FILE,
    LabOrder,
    Lie,
    give_order,
    order_flips,
    order_input_noise,
    order_tensors,
    take_order,
    take_tensors,
)
from deepring_chain.attacks.weights import BitFlip
from deepring_chain.errors import ConfigError, ModelError


@pytest.mark.parametrize("lie", list(Lie), ids=lambda lie: lie.value)
def test_order_is_taken_as_it_was_given_and_only_once(tmp_path: Path, lie: Lie) -> None:
    given = LabOrder(lie, "layer.3.weight", 77, (("layer.2.bias", 5), ("layer.3.weight", 8)), 2.5, 11)
    give_order(tmp_path, given)
    assert take_order(tmp_path) == given
    assert take_order(tmp_path) is None


def test_later_order_replaces_one_that_was_not_taken(tmp_path: Path) -> None:
    give_order(tmp_path, LabOrder(Lie.ECHO))
    give_order(tmp_path, LabOrder(Lie.SILENCE))
    assert take_order(tmp_path) == LabOrder(Lie.SILENCE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        "{}",
        '{"lie": "fly", "tensor": "", "bit": 0}',
        '{"lie": "echo", "tensor": "", "bit": "x"}',
        '{"lie": "flip-memory-bits", "tensor": "", "bit": 0, "flips": [["layer.1.weight"]]}',
        '{"lie": "noisy-input", "tensor": "", "bit": 0, "seed": Infinity}',
    ],
)
def test_unreadable_order_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / ORDER_FILE).write_text(text)
    with pytest.raises(ConfigError, match="no readable order") as refusal:
        take_order(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(("steps", "seed"), [(-1.0, 0), (float("nan"), 0), (float("inf"), 0), (1.0, -1)])
def test_noise_that_cannot_be_is_refused(tmp_path: Path, steps: float, seed: int) -> None:
    with pytest.raises(ConfigError, match="expected 0 or more"):
        order_input_noise(tmp_path, steps, seed)
    assert not (tmp_path / ORDER_FILE).exists()


def test_order_of_before_there_were_several_flips_is_understood(tmp_path: Path) -> None:
    (tmp_path / ORDER_FILE).write_text('{"lie": "flip-memory-bit", "tensor": "layer.1.bias", "bit": 4}')
    assert take_order(tmp_path) == LabOrder(Lie.FLIP_MEMORY_BIT, "layer.1.bias", 4)


def test_ordered_flips_and_noise_arrive(tmp_path: Path) -> None:
    order_flips(tmp_path, [BitFlip("layer.1.weight", 9), BitFlip("layer.2.weight", 15)])
    flips = (("layer.1.weight", 9), ("layer.2.weight", 15))
    assert take_order(tmp_path) == LabOrder(Lie.FLIP_MEMORY_BITS, flips=flips)
    order_input_noise(tmp_path, 12.5, 3)
    assert take_order(tmp_path) == LabOrder(Lie.NOISY_INPUT, steps=12.5, seed=3)


def test_ordered_tensors_arrive_once(tmp_path: Path) -> None:
    weight = torch.arange(-6, 6).to(torch.int8).view(3, 4)
    order_tensors(tmp_path, {"layer.1.weight": weight})
    assert take_order(tmp_path) == LabOrder(Lie.OVERWRITE_MEMORY)
    assert (tmp_path / TENSORS_FILE).stat().st_mode & 0o077 == 0
    (taken,) = take_tensors(tmp_path).items()
    assert taken[0] == "layer.1.weight"
    assert torch.equal(taken[1], weight)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelError, match=TENSORS_FILE):
        take_tensors(tmp_path)
