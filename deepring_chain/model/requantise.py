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
    wide = shift.to(torch.int64)
    half = torch.ones_like(wide) << (wide - 1)
    return acc.to(torch.int64).mul_(multiplier).add_(half).bitwise_right_shift_(wide)


def split_factor(factor: float) -> tuple[int, int]:
    """Multiplier and shift of a positive real factor: 31 significant bits, fewer below 2**-32.

    Raises:
        ModelError: not finite, not positive, or 2**30 and more.
    """
    if not (math.isfinite(factor) and 0 < factor < 2**30):
        raise ModelError(f"a requantisation factor of {factor}: the weights or activations have no usable range")
    _, exponent = math.frexp(factor)
    shift = min(31 - exponent, SHIFT_MAX)
    multiplier = round(math.ldexp(factor, shift))
    if multiplier > MULTIPLIER_MAX:
        multiplier, shift = multiplier // 2, shift - 1
    return max(1, multiplier), shift
