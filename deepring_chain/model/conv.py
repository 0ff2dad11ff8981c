"""Convolution with fused BatchNorm, ReLU and pooling, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.batches import in_batches, undivided
from deepring_chain.model.convolution import CONV_NAMES, INPUT_NAMES, Convolution
from deepring_chain.model.finish import Finish, finish_names
from deepring_chain.model.kernels import INT8, Kernel
from deepring_chain.model.layer import Layer, check_names, check_tensor
from deepring_chain.model.requantise import MULTIPLIER_MAX, SHIFT_MAX, SHIFT_MIN, Rounding
from deepring_chain.model.windows import Window
from deepring_chain.types import LayerIndex

TENSOR_NAMES = ("weight", "bias", "multiplier", "shift")


@dataclass(frozen=True, eq=False)
class ConvLayer(Layer):
    """y = pool(clamp(requantise(convolution) + output zero point)); see `Convolution`, `Finish` and `requantise`.

    Attributes:
        index: place in the network, from 1.
        weight: int8 [kernel height * kernel width * channels, outputs] in [-64, 63].
        bias: int32 [outputs], within +-2**30.
        multiplier: int32 [outputs], see `requantise`.
        shift: int32 [outputs], see `requantise`.
        item_shape: [H, W, C] of one input item.
        window: the convolution's geometry.
        input_zero_point: the int8 value of the input that stands for zero.
        finish: ReLU, pooling and the output's zero point.
        kernel: the matrix product; not part of the content.
    """

    operator: ClassVar[str] = "conv"

    weight: torch.Tensor
    bias: torch.Tensor
    multiplier: torch.Tensor
    shift: torch.Tensor
    item_shape: tuple[int, ...]
    window: Window
    input_zero_point: int
    finish: Finish
    kernel: Kernel = field(default=INT8, repr=False)

    def __post_init__(self) -> None:
        where = f"layer {self.index} (conv)"
        if self.index < 1:
            raise ModelError(f"{where}: the index of a convolution is 1 or more")
        convolution = self.convolution
        convolution.check(where)
        self.finish.check(where, convolution.output_shape)
        outputs = convolution.output_shape[2]
        check_tensor(
            f"{where} multiplier", self.multiplier, "int32", (outputs,), (1, MULTIPLIER_MAX // self.finish.divisor)
        )
        check_tensor(f"{where} shift", self.shift, "int32", (outputs,), (SHIFT_MIN, SHIFT_MAX))

    @property
    def convolution(self) -> Convolution:
        """The products, over this layer's own tensors."""
        return Convolution(
            self.weight, self.bias, self.item_shape, self.window, self.input_zero_point, kernel=self.kernel
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[H, W, C] of one item."""
        return self.item_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[H', W', outputs]."""
        height, width, outputs = self.convolution.output_shape
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
        """Input's shape and zero point, geometry, ReLU, pooling and the output's zero point."""
        return {**self.convolution.attributes, **self.finish.attributes()}

    @classmethod
    def from_parts(
        cls, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> ConvLayer:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: something is missing, superfluous or out of range.
        """
        where = f"layer {index} (conv)"
        check_names(where, tuple(tensors), TENSOR_NAMES)
        check_names(where, tuple(attributes), (*CONV_NAMES, *finish_names(attributes)))
        return cls(
            index,
            weight=tensors["weight"],
            bias=tensors["bias"],
            multiplier=tensors["multiplier"],
            shift=tensors["shift"],
            item_shape=tuple(attributes[name] for name in INPUT_NAMES),
            window=Window.from_attributes(where, attributes),
            input_zero_point=attributes["input_zero_point"],
            finish=Finish.from_attributes(where, attributes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes the layer.

        Args:
            x: int8 [N, H, W, C].

        Returns:
            int8 [N, H', W', outputs].
        """
        item_bytes, result = self.convolution.item_bytes, self.output_shape
        with undivided() as threads:
            offset = self.convolution.offset()
            rounding = Rounding.of(self.multiplier, self.shift, self.finish.zero_point, self.finish.low)
            return in_batches(lambda part: self._forward(part, offset, rounding), x, item_bytes, result, threads)

    def _forward(self, x: torch.Tensor, offset: torch.Tensor, rounding: Rounding) -> torch.Tensor:
        """One cut; the largest of each window is taken first, which leaves less to round."""
        acc = self.convolution.products(x)
        if self.finish.averages:
            return self.finish.apply(acc.add_(offset).to(torch.int64).mul_(self.multiplier), self.shift)
        return rounding.apply(self.finish.largest(acc).add_(offset))
