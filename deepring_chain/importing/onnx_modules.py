"""ONNX operators (onnx.ai/onnx/operators) as torch modules that compute the same, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

import numpy as np
from torch import nn

from deepring_chain.model.front.modules import UnsupportedModule
from deepring_chain.model.front.nodes import (
    Graph,
    Node,
    ToModules,
    UnsupportedNode,
    constant,
    needed,
    padding_of,
    pair,
    shape_of,
    with_weights,
)
from deepring_chain.model.operators import NODES
from deepring_chain.registry import merged


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
    kernel, stride, dilation = (pair(node.attributes, name) for name in ("kernel_shape", "strides", "dilations"))
    padding = padding_of(node, kernel, stride, dilation)
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


_FUSED: Mapping[str, ToModules] = MappingProxyType(
    {
        "AveragePool": _average_pool,
        "BatchNormalization": _batch_norm,
        "Clip": _clip,
        "Dropout": _dropout,
        "Flatten": _flatten,
        "GlobalAveragePool": _global_pool,
        "GlobalMaxPool": _global_pool,
        "Identity": _nothing,
        "LogSoftmax": _softmax,
        "MaxPool": _max_pool,
        "ReduceMean": _reduce_mean,
        "Relu": _relu,
        "Reshape": _flatten,
        "Softmax": _softmax,
        "Squeeze": _flatten,
    }
)
"""What becomes no layer of its own."""

HANDLERS: Mapping[str, ToModules] = merged(NODES, _FUSED)
"""Operators with one data input. Add, which may have two, is the importer's."""
