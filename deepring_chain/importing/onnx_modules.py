"""ONNX operators (onnx.ai/onnx/operators) as torch modules that compute the same, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.importing.modules import UnsupportedModule
from deepring_chain.importing.onnx_file import Graph, Node


def refuse_node(graph: Graph, node: Node, reason: str = "") -> UnsupportedModule:
    """The error for a node, with its name and the reason."""
    because = f" ({reason})" if reason else ""
    known = ", ".join(sorted({*HANDLERS, "Add"}))
    return UnsupportedModule(
        f"{graph.source}: node '{node.name:.80}' ({node.op:.80}) cannot be made exact{because}; supported: {known}"
    )


def to_modules(graph: Graph, node: Node) -> list[nn.Module]:
    """The modules that compute what a node does with its first input; none if it does nothing.

    Raises:
        UnsupportedModule: there are none; the node is named.
    """
    handler = HANDLERS.get(node.op)
    if handler is None:
        raise refuse_node(graph, node)
    try:
        return handler(graph, node)
    except (ValueError, TypeError, IndexError, RuntimeError, OverflowError) as error:
        raise refuse_node(graph, node, " ".join(str(error).split())[:200]) from None


class UnsupportedNode(ValueError):
    """Why a node cannot be taken over."""


def shape_of(graph: Graph, name: str) -> tuple[int, ...]:
    """Shape of a value, the batch first.

    Raises:
        UnsupportedNode: it is not fixed.
    """
    if name not in graph.shapes:
        raise UnsupportedNode("its sizes are not fixed")
    return graph.shapes[name]


def constant(graph: Graph, node: Node, place: int) -> NDArray[Any] | None:
    """An input that is fixed in the file; None if it is left out.

    Raises:
        UnsupportedNode: it is computed.
    """
    name = node.inputs[place] if place < len(node.inputs) else ""
    if name and name not in graph.constants:
        raise UnsupportedNode(f"its input {place} is computed, not a weight")
    return graph.constants[name] if name else None


def weight(graph: Graph, node: Node, place: int) -> torch.Tensor | None:
    """The same as float32."""
    found = constant(graph, node, place)
    if found is None:
        return None
    if found.dtype.kind not in "fV":
        raise UnsupportedNode(f"its input {place} is of {found.dtype}")
    return torch.from_numpy(np.array(found, dtype=np.float32))


def needed(graph: Graph, node: Node, place: int) -> torch.Tensor:
    """The same, which must be there."""
    found = weight(graph, node, place)
    if found is None:
        raise UnsupportedNode(f"its input {place} is left out")
    return found


def with_weights(module: nn.Module, **values: torch.Tensor | None) -> list[nn.Module]:
    """A module with its parameters and buffers set."""
    for name, value in values.items():
        held = getattr(module, name)
        if held is not None and value is not None:
            if held.shape != value.shape:
                raise UnsupportedNode(f"its {name} has the shape {list(value.shape)}, expected {list(held.shape)}")
            held.data.copy_(value)
    return [module.eval()]


def _conv(graph: Graph, node: Node) -> list[nn.Module]:
    kernel, bias = needed(graph, node, 1), weight(graph, node, 2)
    if kernel.dim() != 4:
        raise UnsupportedNode(f"a kernel of {kernel.dim() - 2} dimensions, only images are convolved")
    attributes = node.attributes
    stride, dilation, groups = _pair(attributes, "strides"), _pair(attributes, "dilations"), attributes.get("group", 1)
    outputs, inputs, height, width = kernel.shape
    padding = _padding(node, (height, width), stride, dilation)
    module = nn.Conv2d(
        inputs * groups, outputs, (height, width), stride, padding, dilation, groups, bias=bias is not None
    )
    return with_weights(module, weight=kernel, bias=bias)


def _pair(attributes: Mapping[str, Any], name: str) -> tuple[int, int]:
    values = tuple(attributes.get(name, ())) or (1, 1)
    if len(values) != 2 or min(values) < 1:
        raise UnsupportedNode(f"{name} of {list(values)}, expected two")
    return values[0], values[1]


def _padding(
    node: Node, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int] | str:
    """Padding as torch takes it: the same on both sides, or "same"."""
    auto = node.attributes.get("auto_pad", b"NOTSET")
    if auto not in (b"NOTSET", b""):
        return _auto_padding(auto, kernel, stride)
    top, left, bottom, right = tuple(node.attributes.get("pads", ())) or (0, 0, 0, 0)
    if (top, left) == (bottom, right) and min(top, left) >= 0:
        return top, left
    total = tuple((size - 1) * step for size, step in zip(kernel, dilation, strict=True))
    if (top + bottom, left + right) == total and (top, left) == (total[0] // 2, total[1] // 2) and stride == (1, 1):
        return "same"
    raise UnsupportedNode(f"it pads {[top, left, bottom, right]}, not alike on both sides")


def _auto_padding(auto: bytes, kernel: tuple[int, ...], stride: tuple[int, int]) -> tuple[int, int] | str:
    if auto == b"VALID":
        return 0, 0
    odd = all(size % 2 for size in kernel)
    if stride == (1, 1) and (auto == b"SAME_UPPER" or (auto == b"SAME_LOWER" and odd)):
        return "same"
    raise UnsupportedNode(f"auto_pad {auto!r:.20} with strides {list(stride)}; export it with pads")


def _batch_norm(graph: Graph, node: Node) -> list[nn.Module]:
    if node.attributes.get("training_mode", 0) or not node.attributes.get("spatial", 1):
        raise UnsupportedNode("it is in training mode, or normalizes each pixel")
    scale, bias, mean, variance = (needed(graph, node, place) for place in range(1, 5))
    kinds = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    shape = shape_of(graph, node.inputs[0])
    if len(shape) not in kinds:
        raise UnsupportedNode(f"it normalizes items of shape {list(shape[1:])}")
    module = kinds[len(shape)](len(scale), eps=float(node.attributes.get("epsilon", 1e-5)))
    return with_weights(module, weight=scale, bias=bias, running_mean=mean, running_var=variance)


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


def as_bias(offset: torch.Tensor, outputs: int, dimensions: int) -> torch.Tensor:
    """One number for each output.

    Args:
        offset: a constant that is added to items of that many dimensions, outputs or channels first.
        outputs: how many.
        dimensions: of an item.

    Raises:
        UnsupportedNode: it is not one number for each.
    """
    sizes = (outputs, *(1,) * (dimensions - 1))
    found = offset.reshape(offset.shape[1:]) if offset.dim() == dimensions + 1 and len(offset) == 1 else offset
    ends = zip(found.shape[::-1], sizes[::-1], strict=False)
    if found.dim() > dimensions or any(size not in (1, full) for size, full in ends):
        raise UnsupportedNode(f"it adds numbers of the shape {list(offset.shape)} to {outputs} outputs")
    return found.expand(sizes).reshape(outputs).clone()


def _max_pool(graph: Graph, node: Node) -> list[nn.Module]:
    kernel, stride, padding, dilation, ceil = _pooling(graph, node)
    return [nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)]


def _average_pool(graph: Graph, node: Node) -> list[nn.Module]:
    kernel, stride, padding, dilation, ceil = _pooling(graph, node)
    if dilation != (1, 1):
        raise UnsupportedNode("it is dilated")
    return [nn.AvgPool2d(kernel, stride, padding, ceil, bool(node.attributes.get("count_include_pad", 0)))]


Pair = tuple[int, int]


def _pooling(graph: Graph, node: Node) -> tuple[Pair, Pair, Pair, Pair, bool]:
    """Kernel, stride, padding, dilation and whether sizes are rounded up."""
    if len(shape_of(graph, node.inputs[0])) != 4:
        raise UnsupportedNode("only images are pooled")
    kernel, stride, dilation = (_pair(node.attributes, name) for name in ("kernel_shape", "strides", "dilations"))
    padding = _padding(node, kernel, stride, dilation)
    if isinstance(padding, str):
        raise UnsupportedNode("it pads more on one side than on the other; export it with pads")
    return kernel, stride, padding, dilation, bool(node.attributes.get("ceil_mode", 0))


def _global_pool(graph: Graph, node: Node) -> list[nn.Module]:
    shape = shape_of(graph, node.inputs[0])
    if len(shape) != 4:
        raise UnsupportedNode("only images are pooled")
    size = (shape[2], shape[3])
    return [nn.MaxPool2d(size, size) if node.op == "GlobalMaxPool" else nn.AdaptiveAvgPool2d(1)]


def _reduce_mean(graph: Graph, node: Node) -> list[nn.Module]:
    axes = node.attributes.get("axes", constant(graph, node, 1))
    found = sorted(int(axis) % 4 for axis in axes) if axes is not None else []
    if len(shape_of(graph, node.inputs[0])) != 4 or found != [2, 3]:
        raise UnsupportedNode("not the mean over height and width of images")
    return [nn.AdaptiveAvgPool2d(1), *([] if node.attributes.get("keepdims", 1) else [nn.Flatten()])]


def _flatten(graph: Graph, node: Node) -> list[nn.Module]:
    """Flatten, Reshape and Squeeze, if they make features of items or leave them as they are."""
    given, made = (shape_of(graph, name) for name in (node.inputs[0], node.outputs[0]))
    if given == made:
        return []
    if made != (given[0], prod(given[1:])):
        raise UnsupportedNode(f"it makes {list(made)} of {list(given)}, not features of each item")
    return [nn.Flatten()]


def _clip(graph: Graph, node: Node) -> list[nn.Module]:
    """Clip from 0 up is ReLU; an upper bound would need a grid of its own."""
    ends = [node.attributes.get(name, constant(graph, node, place)) for place, name in ((1, "min"), (2, "max"))]
    low, high = (None if end is None else float(np.asarray(end).item()) for end in ends)
    if low != 0 or (high is not None and not high >= float(np.finfo(np.float32).max)):
        raise UnsupportedNode(f"it clips to {low} .. {high}; only ReLU, 0 .. infinity, is exact")
    return [nn.ReLU()]


def _softmax(graph: Graph, node: Node) -> list[nn.Module]:
    axis = node.attributes.get("axis", 1 if graph.opset < 13 else -1)
    if len(shape_of(graph, node.inputs[0])) != 2 or axis not in (1, -1):
        raise UnsupportedNode("not over the classes")
    return [nn.Softmax(dim=1) if node.op == "Softmax" else nn.LogSoftmax(dim=1)]


def _dropout(graph: Graph, node: Node) -> list[nn.Module]:
    training = constant(graph, node, 2)
    if training is not None and bool(np.asarray(training).any()):
        raise UnsupportedNode("it is in training mode")
    return []


def _relu(_graph: Graph, _node: Node) -> list[nn.Module]:
    return [nn.ReLU()]


def _nothing(_graph: Graph, _node: Node) -> list[nn.Module]:
    return []


HANDLERS: Mapping[str, Callable[[Graph, Node], list[nn.Module]]] = MappingProxyType(
    {
        "AveragePool": _average_pool,
        "BatchNormalization": _batch_norm,
        "Clip": _clip,
        "Conv": _conv,
        "Dropout": _dropout,
        "Flatten": _flatten,
        "Gemm": _gemm,
        "GlobalAveragePool": _global_pool,
        "GlobalMaxPool": _global_pool,
        "Identity": _nothing,
        "LogSoftmax": _softmax,
        "MatMul": _matmul,
        "MaxPool": _max_pool,
        "ReduceMean": _reduce_mean,
        "Relu": _relu,
        "Reshape": _flatten,
        "Softmax": _softmax,
        "Squeeze": _flatten,
    }
)
"""Operators with one data input. Add, which may have two, is the importer's."""
