"""The one rounding rule of the project.

A real factor r is held as `multiplier / 2**shift`, and `acc * r` rounded to the nearest integer, ties towards
plus infinity: `(acc * multiplier + 2**(shift - 1)) >> shift` with an arithmetic shift, in 64 bits. |acc| < 2**31 and
multiplier < 2**31 keep the sum below 2**63.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from deepring_chain.errors import ModelError

MULTIPLIER_MAX = 2**31 - 1
SHIFT_MIN, SHIFT_MAX = 1, 62

EXACT_SHIFT_MAX = 43
"""Largest shift at which `Rounding` is exact in float64; larger ones, of tiny factors, take 64-bit integers."""


def requantise(acc: torch.Tensor, multiplier: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Multiplies by a real factor per channel and rounds.

    Args:
        acc: int32 [N, channels].
        multiplier: int32 [channels], 1..2**31 - 1.
        shift: int32 [channels], 1..62.

    Returns:
        int64 [N, channels].
    """
    return round_shift(acc.to(torch.int64).mul_(multiplier), shift)


def round_shift(products: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Divides by 2**shift and rounds to the nearest, ties towards plus infinity.

    Args:
        products: int64 [..., channels], below 2**62 in magnitude; changed in place.
        shift: int32 [channels], 1..62.

    Returns:
        int64 [..., channels].
    """
    wide = shift.to(torch.int64)
    half = torch.ones_like(wide) << (wide - 1)
    return products.add_(half).bitwise_right_shift_(wide)


@dataclass(frozen=True, eq=False)
class Rounding:
    """Accumulators to int8: multiply, round, add the zero point, clamp; the numbers of one layer, made ready once.

    float64 gives the same integers as the rule above, and twice as fast. Let t = acc * multiplier / 2**shift and c be
    1/2 + zero point. While |t| < 2**9 and shift <= 43, acc * multiplier is below 2**52, and |t + c| below 2**10 with at
    most 43 fractional bits: both are exact in 53 bits, and so is the floor. A larger |t| may be rounded, but stays at
    2**9 or above, since rounding keeps order; it ends beyond the clamp with either arithmetic.

    Attributes:
        factor: float64 [channels], multiplier / 2**shift; None where 64-bit integers are needed.
        multiplier: int32 [channels], see `requantise`.
        shift: int32 [channels].
        zero_point: of the result.
        low: smallest result.
    """

    factor: torch.Tensor | None
    multiplier: torch.Tensor
    shift: torch.Tensor
    zero_point: int
    low: int

    @classmethod
    def of(cls, multiplier: torch.Tensor, shift: torch.Tensor, zero_point: int, low: int) -> Rounding:
        """From a layer's tensors; `low` is -128, or the zero point after ReLU."""
        is_exact = int(shift.max()) <= EXACT_SHIFT_MAX
        factor = torch.ldexp(multiplier.to(torch.float64), -shift) if is_exact else None
        return cls(factor, multiplier, shift, zero_point, low)

    def apply(self, acc: torch.Tensor) -> torch.Tensor:
        """int32 [..., channels] to int8 of the same shape."""
        if self.factor is None:
            wide = requantise(acc, self.multiplier, self.shift).add_(self.zero_point)
        else:
            wide = acc.to(torch.float64).mul_(self.factor).add_(0.5 + self.zero_point).floor_()
        return wide.clamp_(self.low, 127).to(torch.int8)


def real_factor(multiplier: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """The real factors that multipliers and shifts stand for, float32."""
    return (multiplier.double() / 2.0 ** shift.double()).float()


def split_factor(factor: float, limit: int = MULTIPLIER_MAX) -> tuple[int, int]:
    """Multiplier and shift of a positive real factor: as many bits as the limit has, 31 at most, fewer below 2**-32.

    Args:
        factor: to be held as multiplier / 2**shift.
        limit: largest multiplier, from 1.

    Raises:
        ModelError: not finite, not positive, or 2**30 and more.
    """
    if not (math.isfinite(factor) and 0 < factor < 2**30):
        raise ModelError(f"a requantisation factor of {factor}: the weights or activations have no usable range")
    _, exponent = math.frexp(factor)
    shift = min(limit.bit_length() - exponent, SHIFT_MAX)
    if round(math.ldexp(factor, shift)) > limit:
        shift -= 1
    if shift < SHIFT_MIN:
        raise ModelError(f"a requantisation factor of {factor}: too large for its multiplier")
    return max(1, round(math.ldexp(factor, shift))), shift
