"""Linear with a ReLU, after a Flatten or not: from torch and ONNX to `DenseLayer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.front.grid import Grid, quantise_products, split_factors
from deepring_chain.model.front.modules import read_bias, read_values
from deepring_chain.model.front.nodes import (
    Graph,
    Node,
    UnsupportedNode,
    as_bias,
    needed,
    shape_of,
    weight,
    with_weights,
)
from deepring_chain.model.front.splitting import Splitting, ring_shape
from deepring_chain.model.front.units import Affine
from deepring_chain.model.operator import Example, FloatForm, Operator
from deepring_chain.model.requantise import MULTIPLIER_MAX, real_factor
from deepring_chain.types import LayerIndex

FORMULA = """\
- Operator `dense`: index 1..n; attributes `input_zero_point`, `output_zero_point`, `relu` (0 or 1),
  `output_bits` (8 or 32), `input_size_0`, ... (shape of an item); tensors in this order: `weight`
  int8 [features, outputs] in [-64, 63], `bias` int32 [outputs] within +-2^30, `multiplier` int32
  [outputs] 1..2^31-1, `shift` int32 [outputs] 1..62.
- Arithmetic of `dense`: `acc[n] = sum_k w[k,n] * (x[k] - input_zero_point) + bias[n]` in int32;
  `y[n] = ((acc[n] * multiplier[n] + 2^(shift[n]-1)) >> shift[n]) + output_zero_point`, in 64 bits
  with an arithmetic shift (rounds to nearest, ties towards plus infinity); clamped to the output's
  range, from below at `output_zero_point` if `relu`.
"""


def _take(splitting: Splitting, place: str, module: nn.Linear) -> None:
    features = splitting.features(place, module)
    matrix, bias = read_values(place, module, "weight").T, read_bias(place, module)
    if features != len(matrix):
        raise ModelError(f"module 'Linear' at '{place}' takes {len(matrix)} features, gets {features}")
    if splitting.waiting is not None:
        scale, offset = splitting.take_waiting()
        matrix, bias = scale[:, None] * matrix, bias + offset @ matrix
    shape = splitting.flattened or splitting.shape
    if len(shape) == 3:
        matrix = matrix.reshape(*shape, -1).permute(1, 2, 0, 3).reshape(features, -1)
    splitting.append(Affine(place, ring_shape(shape), matrix.contiguous(), bias))


def _gemm(graph: Graph, node: Node) -> list[nn.Module]:
    matrix, offset = needed(graph, node, 1), weight(graph, node, 2)
    if node.attributes.get("transA", 0) or matrix.dim() != 2:
        raise UnsupportedNode("its items are turned, or its weight is no matrix")
    matrix = matrix if node.attributes.get("transB", 0) else matrix.T
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    return _linear(matrix * alpha, None if offset is None else offset * beta)


def _matmul(graph: Graph, node: Node) -> list[nn.Module]:
    matrix = needed(graph, node, 1)
    if matrix.dim() != 2 or len(shape_of(graph, node.inputs[0])) != 2:
        raise UnsupportedNode("not items of features times a matrix")
    return _linear(matrix.T, None)


def _linear(matrix: torch.Tensor, offset: torch.Tensor | None) -> list[nn.Module]:
    outputs, features = matrix.shape
    bias = None if offset is None else as_bias(offset, outputs, 1)
    return with_weights(nn.Linear(features, outputs, bias=bias is not None), weight=matrix, bias=bias)


def _quantise(index: LayerIndex, unit: Affine, source: Grid, targets: Sequence[Grid], last: bool) -> DenseLayer:
    products, target = quantise_products(unit, source), targets[0]
    multiplier, shift = split_factors(products.scales * (source.scale / target.scale), MULTIPLIER_MAX)
    return DenseLayer(
        index,
        weight=products.weight,
        bias=products.bias,
        multiplier=multiplier,
        shift=shift,
        item_shape=unit.item_shape,
        input_zero_point=source.zero_point,
        output_zero_point=target.zero_point,
        relu=unit.relu,
        output_dtype="int32" if last else "int8",
    )


def _twin(layer: DenseLayer, x: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    acc = (x.reshape(len(x), -1) - layer.input_zero_point) @ weights["weight"] + layer.bias
    y = acc * real_factor(layer.multiplier, layer.shift) + layer.output_zero_point
    if layer.output_dtype == "int32":
        return y
    return y.clamp(layer.output_zero_point if layer.relu else -128, 127)


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))


OPERATOR = Operator(
    DenseLayer,
    FORMULA,
    FloatForm(
        unit=Affine,
        quantise=_quantise,
        modules={nn.Linear: _take},
        nodes={"Gemm": _gemm, "MatMul": _matmul},
        twin=_twin,
        example=Example(_network, (3, 4)),
    ),
)
