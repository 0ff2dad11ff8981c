"""Nodes of an ONNX file as plain values, and what operators read of them; onnx itself is not imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        name: its own or, if it has none, that of its output.
        op: operator.
        inputs: names of values; "" is an input that is left out.
        outputs: names of values.
        attributes: by name, as Python values.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """What an ONNX file says.

    Attributes:
        source: the file, for messages.
        opset: version of the standard operators.
        nodes: in the order of execution, without constants.
        constants: weights and other fixed values.
        shapes: of the values, as far as they are known; the first size is that of the batch.
        input: name of the one input.
        output: name of the one output.
    """

    source: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]
    shapes: Mapping[str, tuple[int, ...]]
    input: str
    output: str


ToModules = Callable[[Graph, Node], list[nn.Module]]
"""The torch modules that compute what a node does with its first input; raises UnsupportedNode if there are none."""


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


def pair(attributes: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Two sizes of images under a name, 1 and 1 if they are left out.

    Raises:
        UnsupportedNode: not two positive ones.
    """
    values = tuple(attributes.get(name, ())) or (1, 1)
    if len(values) != 2 or min(values) < 1:
        raise UnsupportedNode(f"{name} of {list(values)}, expected two")
    return values[0], values[1]


def padding_of(
    node: Node, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int] | str:
    """Padding as torch takes it: the same on both sides, or "same".

    Raises:
        UnsupportedNode: another one.
    """
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
