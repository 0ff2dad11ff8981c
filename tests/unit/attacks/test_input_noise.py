"""Noise on a layer's input: as strong as asked, at the layer asked, bounded by the int8 code, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepring_chain.attacks.input_noise import (
    activation_scale,
    add_input_noise,
    run_with_input_noise,
    with_input_noise,
)
from deepring_chain.errors import ModelError
from deepring_chain.model.layer import run_layer
from deepring_chain.training.evaluate import evaluate_float, evaluate_quantised
from deepring_chain.types import TensorBytes
from tests.unit.attacks.conftest import Victim

PLACES = ("1", "3", "5")


def accuracy_with_noise(victim: Victim, index: int, steps: float) -> float:
    card = victim.model.card
    output = run_with_input_noise(victim.model, card.quantise_input(victim.data.images), index, steps, seed=2)
    return float((card.predictions(output) == victim.data.labels).mean())


def test_noise_has_the_deviation_asked_for_and_stays_in_int8() -> None:
    clean = TensorBytes("int8", (100, 100), bytes(10_000))
    noise = np.frombuffer(add_input_noise(clean, 10.0, 1).data, np.int8)
    assert noise.std() == pytest.approx(10, rel=0.03)
    assert abs(noise.mean()) < 0.5
    huge = np.frombuffer(add_input_noise(clean, 1e6, 1).data, np.int8)
    assert set(np.unique(huge)) <= {-128, 127} | set(range(-128, 128))
    assert ((huge == -128) | (huge == 127)).mean() > 0.99


def test_noise_depends_on_its_seed_alone() -> None:
    clean = TensorBytes("int8", (8, 8), bytes(64))
    assert add_input_noise(clean, 5, 1) == add_input_noise(clean, 5, 1) != add_input_noise(clean, 5, 2)
    assert add_input_noise(clean, 0, 1) == clean


@pytest.mark.parametrize(
    ("tensor", "steps"),
    [
        (TensorBytes("int32", (1, 1), bytes(4)), 1.0),
        (TensorBytes("int8", (1, 1), bytes(1)), -1.0),
        (TensorBytes("int8", (1, 1), bytes(1)), float("nan")),
        (TensorBytes("int8", (1, 1), bytes(1)), float("inf")),
    ],
)
def test_noise_that_cannot_be_is_refused(tensor: TensorBytes, steps: float) -> None:
    with pytest.raises(ModelError, match="expected int8, and 0 steps or more"):
        add_input_noise(tensor, steps, 1)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_noise_reaches_the_layer_asked_for(victim: Victim, index: int) -> None:
    cpu, x = torch.device("cpu"), victim.model.card.quantise_input(victim.data.images[:5])
    expected = x
    for layer in victim.model.layers:
        given = add_input_noise(expected, 30, 4) if layer.index == index else expected
        expected = run_layer(layer, given, cpu)
    assert run_with_input_noise(victim.model, x, index, 30, 4) == expected != victim.model.run(x)
    assert run_with_input_noise(victim.model, x, index, 0, 4) == victim.model.run(x)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_noise_lowers_the_accuracy_of_float_and_integer_network_alike(victim: Victim, index: int) -> None:
    clean = evaluate_quantised(victim.model, victim.data)
    place = PLACES[index - 1]
    scale = activation_scale(victim.network, victim.model, place, index, victim.data.images)
    sigma = 120 * scale
    as_float = evaluate_float(with_input_noise(victim.network, place, sigma, 1), victim.data)
    as_integer = accuracy_with_noise(victim, index, 120)
    assert as_float < clean - 0.05
    assert as_integer < clean - 0.05
    assert as_integer == pytest.approx(as_float, abs=0.2)


def test_noise_of_a_float_network_is_a_copys_and_repeats(victim: Victim) -> None:
    with torch.no_grad():
        clean = victim.network(victim.inputs)
        first, again = (with_input_noise(victim.network, "3", 1.0, 5)(victim.inputs) for _ in range(2))
        assert torch.equal(first, again)
        assert not torch.equal(first, clean)
        assert torch.equal(victim.network(victim.inputs), clean)


def test_scale_of_an_input_is_found(victim: Victim) -> None:
    images = victim.data.images
    assert activation_scale(victim.network, victim.model, "1", 1, images) == victim.model.card.input_scale
    # By the layers' own numbers: input scale times weight scale over the requantisation factor.
    scale = victim.model.card.input_scale
    for index in (1, 2):
        layer = victim.model.layer(index)
        largest = float(victim.network.get_parameter(f"{PLACES[index - 1]}.weight")[0].detach().abs().max())
        scale *= largest / 63 / (int(layer.tensors["multiplier"][0]) / 2 ** int(layer.tensors["shift"][0]))
        found = activation_scale(victim.network, victim.model, PLACES[index], index + 1, images)
        assert found == pytest.approx(scale, rel=0.01)


def test_layer_that_is_not_there_is_refused(victim: Victim) -> None:
    x = victim.model.card.quantise_input(victim.data.images[:1])
    for index in (0, 4):
        with pytest.raises(ModelError, match=f"no layer {index}, it has 1..3"):
            run_with_input_noise(victim.model, x, index, 1, 1)
    with pytest.raises(ModelError, match="no Linear or Conv2d at '2'"):
        with_input_noise(victim.network, "2", 1, 1)
    with pytest.raises(ModelError, match="is not layer 2"):
        activation_scale(victim.network, victim.model, "1", 2, victim.data.images)
