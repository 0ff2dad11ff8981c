"""Conv2d with batch normalization, ReLU and pooling: from torch and ONNX to `ConvLayer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import nn
from torch.nn import functional

from deepring_chain.errors import ModelError
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.finish import Finish
from deepring_chain.model.front.grid import Grid, quantise_products, split_factors
from deepring_chain.model.front.modules import conv_window, read_bias, read_values, refuse
from deepring_chain.model.front.nodes import (
    Graph,
    Node,
    UnsupportedNode,
    needed,
    padding_of,
    pair,
    weight,
    with_weights,
)
from deepring_chain.model.front.splitting import Splitting
from deepring_chain.model.front.units import ConvUnit
from deepring_chain.model.operator import Example, FloatForm, Operator
from deepring_chain.model.pooling import AVERAGE
from deepring_chain.model.requantise import MULTIPLIER_MAX, real_factor
from deepring_chain.types import LayerIndex

FORMULA = """\
- Operator `conv`: index 1..n; attributes `input_height`, `input_width`, `input_channels` (1..4096),
  `input_zero_point`, a window, `output_zero_point`, `relu` (0 or 1), `pool` (0 none, 1 maximum, 2
  average) and, unless `pool` is 0, a window whose names begin with `pool_` (area at most 2^16, each
  padding less than the kernel's side). Tensors in this order: `weight` int8 [kernel height * kernel
  width * channels, outputs] in [-64, 63], rows in the order row, column, channel; `bias` int32
  [outputs] within +-2^30; `multiplier` int32 [outputs] 1..M/d, with M = 2^31-1 and d the area of an
  average pooling, else 1; `shift` int32 [outputs] 1..62.
- Arithmetic of `conv`: `acc` as for `dense`, over the pixels of the window that lie inside of the
  image (those outside hold the zero point); then
  - no pooling or a maximum: `y = ((acc * multiplier + 2^(shift-1)) >> shift) + output_zero_point`,
    clamped to [-128, 127], from below at `output_zero_point` if `relu`; a maximum is the largest
    `y` of its window's pixels inside of the image;
  - an average: `s` = sum of `acc * multiplier` over its window, of `max(0, acc * multiplier)` if
    `relu`, pixels outside count as 0; then `y` from `s` in place of `acc * multiplier`. The
    division by the area is in the multiplier, so there is one rounding.
"""


def _take(splitting: Splitting, place: str, module: nn.Conv2d) -> None:
    shape, window = splitting.image(place, module), conv_window(place, module)
    if shape[2] != module.in_channels:
        raise ModelError(f"module 'Conv2d' at '{place}' takes {module.in_channels} channels, gets {shape[2]}")
    kernel, bias = read_values(place, module, "weight"), read_bias(place, module)
    if splitting.waiting is not None:
        if window.is_padded:
            reason = f"it pads after the BatchNorm2d at '{splitting.waiting_place}' with other zeros"
            raise refuse(place, module, reason)
        scale, offset = splitting.take_waiting()
        kernel, bias = kernel * scale[:, None, None], bias + (kernel * offset[:, None, None]).sum((1, 2, 3))
    rows = kernel.permute(2, 3, 1, 0).reshape(-1, len(bias))
    splitting.append(ConvUnit(place, shape, rows.contiguous(), bias, window))


def _node(graph: Graph, node: Node) -> list[nn.Module]:
    kernel, bias = needed(graph, node, 1), weight(graph, node, 2)
    if kernel.dim() != 4:
        raise UnsupportedNode(f"a kernel of {kernel.dim() - 2} dimensions, only images are convolved")
    attributes = node.attributes
    stride, dilation, groups = pair(attributes, "strides"), pair(attributes, "dilations"), attributes.get("group", 1)
    outputs, inputs, height, width = kernel.shape
    padding = padding_of(node, (height, width), stride, dilation)
    module = nn.Conv2d(
        inputs * groups, outputs, (height, width), stride, padding, dilation, groups, bias=bias is not None
    )
    return with_weights(module, weight=kernel, bias=bias)


def quantise_conv(index: LayerIndex, unit: ConvUnit, source: Grid, target: Grid) -> ConvLayer:
    """The exact form of a convolution between two grids."""
    products, finish = quantise_products(unit, source), Finish(target.zero_point, unit.relu, unit.pool)
    factors = products.scales * (source.scale / target.scale / finish.divisor)
    multiplier, shift = split_factors(factors, MULTIPLIER_MAX // finish.divisor)
    return ConvLayer(
        index,
        weight=products.weight,
        bias=products.bias,
        multiplier=multiplier,
        shift=shift,
        item_shape=unit.item_shape,
        window=unit.window,
        input_zero_point=source.zero_point,
        finish=finish,
    )


def _quantise(index: LayerIndex, unit: ConvUnit, source: Grid, targets: Sequence[Grid], _last: bool) -> ConvLayer:
    return quantise_conv(index, unit, source, targets[0])


def conv_twin(layer: ConvLayer, x: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What the layer computes, without rounding."""
    acc = products_twin(layer.convolution, x, weights["weight"])
    return finish_twin(layer.finish, acc * real_factor(layer.multiplier, layer.shift))


def products_twin(convolution: Convolution, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """The accumulators of a convolution with bias, float [N, H', W', outputs]."""
    window, channels = convolution.window, convolution.item_shape[2]
    padded = window.pad(x - convolution.zero_point, 0).permute(0, 3, 1, 2)
    kernels = kernel.view(window.kernel_height, window.kernel_width, channels, -1).permute(3, 2, 0, 1)
    strides = (window.stride_height, window.stride_width)
    return functional.conv2d(padded, kernels, convolution.bias.float(), strides).permute(0, 2, 3, 1)


def finish_twin(finish: Finish, y: torch.Tensor) -> torch.Tensor:
    """What `Finish.apply` gives for scaled accumulators [N, H, W, C]."""
    pool = finish.pool
    if pool is not None and pool.kind == AVERAGE:
        y = reduce(torch.add, pool.window.slices(pool.window.pad(y.relu() if finish.relu else y, 0)))
    y = (y + finish.zero_point).clamp(finish.zero_point if finish.relu else -128, 127)
    if pool is not None and pool.kind != AVERAGE:
        y = reduce(torch.maximum, pool.window.slices(pool.window.pad(y, -128)))
    return y


def _network() -> nn.Sequential:
    conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))


OPERATOR = Operator(
    ConvLayer,
    FORMULA,
    FloatForm(
        unit=ConvUnit,
        quantise=_quantise,
        modules={nn.Conv2d: _take},
        nodes={"Conv": _node},
        twin=conv_twin,
        example=Example(_network, (1, 4, 4)),
    ),
)
