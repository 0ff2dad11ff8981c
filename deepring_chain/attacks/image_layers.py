"""Layers of images with random integers, for checks of the arithmetic that need no trained network.

They are drawn, not quantised: floating point differs between machines, and so could the layers.
"""

from __future__ import annotations

import numpy as np
import torch

from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.finish import Finish
from deepring_chain.model.kernels import WEIGHT_MAX, WEIGHT_MIN
from deepring_chain.model.layer import Layer
from deepring_chain.model.pooling import AVERAGE, MAX, Pool
from deepring_chain.model.residual import SUM_MULTIPLIER_MAX, ResidualLayer
from deepring_chain.model.windows import Window
from deepring_chain.types import LayerIndex

IMAGE_LAYERS = 3

IMAGE_SHAPE = (16, 16, 3)
"""[H, W, C] of what the first layer takes."""

SAME = Window(3, 3, 1, 1, 1, 1, 1, 1)
HALF = Window(3, 3, 2, 2, 1, 1, 1, 1)
CHANNELS = (16, 24)
SHIFT = 38
"""Brings the sums of some hundred products to about the range of int8."""


def make_image_layers(rng: np.random.Generator) -> tuple[Layer, ...]:
    """A convolution with ReLU and a maximum, and two residual blocks: one plain, one with a shortcut and an average.

    Args:
        rng: source of weights, biases and multipliers.
    """
    first = _conv(rng, 1, IMAGE_SHAPE, CHANNELS[0], SAME, Finish(-128, True, Pool(MAX, Window(2, 2, 2, 2))))
    plain = _block(rng, 2, (8, 8, CHANNELS[0]), CHANNELS[0], SAME, Finish(-128, True, None))
    pool = Pool(AVERAGE, Window(4, 4, 4, 4))
    return first, plain, _block(rng, 3, (8, 8, CHANNELS[0]), CHANNELS[1], HALF, Finish(0, False, pool))


def _block(
    rng: np.random.Generator, index: int, shape: tuple[int, int, int], outputs: int, window: Window, finish: Finish
) -> ResidualLayer:
    inner = _conv(rng, index, shape, outputs, window, Finish(-128, True, None))
    tail = _products(rng, inner.output_shape, outputs, SAME)
    shortcut = None if inner.output_shape == shape else _products(rng, shape, outputs, Window(1, 1, 2, 2))
    body, around = _multiplier(rng, outputs, finish), _multiplier(rng, outputs, finish)
    return ResidualLayer(LayerIndex(index), (inner,), tail, shortcut, body, around, _shift(outputs), finish)


def _conv(
    rng: np.random.Generator, index: int, shape: tuple[int, int, int], outputs: int, window: Window, finish: Finish
) -> ConvLayer:
    drawn = _products(rng, shape, outputs, window)
    return ConvLayer(
        LayerIndex(index),
        weight=drawn.weight,
        bias=drawn.bias,
        multiplier=_multiplier(rng, outputs, finish),
        shift=_shift(outputs),
        item_shape=shape,
        window=window,
        input_zero_point=drawn.zero_point,
        finish=finish,
    )


def _products(rng: np.random.Generator, shape: tuple[int, ...], outputs: int, window: Window) -> Convolution:
    size = (window.area * shape[2], outputs)
    weight = torch.from_numpy(rng.integers(WEIGHT_MIN, WEIGHT_MAX + 1, size, dtype=np.int8))
    bias = torch.from_numpy(rng.integers(-(2**12), 2**12, outputs, dtype=np.int32))
    return Convolution(weight, bias, shape, window, zero_point=-128)


def _multiplier(rng: np.random.Generator, outputs: int, finish: Finish) -> torch.Tensor:
    limit = SUM_MULTIPLIER_MAX // finish.divisor
    return torch.from_numpy(rng.integers(limit // 2, limit + 1, outputs, dtype=np.int32))


def _shift(outputs: int) -> torch.Tensor:
    return torch.full((outputs,), SHIFT, dtype=torch.int32)
