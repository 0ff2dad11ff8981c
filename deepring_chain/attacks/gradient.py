"""Gradients of the loss by the stored weights of an integer model, through a float twin of each layer.

The twin computes what the layer computes, without rounding; where the layer clamps, the gradient is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import functional

from deepring_chain.attacks.weights import weight_tensors
from deepring_chain.errors import ModelError
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.finish import Finish
from deepring_chain.model.pooling import AVERAGE
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.residual import ResidualLayer

Weights = Mapping[str, torch.Tensor]
"""Float weights of one layer, by their name within it."""


def weight_gradients(model: QuantisedModel, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of the mean cross entropy by each stored weight, counted in its integer steps.

    Args:
        model: its layers must be on the device of `x`.
        x: int8 [N, *input_shape].
        labels: int64 [N].

    Returns:
        By name as in a parameter file, such as "layer.3.weight": float32, of the weight's shape.

    Raises:
        ModelError: an operator without a twin.
    """
    leaves = {name: weight.float().requires_grad_() for name, weight in weight_tensors(model.layers).items()}
    y = x.float()
    for layer in model.layers:
        if layer.operator not in TWINS:
            raise ModelError(f"layer {layer.index} ({layer.operator}): no gradient for it")
        y = TWINS[layer.operator](layer, y, _under(leaves, f"layer.{layer.index}."))
    loss = functional.cross_entropy(y * model.card.output_scale, labels)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def _under(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def _dense(layer: DenseLayer, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    acc = (x.reshape(len(x), -1) - layer.input_zero_point) @ weights["weight"] + layer.bias
    y = acc * _factor(layer.multiplier, layer.shift) + layer.output_zero_point
    if layer.output_dtype == "int32":
        return y
    return y.clamp(layer.output_zero_point if layer.relu else -128, 127)


def _conv(layer: ConvLayer, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    acc = _products(layer.convolution, x, weights["weight"])
    return _finish(layer.finish, acc * _factor(layer.multiplier, layer.shift))


def _residual(layer: ResidualLayer, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    y = x
    for number, part in enumerate(layer.inner):
        y = _conv(part, y, _under(weights, f"inner.{number}."))
    y = _products(layer.tail, y, weights["tail.weight"]) * _factor(layer.multiplier, layer.shift)
    shortcut = x - layer.input_zero_point
    if layer.shortcut is not None:
        shortcut = _products(layer.shortcut, x, weights["shortcut.weight"])
    return _finish(layer.finish, y + shortcut * _factor(layer.shortcut_multiplier, layer.shift))


def _products(convolution: Convolution, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What `Convolution.accumulate` gives, float [N, H', W', outputs]."""
    window, channels = convolution.window, convolution.item_shape[2]
    padded = window.pad(x - convolution.zero_point, 0).permute(0, 3, 1, 2)
    kernels = weight.view(window.kernel_height, window.kernel_width, channels, -1).permute(3, 2, 0, 1)
    strides = (window.stride_height, window.stride_width)
    return functional.conv2d(padded, kernels, convolution.bias.float(), strides).permute(0, 2, 3, 1)


def _finish(finish: Finish, y: torch.Tensor) -> torch.Tensor:
    """What `Finish.apply` gives for scaled accumulators [N, H, W, C]."""
    pool = finish.pool
    if pool is not None and pool.kind == AVERAGE:
        y = reduce(torch.add, pool.window.slices(pool.window.pad(y.relu() if finish.relu else y, 0)))
    y = (y + finish.zero_point).clamp(finish.zero_point if finish.relu else -128, 127)
    if pool is not None and pool.kind != AVERAGE:
        y = reduce(torch.maximum, pool.window.slices(pool.window.pad(y, -128)))
    return y


def _factor(multiplier: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return (multiplier.double() / 2.0 ** shift.double()).float()


TWINS: Mapping[str, Callable[[Any, torch.Tensor, Weights], torch.Tensor]] = MappingProxyType(
    {DenseLayer.operator: _dense, ConvLayer.operator: _conv, ResidualLayer.operator: _residual}
)
