"""Fully connected layer with a fused ReLU (paper, section 4), in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.batches import in_batches, undivided
from deepring_chain.model.kernels import INT8, WEIGHT_MAX, WEIGHT_MIN, Kernel
from deepring_chain.model.layer import DTYPES, Layer, check_names, check_tensor
from deepring_chain.model.requantise import MULTIPLIER_MAX, SHIFT_MAX, SHIFT_MIN, Rounding, requantise
from deepring_chain.types import LayerIndex

FEATURES_MAX = 2**16
BIAS_MAX = 2**30
"""With at most 2**16 features, |sum of w * (x - z)| <= 2**16 * 64 * 255 < 2**30, so adding the bias stays in int32."""

SHARED_PRODUCTS = 2**25
"""A batch of fewer products, a fraction of a millisecond, stays on one thread."""

TENSOR_NAMES = ("weight", "bias", "multiplier", "shift")


@dataclass(frozen=True, eq=False)
class DenseLayer(Layer):
    """y = clamp(requantise(sum over k of w[k, n] * (x[k] - input_zero_point) + bias[n]) + output_zero_point).

    The input zero point's share, `input_zero_point * sum of w`, is not folded into the bias: it is computed from the
    live weights in every forward pass. Weight and bias thus keep their own meaning, a changed weight acts as a changed
    weight (also in tampering experiments), and no number outside of `content` enters the result.

    Attributes:
        index: place in the network, from 1.
        weight: int8 [features, outputs] in [-64, 63].
        bias: int32 [outputs], within +-2**30, in units of input scale times weight scale.
        multiplier: int32 [outputs], see `requantise`.
        shift: int32 [outputs], see `requantise`.
        item_shape: shape of one input item; a Flatten before the layer is part of it, in C order.
        input_zero_point: the int8 value that stands for zero.
        output_zero_point: the same of the result; 0 if the result is int32.
        relu: whether values below zero become zero.
        output_dtype: "int8"; "int32" for the last layer, whose logits share one scale.
        kernel: the matrix product; not part of the content.
    """

    operator: ClassVar[str] = "dense"

    weight: torch.Tensor
    bias: torch.Tensor
    multiplier: torch.Tensor
    shift: torch.Tensor
    item_shape: tuple[int, ...]
    input_zero_point: int
    output_zero_point: int
    relu: bool
    output_dtype: str = "int8"
    kernel: Kernel = field(default=INT8, repr=False)

    def __post_init__(self) -> None:
        where = f"layer {self.index} (dense)"
        features, outputs = prod(self.item_shape), self.bias.numel()
        sizes_fit = self.item_shape and min(self.item_shape) > 0 and features <= FEATURES_MAX
        if self.index < 1 or not sizes_fit or outputs < 1:
            raise ModelError(f"{where}: {outputs} outputs of items {self.item_shape} (1 to {FEATURES_MAX} features)")
        check_tensor(f"{where} weight", self.weight, "int8", (features, outputs), (WEIGHT_MIN, WEIGHT_MAX))
        check_tensor(f"{where} bias", self.bias, "int32", (outputs,), (-BIAS_MAX, BIAS_MAX))
        check_tensor(f"{where} multiplier", self.multiplier, "int32", (outputs,), (1, MULTIPLIER_MAX))
        check_tensor(f"{where} shift", self.shift, "int32", (outputs,), (SHIFT_MIN, SHIFT_MAX))
        self._check_attributes(where)

    def _check_attributes(self, where: str) -> None:
        zero_points = (self.input_zero_point, self.output_zero_point)
        if any(not -128 <= point <= 127 for point in zero_points):
            raise ModelError(f"{where}: zero points {zero_points}, allowed -128..127")
        if self.output_dtype not in ("int8", "int32"):
            raise ModelError(f"{where}: delivers {self.output_dtype}, expected int8 or int32")
        if self.output_dtype == "int32" and self.output_zero_point != 0:
            raise ModelError(f"{where}: int32 logits with zero point {self.output_zero_point}, expected 0")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one item."""
        return self.item_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(outputs,)."""
        return (self.bias.numel(),)

    @property
    def input_dtype(self) -> str:
        """int8."""
        return "int8"

    @property
    def attributes(self) -> Mapping[str, int]:
        """Zero points, ReLU, width of the result and shape of an item."""
        sizes = {f"input_size_{axis}": size for axis, size in enumerate(self.item_shape)}
        return {
            "input_zero_point": self.input_zero_point,
            "output_zero_point": self.output_zero_point,
            "relu": int(self.relu),
            "output_bits": 32 if self.output_dtype == "int32" else 8,
            **sizes,
        }

    @classmethod
    def from_parts(
        cls, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> DenseLayer:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: something is missing, superfluous or out of range.
        """
        where = f"layer {index} (dense)"
        sizes = [f"input_size_{axis}" for axis in range(len(attributes) - 4)]
        check_names(where, tuple(tensors), TENSOR_NAMES)
        expected = ("input_zero_point", "output_zero_point", "relu", "output_bits", *sizes)
        check_names(where, tuple(attributes), expected)
        if attributes["relu"] not in (0, 1) or attributes["output_bits"] not in (8, 32):
            raise ModelError(f"{where}: relu {attributes['relu']} or output_bits {attributes['output_bits']} unknown")
        return cls(
            index,
            weight=tensors["weight"],
            bias=tensors["bias"],
            multiplier=tensors["multiplier"],
            shift=tensors["shift"],
            item_shape=tuple(attributes[size] for size in sizes),
            input_zero_point=attributes["input_zero_point"],
            output_zero_point=attributes["output_zero_point"],
            relu=bool(attributes["relu"]),
            output_dtype=f"int{attributes['output_bits']}",
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes the layer.

        Args:
            x: int8 [N, *item_shape].

        Returns:
            int8 or int32 [N, outputs].
        """
        features, outputs = self.weight.shape
        with undivided() as threads:
            offset = self.bias - self._zero_point_share()
            used = threads if len(x) * features * outputs >= SHARED_PRODUCTS else 1
            flat, item_bytes, dtype = x.reshape(len(x), -1), features + 12 * outputs, DTYPES[self.output_dtype]
            return in_batches(lambda part: self._forward(part, offset), flat, item_bytes, (outputs,), used, dtype)

    def _forward(self, x: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        acc = self.kernel.matmul(x, self.weight).add_(offset)
        if self.output_dtype == "int8":
            low = self.output_zero_point if self.relu else -128
            return Rounding.of(self.multiplier, self.shift, self.output_zero_point, low).apply(acc)
        y = requantise(acc, self.multiplier, self.shift)
        return y.clamp_(0 if self.relu else -(2**31), 2**31 - 1).to(torch.int32)

    def _zero_point_share(self) -> torch.Tensor:
        """What an item of zero points alone would give: int32 [1, outputs]."""
        zeros = torch.full_like(self.weight[:, 0], self.input_zero_point)
        return self.kernel.matmul(zeros[None], self.weight)
