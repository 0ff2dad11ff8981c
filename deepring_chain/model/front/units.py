"""Layers before quantisation: float64 affine maps with their activation and pooling.

Images are [N, H, W, C] here, as in the ring; weights have the shapes that the integer layers take.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeGuard, TypeVar

import torch
from torch.nn import functional

from deepring_chain.model.pooling import MAX, Pool
from deepring_chain.model.windows import Window

UnitT = TypeVar("UnitT", bound="Unit")


@dataclass(frozen=True)
class Unit(ABC):
    """One layer of a split network.

    Attributes:
        place: of its module in the network, as in its state dict.
        item_shape: shape of one input item, flattened by a dense layer; [H, W, C] of an image.
        convolves: whether it has convolutions, which are ten times as fast in float32.
    """

    convolves: ClassVar[bool] = False

    place: str
    item_shape: tuple[int, ...]

    @property
    @abstractmethod
    def module(self) -> str:
        """Kind of the module at `place`, for messages."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one item of the result."""

    @abstractmethod
    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """All results, float64 [N, ...], that are rounded to int8 on the way; the unit's own is the last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float64 [N, *item_shape] to the unit's result."""
        return self.trace(x)[-1]

    def cast(self: UnitT, dtype: torch.dtype) -> UnitT:
        """The same unit with weights of another float type, for inputs of that type."""
        return replace(self, **{member.name: _cast(getattr(self, member.name), dtype) for member in fields(self)})


@dataclass(frozen=True)
class Affine(Unit):
    """relu(x @ weight + bias).

    Attributes:
        weight: float64 [features, outputs].
        bias: float64 [outputs].
        relu: whether ReLU follows.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    relu: bool = False

    @property
    def module(self) -> str:
        """Linear."""
        return "Linear"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(outputs,)."""
        return (len(self.bias),)

    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[N, *item_shape] to [N, outputs]."""
        y = x.reshape(len(x), -1) @ self.weight + self.bias
        return [y.relu() if self.relu else y]


@dataclass(frozen=True)
class ConvUnit(Unit):
    """pool(relu(convolution)).

    Attributes:
        weight: float64 [kernel height * kernel width * channels, outputs].
        bias: float64 [outputs].
        window: the convolution's geometry.
        relu: whether ReLU follows.
        pool: pooling after that, if any.
    """

    convolves: ClassVar[bool] = True

    weight: torch.Tensor
    bias: torch.Tensor
    window: Window
    relu: bool = False
    pool: Pool | None = None

    @property
    def module(self) -> str:
        """Conv2d."""
        return "Conv2d"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[H', W', outputs]."""
        return *pooled_size(self.pool, self.window.output_size(*self.item_shape[:2])), len(self.bias)

    def scaled(self, scale: torch.Tensor, offset: torch.Tensor) -> ConvUnit:
        """The convolution followed by scale and offset of each output."""
        return replace(self, weight=self.weight * scale, bias=self.bias * scale + offset)

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        """The affine part alone: [N, H, W, C] to [N, H', W', outputs]."""
        window = self.window
        size = (window.kernel_height, window.kernel_width, self.item_shape[2], len(self.bias))
        kernel = self.weight.reshape(size).permute(3, 2, 0, 1)
        images = window.pad(x, 0).permute(0, 3, 1, 2)
        y = functional.conv2d(images, kernel, self.bias, stride=(window.stride_height, window.stride_width))
        return y.permute(0, 2, 3, 1)

    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[N, H, W, C] to [N, H', W', outputs]."""
        return [_finish(self.convolve(x), self.relu, self.pool)]


@dataclass(frozen=True)
class ResidualUnit(Unit):
    """pool(relu(tail(inner(x)) + shortcut(x))).

    Attributes:
        inner: the body's convolutions but the last.
        tail: the body's last convolution, without activation or pooling.
        shortcut: a convolution without activation or pooling; None for the identity.
        relu: whether ReLU follows.
        pool: pooling after that, if any.
    """

    convolves: ClassVar[bool] = True

    inner: tuple[ConvUnit, ...]
    tail: ConvUnit
    shortcut: ConvUnit | None
    relu: bool = False
    pool: Pool | None = None

    @property
    def module(self) -> str:
        """Residual."""
        return "Residual"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[H', W', outputs]."""
        height, width, outputs = self.tail.output_shape
        return *pooled_size(self.pool, (height, width)), outputs

    def trace(self, x: torch.Tensor) -> list[torch.Tensor]:
        """[N, H, W, C] to [N, H', W', outputs], after the results of the inner convolutions."""
        results, y = [], x
        for part in self.inner:
            y = part.forward(y)
            results.append(y)
        shortcut = x if self.shortcut is None else self.shortcut.convolve(x)
        return [*results, _finish(self.tail.convolve(y) + shortcut, self.relu, self.pool)]


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype)
    if isinstance(value, Unit):
        return value.cast(dtype)
    return tuple(_cast(part, dtype) for part in value) if isinstance(value, tuple) else value


def is_bare(unit: Unit | None) -> TypeGuard[Affine | ConvUnit]:
    """Whether nothing follows the affine map yet, so that scale and offset fold into it."""
    return isinstance(unit, (Affine, ConvUnit)) and not unit.relu and getattr(unit, "pool", None) is None


def pooled_size(pool: Pool | None, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a pooling."""
    return pool.window.output_size(*size) if pool else size


def _finish(y: torch.Tensor, relu: bool, pool: Pool | None) -> torch.Tensor:
    y = y.relu() if relu else y
    return y if pool is None else _pool(pool, y)


def _pool(pool: Pool, y: torch.Tensor) -> torch.Tensor:
    padding = float("-inf") if pool.kind == MAX else 0.0
    parts = torch.stack(pool.window.slices(pool.window.pad(y, padding)))
    return parts.amax(0) if pool.kind == MAX else parts.mean(0)
