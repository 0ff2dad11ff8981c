"""Parameter tampering as in Algorithm 1 of the paper (section 4.1): find the most important layer, add noise to it.

The algorithm as printed freezes weights and biases, gives each layer i a logistic importance parameter p_i, lets it
compute phi((W_i * sigmoid(p_i)) x + b_i), trains the p_i alone, and picks the layer j with p_j >= p_i for all i. The
text ("we associate each layer with a logistic importance parameter p") and the comparison of whole p_i make p_i one
number per layer, which the Hadamard product broadcasts; `per_weight=True` is the other reading, one number per weight,
with their mean as the layer's importance. The paper names neither the start of p, nor the optimizer, nor the loss: here
0, Adam and cross entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.errors import ModelError
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.front.units import Unit
from deepring_chain.model.kernels import WEIGHT_MAX, WEIGHT_MIN
from deepring_chain.model.layer import Layer

AFFINE = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class LayerImportance:
    """How much a layer's weights matter.

    Attributes:
        place: of the Linear or Conv2d in the network, as in its state dict.
        index: of the ring's layer that it belongs to, from 1; a residual block is one layer with several of them.
        importance: p after the training, or the mean of p if there is one per weight.
    """

    place: str
    index: int
    importance: float


def layer_importance(
    model: nn.Sequential,
    data: LabeledImages,
    *,
    seed: int,
    steps: int = 200,
    batch: int = 128,
    learning_rate: float = 0.05,
    start: float = 0.0,
    per_weight: bool = False,
    device: torch.device | None = None,
) -> tuple[LayerImportance, ...]:
    """Trains the importance parameters (Algorithm 1, lines 1 to 11).

    Args:
        model: a trained float network, only read; batch normalizations keep their statistics.
        data: uint8 images as `to_float` takes them, and their labels.
        seed: of the choice of batches.
        steps: of Adam.
        batch: images per step.
        learning_rate: of Adam.
        start: initial value of every p; sigmoid(0) halves all weights.
        per_weight: one p per weight instead of one per layer.
        device: where to compute; the CPU by default.

    Returns:
        One entry per Linear and Conv2d, in order.

    Raises:
        ModelError: no such module, no image, or images that the network does not take.
    """
    device = device or torch.device("cpu")
    frozen = copy.deepcopy(model).to(device).eval().requires_grad_(False)
    places = list(affine_places(frozen))
    if not places or len(data.labels) == 0:
        raise ModelError("no layer to weigh: the network has no Linear or Conv2d, or there are no images")
    weights = {place: frozen.get_parameter(f"{place}.weight") for place, _ in places}
    shapes = {place: weight.shape if per_weight else () for place, weight in weights.items()}
    strengths = {place: torch.full(shape, start, device=device, requires_grad=True) for place, shape in shapes.items()}
    optimizer = torch.optim.Adam(list(strengths.values()), lr=learning_rate)
    for images, labels in _batches(data, steps, batch, seed):
        scaled = {f"{place}.weight": weights[place] * p.sigmoid() for place, p in strengths.items()}
        loss = functional.cross_entropy(functional_call(frozen, scaled, (images.to(device),)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tuple(LayerImportance(place, index, float(strengths[place].detach().mean())) for place, index in places)


def most_important(importances: tuple[LayerImportance, ...]) -> LayerImportance:
    """The one with the largest importance (line 12); of equal ones the first."""
    return max(importances, key=lambda found: found.importance)


def affine_places(model: nn.Sequential) -> Iterator[tuple[str, int]]:
    """Places of all Linear and Conv2d modules in order, with the index of their layer in the ring."""
    index, block = 0, ""
    for place, module in model.named_modules():
        inside = bool(block) and place.startswith(f"{block}.")
        if isinstance(module, Residual):
            index, block = index + 1, place
        elif isinstance(module, AFFINE):
            index += not inside
            yield place, index


def _batches(data: LabeledImages, steps: int, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = rng.integers(0, len(data.labels), size)
        yield to_float(data.images[chosen]), torch.from_numpy(data.labels[chosen].astype(np.int64))


def add_noise(model: nn.Sequential, place: str, mu: float, sigma: float, seed: int) -> nn.Sequential:
    """A copy of a network with Gaussian noise on one module's weights (Algorithm 1, lines 13 and 14).

    Args:
        model: only read.
        place: of the module, as in `LayerImportance`.
        mu: mean of the noise, in units of the weights.
        sigma: its standard deviation.
        seed: of the noise.

    Raises:
        ModelError: no Linear or Conv2d at `place`.
    """
    noisy = copy.deepcopy(model)
    known = [found for found, _ in affine_places(noisy)]
    if place not in known:
        raise ModelError(f"no Linear or Conv2d at '{place}'; there are {', '.join(known)}")
    weight = noisy.get_parameter(f"{place}.weight")
    noise = torch.empty(weight.shape).normal_(mu, sigma, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.add_(noise.to(weight))
    return noisy


def noisy_weight(layer: Layer, clean: Unit, noisy: Unit) -> torch.Tensor:
    """`noisy_weights` of a layer with one weight tensor, int8 [features, outputs].

    Raises:
        ModelError: as there, and if the layer has several.
    """
    found = noisy_weights(layer, clean, noisy)
    if len(found) != 1:
        raise ModelError(f"layer {layer.index} ({layer.operator}) has {len(found)} weight tensors, expected one")
    return next(iter(found.values()))


def noisy_weights(layer: Layer, clean: Unit, noisy: Unit) -> dict[str, torch.Tensor]:
    """What an attacker who wants the float network's noise writes into the integer network's memory.

    The attacker may write weights only: the scale of each output stays the one with which the clean weights were
    quantised, so noisy weights beyond the largest clean one of their output end at -64 or 63. The format bounds this
    attack.

    Args:
        layer: quantised.
        clean: the unit that it was made from (`split_model`).
        noisy: the same unit of the network with noise.

    Returns:
        By name within the layer, "weight" or those of a residual block's convolutions: int8 [features, outputs] in
        [-64, 63]. Outputs whose clean weights vanish beside their bias keep the stored ones.

    Raises:
        ModelError: the shapes differ, or `layer` was not made from `clean`.
    """
    stored = {name: tensor.cpu() for name, tensor in layer.tensors.items() if name.rpartition(".")[2] == "weight"}
    before, after = _weights_of(clean), _weights_of(noisy)
    if not stored.keys() == before.keys() == after.keys():
        raise ModelError(
            f"layer {layer.index} ({layer.operator}) was not made from '{clean.place}' and '{noisy.place}'"
        )
    where = f"layer {layer.index}"
    return {name: _write(where, stored[name], before[name], after[name]) for name in stored}


def _write(where: str, stored: torch.Tensor, clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    shapes = [list(weight.shape) for weight in (stored, clean, noisy)]
    if not shapes[0] == shapes[1] == shapes[2]:
        raise ModelError(f"{where}: weights of {shapes[0]}, {shapes[1]} and {shapes[2]} are not one layer's")
    largest = clean.abs().amax(dim=0)
    scales = torch.where(largest > 0, largest / WEIGHT_MAX, torch.ones_like(largest))
    made = (largest > 0) & (torch.round(clean / scales) == stored).all(dim=0)
    # Where the bias dwarfs the weights, it sets the scale, and the stored weights do not reach WEIGHT_MAX.
    dwarfed = stored.to(torch.int32).abs().amax(dim=0) < WEIGHT_MAX
    if not bool((made | dwarfed).all()):
        raise ModelError(f"{where}: its stored weights were not made from the clean ones")
    written = torch.round(noisy / scales).clamp(WEIGHT_MIN, WEIGHT_MAX).to(torch.int8)
    return torch.where(made, written, stored)


def _weights_of(unit: Unit) -> dict[str, torch.Tensor]:
    """Weights of a unit and its parts, by the names that they have in its layer."""
    named = {member.name: getattr(unit, member.name) for member in fields(unit)}
    found = {"weight": named["weight"]} if "weight" in named else {}
    parts = {name: value for name, value in named.items() if isinstance(value, Unit)}
    parts |= {f"inner.{number}": part for number, part in enumerate(named.get("inner", ()))}
    for name, part in parts.items():
        found |= {f"{name}.{inner}": weight for inner, weight in _weights_of(part).items()}
    return found
