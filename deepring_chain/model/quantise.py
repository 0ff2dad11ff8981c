"""Turns a trained float network into exact integers, once, when it is split.

Per-channel symmetric weights in [-63, 63], int8 activations whose range is the largest value seen on the calibration
inputs, int32 biases, and one common scale for the int32 logits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.model.dense import BIAS_MAX, DenseLayer
from deepring_chain.model.kernels import WEIGHT_MAX
from deepring_chain.model.layer import Layer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.requantise import split_factor
from deepring_chain.model.split import Affine, SplitModel, split_model
from deepring_chain.types import LayerIndex

LOGIT_STEPS = 2**20
"""Integer value of the largest logit seen in calibration; 2**11 times that still fits into int32."""

SAME_FUNCTION = 1e-3
"""Largest accepted difference of split and given network, relative to the largest output."""


@dataclass(frozen=True)
class Grid:
    """An affine int8 code: real value = scale * (q - zero_point)."""

    scale: float
    zero_point: int

    @classmethod
    def spanning(cls, values: torch.Tensor) -> Grid:
        """Finest grid over the values: unsigned with zero point -128 if none is negative, else symmetric."""
        low, high = float(values.min()), float(values.max())
        if low >= 0:
            return cls(_round_scale(high / 255), -128)
        return cls(_round_scale(max(-low, high) / 127), 0)


PIXELS = Grid(1 / 255, -128)
"""Pixels 0..255 that the network takes as 0..1: nothing is lost."""


def quantise(
    model: nn.Sequential,
    calibration: torch.Tensor,
    *,
    name: str,
    classes: tuple[str, ...] = (),
    input_grid: Grid | None = None,
) -> QuantisedModel:
    """Quantises a network and splits it into layers 1..n.

    Args:
        model: any `nn.Sequential` (nested too) of Linear, ReLU, Flatten, Dropout, Identity and BatchNorm1d, with or
            without a Softmax or LogSoftmax at its end (which is left to the reader). It is only read.
        calibration: float [N, *item shape], inputs as the network takes them; some hundreds are enough.
        name: for the card.
        classes: label of each output; numbers if empty.
        input_grid: int8 code of the inputs, `PIXELS` for images; by default the finest that holds the calibration
            inputs.

    Raises:
        UnsupportedModule: a module that cannot be made exact, with its place.
        ModelError: unusable calibration inputs, weights or shapes.
    """
    inputs = _check_calibration(calibration)
    split = split_model(model, tuple(inputs.shape[1:]))
    _check_same_function(model, split, calibration)
    input_grid = input_grid or Grid.spanning(inputs)
    layers, output_scale = _quantise_layers(split.layers, inputs, input_grid)
    labels = classes or tuple(str(number) for number in range(len(split.layers[-1].bias)))
    shape = tuple(inputs.shape[1:])
    scale, zero_point = input_grid.scale, input_grid.zero_point
    return QuantisedModel(ModelCard(name, shape, scale, zero_point, labels, output_scale, len(layers)), layers)


def _check_calibration(calibration: torch.Tensor) -> torch.Tensor:
    if not calibration.is_floating_point() or calibration.dim() < 2 or calibration.numel() == 0:
        got = f"{calibration.dtype} {list(calibration.shape)}"
        raise ModelError(f"calibration inputs must be a float batch [N, ...], got {got}")
    if not bool(calibration.isfinite().all()):
        raise ModelError("calibration inputs hold NaN or infinity")
    return calibration.detach().to("cpu", torch.float64)


def _check_same_function(model: nn.Sequential, split: SplitModel, calibration: torch.Tensor) -> None:
    """Hooks or an overridden forward would make the split network another function than the given one."""
    model = copy.deepcopy(model).cpu().double().eval()
    x = calibration[:64].detach().to("cpu", torch.float64)
    with torch.no_grad():
        expected, found = model(x), x
        for layer in split.layers:
            found = layer.forward(found)
        for reader in split.readers:
            found = reader(found)
    tolerance = SAME_FUNCTION * (1 + float(expected.abs().max()))
    if expected.shape != found.shape or not bool(((expected - found).abs() <= tolerance).all()):
        raise ModelError("the model computes something else than its modules say (a hook or its own forward?)")


def _quantise_layers(affines: tuple[Affine, ...], inputs: torch.Tensor, grid: Grid) -> tuple[tuple[Layer, ...], float]:
    """Walks through the layers with the float activations of the calibration inputs.

    Returns:
        Layers 1..n and the scale of the logits.
    """
    layers: list[Layer] = []
    activations = inputs
    for number, affine in enumerate(affines, start=1):
        activations = affine.forward(activations)
        last = number == len(affines)
        target = _logit_grid(activations) if last else Grid.spanning(activations)
        try:
            layers.append(_quantise_layer(LayerIndex(number), affine, grid, target, last))
        except ModelError as error:
            raise ModelError(f"module 'Linear' at '{affine.place}' cannot be quantised: {error}") from None
        grid = target
    return tuple(layers), grid.scale


def _logit_grid(logits: torch.Tensor) -> Grid:
    return Grid(_round_scale(float(logits.abs().max()) / LOGIT_STEPS), 0)


def _quantise_layer(index: LayerIndex, affine: Affine, source: Grid, target: Grid, last: bool) -> DenseLayer:
    scales = _weight_scales(affine, source)
    factors = [split_factor(source.scale * scale / target.scale) for scale in scales.tolist()]
    return DenseLayer(
        index,
        weight=torch.round(affine.weight / scales).to(torch.int8),
        bias=torch.round(affine.bias / (scales * source.scale)).to(torch.int32),
        multiplier=torch.tensor([multiplier for multiplier, _ in factors], dtype=torch.int32),
        shift=torch.tensor([shift for _, shift in factors], dtype=torch.int32),
        item_shape=affine.item_shape,
        input_zero_point=source.zero_point,
        output_zero_point=target.zero_point,
        relu=affine.relu,
        output_dtype="int32" if last else "int8",
    )


def _weight_scales(affine: Affine, source: Grid) -> torch.Tensor:
    """Scale per output: as fine as the largest weight allows and the bias, counted in it, still fits."""
    by_weight = affine.weight.abs().amax(dim=0) / WEIGHT_MAX
    by_bias = affine.bias.abs() / (source.scale * BIAS_MAX)
    scales = torch.maximum(by_weight, by_bias)
    return torch.where(scales > 0, scales, torch.ones_like(scales))


def _round_scale(scale: float) -> float:
    """Rounds to float32, so that the last bits of float64 sums, which depend on threads, do not reach the model."""
    with np.errstate(over="ignore"):  # an infinite scale is refused by name where it is used
        rounded = float(np.float32(scale))
    return rounded if rounded > 0 else 1.0
