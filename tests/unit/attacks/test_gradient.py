"""The float twins compute what the integer layers compute, up to rounding; attacks reach every kind of layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepring_chain.attacks.bit_search import progressive_flips, random_flips
from deepring_chain.attacks.importance import add_noise, affine_places, noisy_weight, noisy_weights
from deepring_chain.attacks.input_noise import activation_scale
from deepring_chain.attacks.weights import WIDE_KERNEL, apply_flips, copy_model, with_weight
from deepring_chain.attacks.weights import weight_tensors as weights_of
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.importing.split import split_model
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.layer import Layer
from deepring_chain.model.operators import OPERATORS, TWINS
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.training.evaluate import evaluate_quantised

SHAPE = (2, 16, 16)


def small_resnet() -> nn.Sequential:
    """Untrained, with all kinds of layers and both poolings."""
    body = nn.Sequential(
        nn.Conv2d(6, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
    )
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(Residual(body, nn.Sequential(nn.Conv2d(6, 8, 1, stride=2))), nn.ReLU()),
        *(Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(32, 5)),
    ).eval()


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return small_resnet()


@pytest.fixture(scope="module")
def model(network: nn.Sequential) -> QuantisedModel:
    generator = torch.Generator().manual_seed(2)
    return quantise(network, torch.rand(50, *SHAPE, generator=generator), name="small", input_grid=PIXELS)


@pytest.fixture(scope="module")
def data(model: QuantisedModel) -> LabeledImages:
    """Images with the labels that the model gives them, so that an attack has something to lose."""
    images = torch.randint(0, 256, (64, 16, 16, 2), generator=torch.Generator().manual_seed(3)).to(torch.uint8).numpy()
    return LabeledImages(images, model.card.predictions(model.run(model.card.quantise_input(images))).astype("uint8"))


def test_every_operator_with_weights_has_a_twin(model: QuantisedModel) -> None:
    assert set(TWINS) == set(OPERATORS) - {"identity"} == {layer.operator for layer in model.layers}


def test_twin_differs_from_its_layer_by_rounding_alone(model: QuantisedModel) -> None:
    x = torch.randint(-128, 128, (7, 16, 16, 2), generator=torch.Generator().manual_seed(5)).to(torch.int8)
    for layer in model.layers:
        weights = {name: tensor.float() for name, tensor in layer.tensors.items() if name.endswith("weight")}
        y = layer.forward(x)
        difference = (TWINS[layer.operator](layer, x.float(), weights) - y).abs()
        # Each rounding on the way is worth half a step: one, or two in a block that has an inner convolution.
        assert float(difference.max()) < 1.5
        assert float(y.float().std()) > 20
        x = y


def test_searched_flips_hurt_a_convolutional_network_more_than_random_ones(
    model: QuantisedModel, data: LabeledImages
) -> None:
    before = {name: tensor.clone() for name, tensor in weights_of(model.layers).items()}
    found = progressive_flips(model, data, count=6, seed=1)
    searched = evaluate_quantised(apply_flips(model, found), data)
    assert evaluate_quantised(model, data) == 1
    assert searched < evaluate_quantised(apply_flips(model, random_flips(model, 6, 1)), data) - 0.2
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(model.layers).items())


def test_illegal_weight_in_any_part_makes_all_products_wide(model: QuantisedModel, data: LabeledImages) -> None:
    inner = "layer.2.inner.0.weight"
    illegal = torch.full_like(weights_of(model.layers)[inner], 127)
    attacked = with_weight(model, 2, illegal, "inner.0.weight")
    assert torch.equal(weights_of(attacked.layers)[inner], illegal)
    block = attacked.layer(2)
    assert {block.inner[0].kernel, block.tail.kernel, block.shortcut.kernel} == {WIDE_KERNEL}  # type: ignore[attr-defined]
    x = model.card.quantise_input(data.images)
    assert attacked.run(x) != model.run(x) == copy_model(model).run(x)


def units(network: nn.Sequential, index: int) -> object:
    return split_model(network, SHAPE).layers[index - 1]


def stored(layer: Layer) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in layer.tensors.items() if name.endswith("weight")}


def test_noise_reaches_the_weights_of_convolutions_and_of_a_blocks_part(
    network: nn.Sequential, model: QuantisedModel
) -> None:
    for place, index in affine_places(network):
        clean, noisy = (units(made, index) for made in (network, add_noise(network, place, 0, 0.3, 1)))
        written = noisy_weights(model.layer(index), clean, noisy)  # type: ignore[arg-type]
        before = stored(model.layer(index))
        differing = [name for name, weight in written.items() if not torch.equal(weight, before[name])]
        part = {"4.body.0": "inner.0.weight", "4.body.3": "tail.weight", "4.shortcut.0": "shortcut.weight"}
        assert differing == [part.get(place, "tail.weight" if place.startswith("6") else "weight")]


def test_one_weight_is_not_to_be_had_of_a_block_with_several(network: nn.Sequential, model: QuantisedModel) -> None:
    with pytest.raises(ModelError, match=r"layer 2 \(residual\) has 3 weight tensors"):
        noisy_weight(model.layer(2), units(network, 2), units(network, 2))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"layer 2 \(residual\) was not made from '0'"):
        noisy_weight(model.layer(2), units(network, 1), units(network, 1))  # type: ignore[arg-type]


def test_scale_is_found_for_the_input_of_convolutions_and_blocks(
    network: nn.Sequential, model: QuantisedModel, data: LabeledImages
) -> None:
    places = {index: place for place, index in reversed(list(affine_places(network)))}
    for index in range(2, 6):
        scale = activation_scale(network, model, places[index], index, data.images)
        unit_outputs = torch.from_numpy(data.images / 255)
        for unit in split_model(network, SHAPE).layers[: index - 1]:
            unit_outputs = unit.forward(unit_outputs)
        # The finest grid over these values, or a coarser one where calibration saw larger ones.
        assert scale == pytest.approx(float(unit_outputs.max()) / 255, rel=0.35)
