"""Algorithm 1: it finds the layer whose weights matter, and its noise costs accuracy, float and integer alike."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from deepring_chain.attacks.importance import (
    LayerImportance,
    add_noise,
    affine_places,
    layer_importance,
    most_important,
    noisy_weight,
)
from deepring_chain.attacks.weights import with_weight
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.importing.split import split_model
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.front.units import Affine
from deepring_chain.training.evaluate import evaluate_float, evaluate_quantised
from tests.unit.attacks.conftest import Victim

SHAPE = (4, 4)


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    module = nn.Linear(len(weight[0]), len(bias))
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
        module.bias.copy_(torch.tensor(bias))
    return module


def planted(important: str) -> nn.Sequential:
    """Says whether a pixel is white. One of its layers gets the sign wrong if its weights are halved, no other does."""
    sure, unsure = linear([[20.0]], [-5.0]), linear([[2.0]], [-1.2])
    safe, frail = linear([[4.0]], [0.0]), linear([[2.0]], [-1.2])
    last = linear([[-9.0], [9.0]], [0.0, 0.0])
    first, second = (unsure, safe) if important == "1" else (sure, frail)
    return nn.Sequential(nn.Flatten(), first, nn.Hardtanh(), second, nn.Hardtanh(), last).eval()


def pixels() -> LabeledImages:
    labels = np.arange(64, dtype=np.uint8) % 2
    return LabeledImages((labels * 255).reshape(-1, 1, 1), labels)


@pytest.mark.parametrize("per_weight", [False, True], ids=["one per layer", "one per weight"])
@pytest.mark.parametrize(("place", "index"), [("1", 1), ("3", 2)])
def test_planted_important_layer_is_found(place: str, index: int, per_weight: bool) -> None:
    network = planted(place)
    found = layer_importance(network, pixels(), seed=1, steps=12, per_weight=per_weight)
    assert [(entry.place, entry.index) for entry in found] == [("1", 1), ("3", 2), ("5", 3)]
    best = most_important(found)
    assert (best.place, best.index) == (place, index)
    assert best.importance > 0.3 + max(entry.importance for entry in found if entry is not best and entry.index < 3)


def test_importance_depends_on_the_seed_alone_and_leaves_the_network_as_it_is(victim: Victim) -> None:
    before = copy.deepcopy(victim.network.state_dict())
    first, again, other = (layer_importance(victim.network, victim.data, seed=seed, steps=10) for seed in (1, 1, 2))
    assert first == again != other
    assert len({entry.importance for entry in first}) == 3
    assert all(torch.equal(before[name], value) for name, value in victim.network.state_dict().items())
    assert all(parameter.requires_grad for parameter in victim.network.parameters())


def test_equal_importance_goes_to_the_first_layer() -> None:
    entries = tuple(LayerImportance(str(number), number, 1.0) for number in (1, 2))
    assert most_important(entries) is entries[0]


def test_modules_of_a_residual_block_belong_to_one_layer_of_the_ring() -> None:
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()),
        Residual(body, nn.Sequential(nn.Conv2d(2, 2, 1))),
        nn.Flatten(),
        nn.Linear(8, 2),
    )
    expected = [("0.0", 1), ("1.body.0", 2), ("1.body.2", 2), ("1.shortcut.0", 2), ("3", 3)]
    assert list(affine_places(network)) == expected


def test_batch_norm_keeps_its_statistics_while_importance_is_trained(victim: Victim) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4)).train()
    before = copy.deepcopy(network.state_dict())
    layer_importance(network, victim.data, seed=1, steps=3)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("network", [nn.Sequential(nn.Flatten()), nn.Sequential(nn.ReLU())])
def test_network_without_weights_is_refused(network: nn.Sequential) -> None:
    with pytest.raises(ModelError, match="no Linear or Conv2d"):
        layer_importance(network, pixels(), seed=1)


def test_no_images_are_refused(victim: Victim) -> None:
    none = LabeledImages(victim.data.images[:0], victim.data.labels[:0])
    with pytest.raises(ModelError, match="there are no images"):
        layer_importance(victim.network, none, seed=1)


def test_noise_has_the_mean_and_deviation_asked_for_and_touches_one_weight(victim: Victim) -> None:
    before = copy.deepcopy(victim.network.state_dict())
    noisy = add_noise(victim.network, "1", 0.5, 0.1, seed=3).state_dict()
    noise = noisy["1.weight"] - before["1.weight"]
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(noise.std()) == pytest.approx(0.1, abs=0.02)
    assert all(torch.equal(before[name], noisy[name]) for name in before if name != "1.weight")
    assert all(torch.equal(before[name], value) for name, value in victim.network.state_dict().items())


def test_noise_depends_on_its_seed_alone(victim: Victim) -> None:
    first, again, other = (add_noise(victim.network, "3", 0, 1, seed).state_dict()["3.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_on_a_module_that_is_not_there_is_refused_with_those_that_are(victim: Victim) -> None:
    with pytest.raises(ModelError, match="no Linear or Conv2d at '2'; there are 1, 3, 5"):
        add_noise(victim.network, "2", 0, 1, seed=1)


def attacked(victim: Victim, place: str, index: int, sigma: float) -> tuple[float, float]:
    """Accuracies of the float and of the integer network with noise on one layer."""
    noisy = add_noise(victim.network, place, 0, sigma, seed=4)
    units = [split_model(network, SHAPE).layers[index - 1] for network in (victim.network, noisy)]
    weight = noisy_weight(victim.model.layer(index), *units)
    assert weight.dtype == torch.int8
    assert (int(weight.min()) >= -64, int(weight.max()) <= 63) == (True, True)
    integer = evaluate_quantised(with_weight(victim.model, index, weight), victim.data)
    return evaluate_float(noisy, victim.data), integer


def test_noise_costs_float_and_integer_network_accuracy_alike(victim: Victim) -> None:
    clean = evaluate_quantised(victim.model, victim.data)
    assert clean > 0.9
    for place, index in affine_places(victim.network):
        as_float, as_integer = attacked(victim, place, index, 1.5)
        assert as_float < clean - 0.1
        assert as_integer < clean - 0.1
        small = attacked(victim, place, index, 0.05)
        assert small == pytest.approx((clean, clean), abs=0.05)


def test_without_noise_the_stored_weights_come_out(victim: Victim) -> None:
    for index, unit in enumerate(split_model(victim.network, SHAPE).layers, start=1):
        assert torch.equal(
            noisy_weight(victim.model.layer(index), unit, unit), victim.model.layer(index).tensors["weight"]
        )


def test_output_whose_weights_vanish_beside_its_bias_keeps_its_stored_weights(victim: Victim) -> None:
    (layer, *_), (unit, *_) = victim.model.layers, split_model(victim.network, SHAPE).layers
    assert isinstance(layer, DenseLayer)
    assert isinstance(unit, Affine)
    vanishing = unit.weight.clone()
    vanishing[:, 2] *= 1e-12
    stored = layer.tensors["weight"].clone()
    stored[:, 2] = 0
    written = noisy_weight(
        replace(layer, weight=stored), replace(unit, weight=vanishing), replace(unit, weight=vanishing + 1)
    )
    assert not bool(written[:, 2].any())
    assert bool((written[:, 1] == 63).any())


def test_layer_that_was_made_of_other_weights_is_refused(victim: Victim) -> None:
    first, second, _ = split_model(victim.network, SHAPE).layers
    with pytest.raises(ModelError, match="not one layer's"):
        noisy_weight(victim.model.layer(1), first, second)
    assert isinstance(first, Affine)
    other = replace(first, weight=first.weight.flip(0))
    with pytest.raises(ModelError, match="layer 1: its stored weights were not made from the clean ones"):
        noisy_weight(victim.model.layer(1), other, other)
