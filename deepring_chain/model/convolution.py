"""The products of a convolution: images in NHWC order, as patches times weights, through the exact matrix product."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.dense import BIAS_MAX, FEATURES_MAX
from deepring_chain.model.kernels import INT8, WEIGHT_MAX, WEIGHT_MIN, Kernel
from deepring_chain.model.layer import Part, check_tensor
from deepring_chain.model.windows import NAMES, SIZE_MAX, Window, check_item_bytes

INPUT_NAMES = ("input_height", "input_width", "input_channels")
CONV_NAMES = (*INPUT_NAMES, "input_zero_point", *NAMES)


@dataclass(frozen=True, eq=False)
class Convolution(Part):
    """acc[h, w, n] = sum over the window's pixels and channels k of weight[k, n] * (x[k] - zero point) + bias[n].

    It comes in two parts: the products of the raw x, and an offset of each output, the same for all items.

    Pixels outside of the image are zeros, so they hold the zero point.

    Attributes:
        weight: int8 [kernel height * kernel width * channels, outputs] in [-64, 63], rows in that order.
        bias: int32 [outputs], within +-2**30, in units of input scale times weight scale.
        item_shape: [H, W, C] of one input item.
        window: geometry.
        zero_point: the int8 value of the input that stands for zero.
        kernel: the matrix product; not part of the content.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    item_shape: tuple[int, ...]
    window: Window
    zero_point: int
    kernel: Kernel = field(default=INT8, repr=False)

    def check(self, where: str) -> None:
        """Raises ModelError unless tensors, shapes and zero point are possible."""
        if len(self.item_shape) != 3 or any(not 1 <= size <= SIZE_MAX for size in self.item_shape):
            raise ModelError(f"{where}: takes items {self.item_shape}, expected [H, W, C], each 1 to {SIZE_MAX}")
        if min(self.window.output_size(*self.item_shape[:2])) < 1:
            raise ModelError(f"{where}: its kernel does not fit into items {self.item_shape}")
        if not -128 <= self.zero_point <= 127:
            raise ModelError(f"{where}: zero point {self.zero_point}, allowed -128..127")
        features, outputs = self.window.area * self.item_shape[2], self.bias.numel()
        if features > FEATURES_MAX or outputs < 1:
            raise ModelError(f"{where}: {outputs} outputs of {features} inputs each (at most {FEATURES_MAX})")
        check_item_bytes(where, self.item_bytes)
        check_tensor(f"{where} weight", self.weight, "int8", (features, outputs), (WEIGHT_MIN, WEIGHT_MAX))
        check_tensor(f"{where} bias", self.bias, "int32", (outputs,), (-BIAS_MAX, BIAS_MAX))

    @property
    def attributes(self) -> dict[str, int]:
        """Input's shape and zero point, and geometry, under the names in `CONV_NAMES`."""
        sizes = dict(zip(INPUT_NAMES, self.item_shape, strict=True))
        return {**sizes, "input_zero_point": self.zero_point, **self.window.attributes()}

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """[H', W', outputs]."""
        return *self.window.output_size(*self.item_shape[:2]), self.bias.numel()

    @property
    def item_bytes(self) -> int:
        """Memory in bytes that one item takes: padded, as patches, and its results with an int64 copy of them."""
        height, width, outputs = self.output_shape
        channels = self.item_shape[2]
        padded = self.window.padded_area(*self.item_shape[:2]) * channels
        return padded + height * width * (self.window.area * channels + 12 * outputs)

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """int8 [N, H, W, C] to int32 [N, H', W', outputs], without the `offset`."""
        padded = self.window.pad(x, self.zero_point).contiguous()
        patches = self.window.patches(padded).reshape(-1, len(self.weight))
        return self.kernel.matmul(patches, self.weight).view(len(x), *self.output_shape)

    def offset(self) -> torch.Tensor:
        """Bias less what a patch of zero points alone would give, from the live weights: int32 [outputs]."""
        zeros = torch.full_like(self.weight[:, 0], self.zero_point)
        return self.bias - self.kernel.matmul(zeros[None], self.weight)[0]
