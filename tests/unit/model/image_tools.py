"""Layers of images for the tests of the model, from the reference's descriptions."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn

from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.finish import Finish
from deepring_chain.model.layer import Layer
from deepring_chain.model.pooling import Pool
from deepring_chain.model.residual import ResidualLayer
from deepring_chain.model.windows import Window
from deepring_chain.types import LayerIndex
from tests.unit.model.image_reference import make_layer, make_residual, make_window


def image_layer(spec: dict[str, Any]) -> ConvLayer | ResidualLayer:
    """Layer of a vector or of the reference."""
    return residual_of(spec) if "tail" in spec else conv_of(spec)


def conv_of(spec: dict[str, Any]) -> ConvLayer:
    products = convolution_of(spec)
    return ConvLayer(
        LayerIndex(spec["index"]),
        weight=products.weight,
        bias=products.bias,
        multiplier=int32(spec["multiplier"]),
        shift=int32(spec["shift"]),
        item_shape=products.item_shape,
        window=products.window,
        input_zero_point=products.zero_point,
        finish=finish_of(spec),
    )


def residual_of(spec: dict[str, Any]) -> ResidualLayer:
    return ResidualLayer(
        LayerIndex(spec["index"]),
        tuple(conv_of(part) for part in spec["inner"]),
        convolution_of(spec["tail"]),
        None if spec["shortcut"] is None else convolution_of(spec["shortcut"]),
        multiplier=int32(spec["multiplier"]),
        shortcut_multiplier=int32(spec["shortcut_multiplier"]),
        shift=int32(spec["shift"]),
        finish=finish_of(spec),
    )


def convolution_of(spec: dict[str, Any]) -> Convolution:
    weight, window = torch.tensor(spec["weight"], dtype=torch.int8), Window(**spec["window"])
    return Convolution(weight, int32(spec["bias"]), tuple(spec["item_shape"]), window, spec["input_zero_point"])


def finish_of(spec: dict[str, Any]) -> Finish:
    pool = Pool(spec["pool"], Window(**spec["pool_window"])) if spec["pool"] else None
    return Finish(spec["output_zero_point"], bool(spec["relu"]), pool)


def int32(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def small_conv(**changes: Any) -> ConvLayer:
    """5 x 4 images of 3 channels to 3 x 2 of 4, padded, with ReLU and a maximum."""
    rng = random.Random(7)  # noqa: S311 (test data)
    same, pool = make_window(3, 3, 1, 1, 1, 1, 1, 1), make_window(3, 2, 2, 2, 1, 0, 1, 0)
    spec = make_layer(rng, [5, 4, 3], 4, same, relu=1, pool="max", pool_window=pool)
    return image_layer({**spec, **changes})  # type: ignore[return-value]


def small_residual(stride: int = 2, **changes: Any) -> ResidualLayer:
    """4 x 4 images of 3 channels; with stride 2 to 2 x 2 of 4, else to 4 x 4 of 3."""
    rng = random.Random(8)  # noqa: S311 (test data)
    spec = make_residual(rng, [4, 4, 3], 4 if stride > 1 else 3, stride, zero=-128)
    return image_layer({**spec, **changes})  # type: ignore[return-value]


def random_input(layer: Layer, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, (count, *(layer.input_shape or ())), generator=generator).to(torch.int8)


def with_statistics(model: nn.Sequential, inputs: torch.Tensor, seed: int = 5) -> nn.Sequential:
    """The network with batch normalizations as after training: statistics of the inputs, scales and offsets."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.3, 0.3, generator=generator)
    with torch.no_grad():
        model.train()(inputs)
    return model.eval()
