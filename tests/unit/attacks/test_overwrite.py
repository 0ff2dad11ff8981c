"""A tensor is overwritten, in memory or in a file, and nothing else; what does not fit changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepring_chain.attacks.bit_flip import flip_memory_bits, live_tensors
from deepring_chain.attacks.overwrite import add_weight_noise, overwrite_file, overwrite_memory
from deepring_chain.attacks.weights import copy_model
from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import encode_layers, load_layers
from deepring_chain.model.layer import Layer
from tests.unit.attacks.conftest import Victim

NAME = "layer.2.weight"


@pytest.fixture
def layers(victim: Victim) -> tuple[Layer, ...]:
    """A worker's two layers, whose memory a test may spoil."""
    return copy_model(victim.model).layers[1:]


def contents(layers: tuple[Layer, ...]) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in live_tensors(layers).items()}


def changed(layers: tuple[Layer, ...], before: dict[str, bytes]) -> list[str]:
    return [name for name, value in contents(layers).items() if value != before[name]]


def test_memory_holds_the_bytes_given_even_illegal_ones(layers: tuple[Layer, ...]) -> None:
    before, written = contents(layers), torch.full_like(live_tensors(layers)[NAME], -128)
    overwrite_memory(layers, {NAME: written})
    assert changed(layers, before) == [NAME]
    assert torch.equal(layers[0].tensors["weight"], written)


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("layer.1.weight", torch.zeros(1, dtype=torch.int8), "no tensor layer.1.weight; there are layer.2.bias"),
        (NAME, torch.zeros(16, 24, dtype=torch.int8), r"tensor layer.2.weight: .*\[16, 24\], expected .*\[24, 16\]"),
        (NAME, torch.zeros(24, 16), r"float32 .* expected torch.int8"),
    ],
)
def test_tensor_that_does_not_fit_changes_nothing(
    layers: tuple[Layer, ...], name: str, tensor: torch.Tensor, reason: str
) -> None:
    before = contents(layers)
    with pytest.raises(ModelError, match=reason):
        overwrite_memory(layers, {"layer.3.weight": torch.zeros(16, 4, dtype=torch.int8), name: tensor})
    assert changed(layers, before) == []


def test_several_bits_are_flipped_or_none(layers: tuple[Layer, ...]) -> None:
    before = contents(layers)
    flips = (("layer.2.weight", 3), ("layer.3.bias", 30))
    with pytest.raises(ModelError, match="no bit 99999"):
        flip_memory_bits(layers, (*flips, ("layer.3.bias", 99999)))
    assert changed(layers, before) == []
    flip_memory_bits(layers, flips)
    assert changed(layers, before) == ["layer.2.weight", "layer.3.bias"]
    flip_memory_bits(layers, flips)
    assert changed(layers, before) == []


def test_file_holds_the_tensor_given_and_nothing_else_changes(layers: tuple[Layer, ...], tmp_path: Path) -> None:
    path = tmp_path / "params"
    path.write_bytes(encode_layers(layers))
    written = layers[0].tensors["weight"].flip(0)
    overwrite_file(path, {NAME: written})
    loaded = load_layers(path)
    assert changed(loaded, contents(layers)) == [NAME]
    assert torch.equal(loaded[0].tensors["weight"], written)
    assert path.stat().st_mode & 0o077 == 0


def test_tensor_that_does_not_fit_a_file_is_refused(layers: tuple[Layer, ...], tmp_path: Path) -> None:
    path = tmp_path / "params"
    path.write_bytes(encode_layers(layers))
    weight = torch.zeros(16, 4, dtype=torch.int8)
    with pytest.raises(ModelError, match=r"no tensor layer.1.weight; there are layer.2.bias"):
        overwrite_file(path, {"layer.1.weight": torch.zeros(1, dtype=torch.int8)})
    with pytest.raises(ModelError, match=r"layer.2.weight has 384 bytes, not 3"):
        overwrite_file(path, {"layer.3.weight": weight, NAME: torch.zeros(3, dtype=torch.int8)})
    assert path.read_bytes() == encode_layers(layers)


def test_noise_on_stored_weights_is_as_strong_as_asked_and_stays_legal() -> None:
    clean = torch.zeros(200, 100, dtype=torch.int8)
    noise = add_weight_noise(clean, 8, 1)
    assert noise.dtype == torch.int8
    assert float(noise.double().std()) == pytest.approx(8, rel=0.03)
    assert not bool(clean.any())
    huge = add_weight_noise(clean, 1e5, 1)
    assert (int(huge.min()), int(huge.max())) == (-64, 63)
    assert torch.equal(add_weight_noise(clean, 8, 1), noise)
    assert not torch.equal(add_weight_noise(clean, 8, 2), noise)
