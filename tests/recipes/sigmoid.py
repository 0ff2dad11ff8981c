"""Sigmoid by a table of 256 entries: the file to copy for a pointwise operator, as `model/operators/sigmoid.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.front.grid import Grid
from deepring_chain.model.front.splitting import Splitting
from deepring_chain.model.front.units import Unit
from deepring_chain.model.layer import Layer, check_names, check_tensor
from deepring_chain.model.operator import Example, FloatForm, Operator
from deepring_chain.types import LayerIndex

FORMULA = """\
- Operator `sigmoid`: index 1..n; attributes `input_size_0`, ... (shape of an item); tensor `table`
  int8 [256].
- Arithmetic of `sigmoid`: `y[i] = table[x[i] + 128]`.
"""


@dataclass(frozen=True, eq=False)
class SigmoidLayer(Layer):
    """y = table[x + 128], for each number by itself.

    Attributes:
        index: place in the network, from 1.
        table: int8 [256].
        item_shape: shape of one input item.
    """

    operator: ClassVar[str] = "sigmoid"

    table: torch.Tensor
    item_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        where = f"layer {self.index} (sigmoid)"
        if self.index < 1 or not self.item_shape or min(self.item_shape) < 1 or prod(self.item_shape) > 2**24:
            raise ModelError(f"{where}: unusable index or item {self.item_shape}")
        check_tensor(f"{where} table", self.table, "int8", (256,), (-128, 127))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return self.item_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the input."""
        return self.item_shape

    @property
    def input_dtype(self) -> str:
        """int8."""
        return "int8"

    @property
    def output_dtype(self) -> str:
        """int8."""
        return "int8"

    @property
    def attributes(self) -> Mapping[str, int]:
        """Shape of an item."""
        return {f"input_size_{axis}": size for axis, size in enumerate(self.item_shape)}

    @classmethod
    def from_parts(
        cls, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> SigmoidLayer:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: something is missing, superfluous or out of range.
        """
        sizes = [f"input_size_{axis}" for axis in range(len(attributes))]
        check_names(f"layer {index} (sigmoid)", tuple(tensors), ("table",))
        check_names(f"layer {index} (sigmoid)", tuple(attributes), tuple(sizes))
        return cls(index, tensors["table"], tuple(attributes[size] for size in sizes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Int8 [N, *item_shape] to the same."""
        return self.table[x.to(torch.int64) + 128]


@dataclass(frozen=True)
class SigmoidUnit(Unit):
    """1 / (1 + exp(-x))."""

    @property
    def module(self) -> str:
        """Sigmoid."""
        return "Sigmoid"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the input."""
        return self.item_shape

    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Float [N, *item_shape] to the same."""
        return [x.sigmoid()]


def _take(splitting: Splitting, place: str, module: nn.Sigmoid) -> None:
    splitting.append_pointwise(place, module, lambda shape: SigmoidUnit(place, shape))


def _quantise(index: LayerIndex, unit: SigmoidUnit, source: Grid, targets: Sequence[Grid], _last: bool) -> SigmoidLayer:
    real = (torch.arange(-128, 128, dtype=torch.float64) - source.zero_point) * source.scale
    steps = torch.round(real.sigmoid() / targets[0].scale) + targets[0].zero_point
    return SigmoidLayer(index, steps.clamp(-128, 127).to(torch.int8), unit.item_shape)


def _twin(layer: SigmoidLayer, x: torch.Tensor, _weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    low = x.detach().floor().clamp(-128, 126)
    entry = low.to(torch.int64) + 128
    below, above = layer.table[entry].float(), layer.table[entry + 1].float()
    return below + (x - low) * (above - below)


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))


OPERATOR = Operator(
    SigmoidLayer,
    FORMULA,
    FloatForm(
        unit=SigmoidUnit,
        quantise=_quantise,
        modules={nn.Sigmoid: _take},
        nodes={"Sigmoid": lambda _graph, _node: [nn.Sigmoid()]},
        twin=_twin,
        example=Example(_network, (6,)),
    ),
)
