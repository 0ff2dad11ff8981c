"""Pooling that is fused into the layer before it, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.windows import NAMES, Window

MAX, AVERAGE = "max", "average"
CODES = {MAX: 1, AVERAGE: 2}

AREA_MAX = 2**16
"""Pixels in one window: the multiplier of an average keeps at least 15 bits."""

PREFIX = "pool_"
ATTRIBUTES = ("pool", *(f"{PREFIX}{name}" for name in NAMES))


@dataclass(frozen=True)
class Pool:
    """A pooling after an activation.

    The largest of a window may be taken before or after rounding and clamping, which keep the order.
    An average is the sum of a window before the one rounding, with the division by its area in the multiplier.

    Attributes:
        kind: "max" or "average".
        window: its geometry. An average counts padded pixels as zeros; a maximum never finds one.
    """

    kind: str
    window: Window

    def __post_init__(self) -> None:
        window = self.window
        if self.kind not in CODES or window.area > AREA_MAX:
            raise ModelError(f"a pooling {self.kind!r} over {window.area} pixels: max or average, at most {AREA_MAX}")
        reach = (window.kernel_height, window.kernel_width) * 2
        pads = (window.pad_top, window.pad_left, window.pad_bottom, window.pad_right)
        if any(pad >= size for pad, size in zip(pads, reach, strict=True)):
            raise ModelError(f"a pooling of {window.attributes()}: a window would lie outside of the image")

    @property
    def divisor(self) -> int:
        """What the accumulators' sum is divided by."""
        return self.window.area if self.kind == AVERAGE else 1

    def sum(self, products: torch.Tensor) -> torch.Tensor:
        """The sum of each window: int64 [N, H, W, C] to int64 [N, H', W', C]."""
        return self.window.fold(torch.add, self.window.pad(products, 0)).contiguous()

    def largest(self, y: torch.Tensor) -> torch.Tensor:
        """The largest of each window: integers [N, H, W, C] to the same type, [N, H', W', C]."""
        return self.window.fold(torch.maximum, self.window.pad(y, torch.iinfo(y.dtype).min)).contiguous()


def pool_attributes(pool: Pool | None) -> dict[str, int]:
    """Attributes of a layer that ends with `pool`."""
    if pool is None:
        return {"pool": 0}
    return {"pool": CODES[pool.kind], **{f"{PREFIX}{name}": value for name, value in pool.window.attributes().items()}}


def pool_names(attributes: Mapping[str, int]) -> tuple[str, ...]:
    """The names that `pool_attributes` gives for these attributes."""
    return ATTRIBUTES if attributes.get("pool") else ATTRIBUTES[:1]


def read_pool(where: str, attributes: Mapping[str, int]) -> Pool | None:
    """Inverse of `pool_attributes`.

    Raises:
        ModelError: an unknown kind or an impossible window.
    """
    code = attributes["pool"]
    if code == 0:
        return None
    kinds = {value: kind for kind, value in CODES.items()}
    if code not in kinds:
        raise ModelError(f"{where}: pool {code} unknown")
    window = Window.from_attributes(f"{where} pool", attributes, PREFIX)
    try:
        return Pool(kinds[code], window)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None
