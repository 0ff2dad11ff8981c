"""A residual block as one layer (arXiv 1512.03385), in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.batches import in_batches, undivided
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import CONV_NAMES, INPUT_NAMES, Convolution
from deepring_chain.model.finish import Finish, finish_names
from deepring_chain.model.layer import Layer, check_names, check_tensor
from deepring_chain.model.requantise import SHIFT_MAX, SHIFT_MIN
from deepring_chain.model.windows import Window
from deepring_chain.types import LayerIndex

SUM_MULTIPLIER_MAX = 2**30 - 1
"""Two products of an accumulator and a multiplier and the rounding's half stay below 2**63."""

INNER_MAX = 8
"""Most convolutions before the last of a block."""

CONV_TENSORS = ("weight", "bias")
_Value = TypeVar("_Value")

MERGE_TENSORS = ("multiplier", "shortcut_multiplier", "shift")


@dataclass(frozen=True, eq=False)
class ResidualLayer(Layer):
    """y = pool(clamp(round(tail(inner(x)) * m + shortcut(x) * s) + output zero point)), with one rounding of the sum.

    Attributes:
        index: place in the network, from 1.
        inner: the body's convolutions but the last, each with its own rounding; may be empty.
        tail: products of the body's last convolution.
        shortcut: products of the shortcut's convolution; None for the identity, whose accumulator is x - zero point.
        multiplier: int32 [outputs], of the body; 0 to 2**30 - 1 over the area of an average pooling.
        shortcut_multiplier: int32 [outputs], of the shortcut, the same.
        shift: int32 [outputs], common to both.
        finish: ReLU, pooling and the output's zero point.
    """

    operator: ClassVar[str] = "residual"

    inner: tuple[ConvLayer, ...]
    tail: Convolution
    shortcut: Convolution | None
    multiplier: torch.Tensor
    shortcut_multiplier: torch.Tensor
    shift: torch.Tensor
    finish: Finish

    def __post_init__(self) -> None:
        where = f"layer {self.index} (residual)"
        if self.index < 1 or len(self.inner) > INNER_MAX or any(part.index != self.index for part in self.inner):
            raise ModelError(f"{where}: {len(self.inner)} inner convolutions (at most {INNER_MAX}, of the same index)")
        self.tail.check(f"{where} tail")
        if self.shortcut is not None:
            self.shortcut.check(f"{where} shortcut")
        self._check_shapes(where)
        self.finish.check(where, self.tail.output_shape)
        outputs = self.tail.output_shape[2]
        limits = (0, SUM_MULTIPLIER_MAX // self.finish.divisor)
        check_tensor(f"{where} multiplier", self.multiplier, "int32", (outputs,), limits)
        check_tensor(f"{where} shortcut_multiplier", self.shortcut_multiplier, "int32", (outputs,), limits)
        check_tensor(f"{where} shift", self.shift, "int32", (outputs,), (SHIFT_MIN, SHIFT_MAX))

    def _check_shapes(self, where: str) -> None:
        given, zero_point = self.input_shape, self.input_zero_point
        for part in self.inner:
            if (part.item_shape, part.input_zero_point) != (given, zero_point):
                taken = f"{part.item_shape} with zero point {part.input_zero_point}"
                raise ModelError(f"{where}: an inner convolution takes {taken}, gets {given} with {zero_point}")
            given, zero_point = part.output_shape, part.finish.zero_point
        if (self.tail.item_shape, self.tail.zero_point) != (given, zero_point):
            taken = f"{self.tail.item_shape} with zero point {self.tail.zero_point}"
            raise ModelError(f"{where}: its last convolution takes {taken}, gets {given} with {zero_point}")
        shortcut = self.input_shape if self.shortcut is None else self.shortcut.output_shape
        if shortcut != self.tail.output_shape:
            raise ModelError(f"{where}: the shortcut gives {shortcut}, the body {self.tail.output_shape}")
        if self.shortcut is not None and self.shortcut.item_shape != self.input_shape:
            raise ModelError(f"{where}: the shortcut takes {self.shortcut.item_shape}, the body {self.input_shape}")
        if self.shortcut is not None and self.shortcut.zero_point != self.input_zero_point:
            raise ModelError(f"{where}: body and shortcut take other zero points")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[H, W, C] of one item."""
        return self.inner[0].item_shape if self.inner else self.tail.item_shape

    @property
    def input_zero_point(self) -> int:
        """The int8 value of the input that stands for zero."""
        return self.inner[0].input_zero_point if self.inner else self.tail.zero_point

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[H', W', outputs]."""
        height, width, outputs = self.tail.output_shape
        return *self.finish.output_size((height, width)), outputs

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
        """Those of the convolutions under `inner.0.`, ..., `tail.` and `shortcut.`, and those of the block's end."""
        found = {"inner": len(self.inner), "has_shortcut": int(self.shortcut is not None)}
        for number, part in enumerate(self.inner):
            found |= {f"inner.{number}.{name}": value for name, value in part.attributes.items()}
        found |= {f"tail.{name}": value for name, value in self.tail.attributes.items()}
        if self.shortcut is not None:
            found |= {f"shortcut.{name}": value for name, value in self.shortcut.attributes.items()}
        return {**found, **self.finish.attributes()}

    @classmethod
    def from_parts(
        cls, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> ResidualLayer:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: something is missing, superfluous or out of range.
        """
        where = f"layer {index} (residual)"
        count, has_shortcut = attributes.get("inner", 0), attributes.get("has_shortcut", 0)
        if not 0 <= count <= INNER_MAX or has_shortcut not in (0, 1):
            raise ModelError(f"{where}: {count} inner convolutions or has_shortcut {has_shortcut} unknown")
        parts = _Parts(dict(attributes), dict(tensors))
        inner = tuple(_read_inner(where, index, number, parts) for number in range(count))
        tail = _read_conv(f"{where} tail", *parts.take("tail."))
        shortcut = _read_conv(f"{where} shortcut", *parts.take("shortcut.")) if has_shortcut else None
        check_names(where, tuple(parts.tensors), MERGE_TENSORS)
        check_names(where, tuple(parts.attributes), ("inner", "has_shortcut", *finish_names(parts.attributes)))
        return cls(
            index,
            inner,
            tail,
            shortcut,
            multiplier=tensors["multiplier"],
            shortcut_multiplier=tensors["shortcut_multiplier"],
            shift=tensors["shift"],
            finish=Finish.from_attributes(where, parts.attributes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes the block.

        Args:
            x: int8 [N, H, W, C].

        Returns:
            int8 [N, H', W', outputs].
        """
        shortcut_bytes = 0 if self.shortcut is None else self.shortcut.item_bytes
        item_bytes, result = self.tail.item_bytes + shortcut_bytes, self.output_shape
        with undivided() as threads:
            tail, shortcut = self.tail.offset(), None if self.shortcut is None else self.shortcut.offset()
            return in_batches(lambda part: self._forward(part, tail, shortcut), x, item_bytes, result, threads)

    def _forward(self, x: torch.Tensor, tail: torch.Tensor, shortcut: torch.Tensor | None) -> torch.Tensor:
        """One cut; `tail` and `shortcut` are the offsets of those convolutions."""
        y = x
        for part in self.inner:
            y = part.forward(y)
        products = self.tail.products(y).add_(tail).to(torch.int64).mul_(self.multiplier)
        products += self._shortcut(x, shortcut).to(torch.int64).mul_(self.shortcut_multiplier)
        return self.finish.apply(products, self.shift)

    def _shortcut(self, x: torch.Tensor, offset: torch.Tensor | None) -> torch.Tensor:
        if self.shortcut is None or offset is None:
            return x.to(torch.int32) - self.input_zero_point
        return self.shortcut.products(x).add_(offset)


def _read_inner(where: str, index: LayerIndex, number: int, parts: _Parts) -> ConvLayer:
    try:
        return ConvLayer.from_parts(index, *parts.take(f"inner.{number}."))
    except ModelError as error:
        raise ModelError(f"{where} inner.{number}: {error}") from None


def _read_conv(where: str, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]) -> Convolution:
    check_names(where, tuple(tensors), CONV_TENSORS)
    check_names(where, tuple(attributes), CONV_NAMES)
    return Convolution(
        tensors["weight"],
        tensors["bias"],
        item_shape=tuple(attributes[name] for name in INPUT_NAMES),
        window=Window.from_attributes(where, attributes),
        zero_point=attributes["input_zero_point"],
    )


@dataclass
class _Parts:
    """Attributes and tensors that no part of the block has taken yet."""

    attributes: dict[str, int]
    tensors: dict[str, torch.Tensor]

    def take(self, prefix: str) -> tuple[dict[str, int], dict[str, torch.Tensor]]:
        """Removes and returns those under a prefix, without it."""
        return _take(self.attributes, prefix), _take(self.tensors, prefix)


def _take(named: dict[str, _Value], prefix: str) -> dict[str, _Value]:
    return {name.removeprefix(prefix): named.pop(name) for name in list(named) if name.startswith(prefix)}
