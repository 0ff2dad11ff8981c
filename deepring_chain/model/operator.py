"""What the project knows of an operator, all of it said in one file of `model/operators`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from deepring_chain.model.front.grid import Grid
from deepring_chain.model.front.nodes import ToModules
from deepring_chain.model.front.splitting import Splitting
from deepring_chain.model.front.units import Unit
from deepring_chain.model.layer import Layer
from deepring_chain.types import LayerIndex

Take = Callable[[Splitting, str, Any], None]
"""Takes a torch module at a place into the split, or raises UnsupportedModule."""

Quantise = Callable[[LayerIndex, Any, Grid, Sequence[Grid], bool], Layer]
"""Index, unit, grid of its input, grids of all it traces, and whether it is the last layer, to the exact layer."""

Twin = Callable[[Any, torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor]
"""Layer, float input and float weights by name, to what the layer computes without rounding; zero slope at a clamp."""


@dataclass(frozen=True)
class Example:
    """A small float network that leads to the operator, for tests and fuzzing.

    Attributes:
        network: makes it, with whatever weights.
        item_shape: of one input, as torch has it.
    """

    network: Callable[[], nn.Sequential]
    item_shape: tuple[int, ...]


@dataclass(frozen=True)
class FloatForm:
    """How float networks lead to an operator.

    Attributes:
        unit: the layer before quantisation.
        quantise: unit to exact layer.
        modules: torch modules that become such a unit.
        nodes: ONNX operators that become such torch modules.
        twin: the layer in floats, for gradients.
        example: a network with one.
    """

    unit: type[Unit]
    quantise: Quantise
    modules: Mapping[type[nn.Module], Take]
    twin: Twin
    example: Example
    nodes: Mapping[str, ToModules] = field(default_factory=dict)


@dataclass(frozen=True)
class Operator:
    """One kind of layer; the constant `OPERATOR` of its file.

    Attributes:
        layer: the exact integers; its `operator` is the name that is bound into the content.
        formula: attributes, tensors and arithmetic, as docs/formats.md says them.
        floats: how float networks lead to it; None if they do not.
    """

    layer: type[Layer]
    formula: str
    floats: FloatForm | None = None

    @property
    def name(self) -> str:
        """The name that is bound into a layer's content."""
        return self.layer.operator
