"""What a layer of images does to its accumulators: ReLU, pooling, rounding, and the attributes that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.pooling import AVERAGE, MAX, Pool, pool_attributes, pool_names, read_pool
from deepring_chain.model.requantise import round_shift
from deepring_chain.model.windows import check_item_bytes


@dataclass(frozen=True)
class Finish:
    """The end of a layer of images.

    Attributes:
        zero_point: the int8 value of the result that stands for zero.
        relu: whether values below zero become zero.
        pool: pooling after that, if any.
    """

    zero_point: int
    relu: bool
    pool: Pool | None

    def check(self, where: str, results: tuple[int, int, int]) -> None:
        """Raises ModelError unless zero point and pooling fit `results` = [H, W, C] of the layer before its end."""
        image = results[:2]
        if not -128 <= self.zero_point <= 127:
            raise ModelError(f"{where}: output zero point {self.zero_point}, allowed -128..127")
        if min(self.output_size(image)) < 1:
            raise ModelError(f"{where}: its pooling does not fit into {image[0]} x {image[1]} results")
        if self.pool:
            check_item_bytes(f"{where} pool", 8 * self.pool.window.padded_area(*image) * results[2])

    @property
    def divisor(self) -> int:
        """Pixels that an average pooling adds up, else 1: multipliers are smaller by it, so that sums fit 64 bits."""
        return self.pool.divisor if self.pool else 1

    @property
    def averages(self) -> bool:
        """Whether the pooling is an average, which adds up before the rounding."""
        return self.pool is not None and self.pool.kind == AVERAGE

    @property
    def low(self) -> int:
        """Smallest result: what ReLU leaves, or all that int8 has."""
        return self.zero_point if self.relu else -128

    def output_size(self, image: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the result."""
        return self.pool.window.output_size(*image) if self.pool else image

    def apply(self, products: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Scaled accumulators to the layer's result; the only rounding is here.

        Args:
            products: int64 [N, H, W, C], accumulators times multipliers; changed in place.
            shift: int32 [C], see `round_shift`.

        Returns:
            int8 [N, H', W', C].
        """
        if self.pool is not None and self.averages:
            # The average is one of what ReLU leaves, so the latter comes first.
            products = self.pool.sum(products.clamp_min_(0) if self.relu else products)
        y = round_shift(products, shift).add_(self.zero_point).clamp_(self.low, 127).to(torch.int8)
        return self.largest(y)

    def largest(self, y: torch.Tensor) -> torch.Tensor:
        """The largest of each window if that is the pooling, else `y`."""
        return self.pool.largest(y) if self.pool is not None and self.pool.kind == MAX else y

    def attributes(self) -> dict[str, int]:
        """Zero point, ReLU and pooling by name."""
        return {"output_zero_point": self.zero_point, "relu": int(self.relu), **pool_attributes(self.pool)}

    @classmethod
    def from_attributes(cls, where: str, attributes: Mapping[str, int]) -> Finish:
        """Inverse of `attributes`; every name must be there.

        Raises:
            ModelError: values that mean nothing.
        """
        if attributes["relu"] not in (0, 1):
            raise ModelError(f"{where}: relu {attributes['relu']} unknown")
        return cls(attributes["output_zero_point"], bool(attributes["relu"]), read_pool(where, attributes))


def finish_names(attributes: Mapping[str, int]) -> tuple[str, ...]:
    """The names that `Finish.attributes` gives for these attributes."""
    return ("output_zero_point", "relu", *pool_names(attributes))
