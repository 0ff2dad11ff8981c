"""The one rounding rule of the project.

A real factor r is held as `multiplier / 2**shift`, and `acc * r` rounded to the nearest integer, ties towards
plus infinity: `(acc * multiplier + 2**(shift - 1)) >> shift` with an arithmetic shift, in 64 bits. |acc| < 2**31 and
multiplier < 2**31 keep the sum below 2**63.
"""

from __future__ import annotations

import math

import torch

from deepring_chain.errors import ModelError

MULTIPLIER_MAX = 2**31 - 1
SHIFT_MIN, SHIFT_MAX = 1, 62


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
