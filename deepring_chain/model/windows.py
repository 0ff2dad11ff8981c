"""Sliding windows over images in NHWC order: geometry and patches, shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import reduce

import torch
from torch.nn import functional

from deepring_chain.errors import ModelError

SIZE_MAX = 2**12
"""Largest height, width, kernel, stride and padding."""

ITEM_BYTES_MAX = 2**30
"""Most memory in bytes that one item may need in one step of a layer: a small file must not ask for all there is."""

NAMES = (
    "kernel_height",
    "kernel_width",
    "stride_height",
    "stride_width",
    "pad_top",
    "pad_left",
    "pad_bottom",
    "pad_right",
)


@dataclass(frozen=True)
class Window:
    """A kernel's size, its steps, and what is put around an image, in pixels."""

    kernel_height: int
    kernel_width: int
    stride_height: int = 1
    stride_width: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    def __post_init__(self) -> None:
        counts, paddings = astuple(self)[:4], astuple(self)[4:]
        if any(not 1 <= count <= SIZE_MAX for count in counts) or any(not 0 <= pad <= SIZE_MAX for pad in paddings):
            raise ModelError(f"a window of {self.attributes()}: sizes and strides are 1 to {SIZE_MAX}, paddings from 0")

    @property
    def area(self) -> int:
        """Pixels under the kernel."""
        return self.kernel_height * self.kernel_width

    @property
    def is_padded(self) -> bool:
        """Whether windows reach beyond the image."""
        return any(astuple(self)[4:])

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result for an image of this size; 0 or less if the kernel does not fit."""
        rows = (height + self.pad_top + self.pad_bottom - self.kernel_height) // self.stride_height + 1
        columns = (width + self.pad_left + self.pad_right - self.kernel_width) // self.stride_width + 1
        return rows, columns

    def padded_area(self, height: int, width: int) -> int:
        """Pixels of an image of this size with what is put around it."""
        return (height + self.pad_top + self.pad_bottom) * (width + self.pad_left + self.pad_right)

    def pad(self, x: torch.Tensor, value: float) -> torch.Tensor:
        """Puts `value` around the images of [N, H, W, C]."""
        if not self.is_padded:
            return x
        sides = (0, 0, self.pad_left, self.pad_right, self.pad_top, self.pad_bottom)
        return functional.pad(x, sides, value=value)

    def slices(self, padded: torch.Tensor) -> list[torch.Tensor]:
        """One view [N, H', W', C] of a padded batch for each place under the kernel, row by row."""
        rows, columns = Window(*astuple(self)[:4]).output_size(padded.shape[1], padded.shape[2])
        row_span, column_span = (rows - 1) * self.stride_height + 1, (columns - 1) * self.stride_width + 1
        return [
            padded[:, top : top + row_span : self.stride_height, left : left + column_span : self.stride_width]
            for top in range(self.kernel_height)
            for left in range(self.kernel_width)
        ]

    def fold(self, combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], padded: torch.Tensor) -> torch.Tensor:
        """Combines the pixels under each placement of the kernel: whole lines first, which lie together in memory.

        Args:
            combine: of two tensors of one shape; exact in any order, such as a maximum or a sum of integers.
            padded: [N, H, W, C].

        Returns:
            [N, H', W', C].
        """
        flat, upright = Window(1, self.kernel_width), Window(self.kernel_height, 1)
        lines = reduce(combine, replace(upright, stride_height=self.stride_height).slices(padded))
        return reduce(combine, replace(flat, stride_width=self.stride_width).slices(lines))

    def patches(self, padded: torch.Tensor) -> torch.Tensor:
        """The pixels under each placement of the kernel: [N, H', W', kernel height, kernel width, C], a view.

        Args:
            padded: [N, H, W, C] in C order.
        """
        count, height, width, channels = padded.shape
        rows, columns = Window(*astuple(self)[:4]).output_size(height, width)
        item, line, pixel, channel = height * width * channels, width * channels, channels, 1
        return padded.as_strided(
            (count, rows, columns, self.kernel_height, self.kernel_width, channels),
            (item, line * self.stride_height, pixel * self.stride_width, line, pixel, channel),
        )

    def attributes(self) -> dict[str, int]:
        """The geometry by name."""
        return dict(zip(NAMES, astuple(self), strict=True))

    @classmethod
    def from_attributes(cls, where: str, attributes: Mapping[str, int], prefix: str = "") -> Window:
        """Inverse of `attributes`; every name must be there, after `prefix`.

        Raises:
            ModelError: an impossible geometry.
        """
        try:
            return cls(*(attributes[f"{prefix}{name}"] for name in NAMES))
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from None


def check_item_bytes(where: str, needed: int) -> None:
    """Raises ModelError if one item would need more than `ITEM_BYTES_MAX` bytes of memory."""
    if needed > ITEM_BYTES_MAX:
        raise ModelError(f"{where}: one item would need {needed} bytes of memory, at most {ITEM_BYTES_MAX} are allowed")
