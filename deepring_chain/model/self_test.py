"""Known-answer test of an int8 kernel: a worker whose machine computes otherwise must not join and accuse others.

The expected values are closed forms in Python integers, so the kernel is never compared with itself. The operands are
the extremes of the declared range, which is where an implementation that adds in 16 bits saturates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.kernels import Kernel
from deepring_chain.model.requantise import EXACT_SHIFT_MAX, Rounding

SIZES = ((1, 1, 1), (1, 784, 900), (1, 9, 1), (7, 63, 33), (17, 257, 10), (64, 1024, 64), (3, 4609, 5))
"""M, K, N: a single row, odd sizes, sizes of the paper's network, and a K as large as a 512-channel 3x3 convolution."""

INPUTS = (-128, 127)

ROUNDED_SHIFTS = (31, EXACT_SHIFT_MAX, EXACT_SHIFT_MAX + 1)
"""On both sides of where `Rounding` goes over from float64 to 64-bit integers."""


class SelfTestError(ModelError):
    """A kernel computes something else than the exact product on this machine."""


@dataclass(frozen=True)
class Case:
    """One product with its known result.

    Attributes:
        name: for the message.
        a: int8 [M, K].
        w: int8 [K, N].
        expected: int32 [M, N].
    """

    name: str
    a: torch.Tensor
    w: torch.Tensor
    expected: torch.Tensor


def run_self_test(kernel: Kernel, device: torch.device) -> None:
    """Checks a kernel, and the rounding, on a device.

    Raises:
        SelfTestError: a result differs; the message names kernel, device, case and the difference.
    """
    for shift in ROUNDED_SHIFTS:
        _check_rounding(device, shift)
    for size in SIZES:
        for case in (*_constant(kernel, *size), _alternating(kernel, *size), _selecting(kernel, *size)):
            _check(kernel, device, case)


def _check(kernel: Kernel, device: torch.device, case: Case) -> None:
    product = kernel.matmul(case.a.to(device), case.w.to(device)).cpu()
    if product.dtype != torch.int32 or product.shape != case.expected.shape:
        kind = f"{product.dtype} {tuple(product.shape)}"
        raise SelfTestError(f"kernel {kernel.name!r} on {device}: {case.name} gives {kind}, expected torch.int32")
    wrong = product != case.expected
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        got, expected = int(product[row, column]), int(case.expected[row, column])
        raise SelfTestError(
            f"kernel {kernel.name!r} is not exact on {device}: {case.name} gives {got} at [{row}, {column}], expected "
            f"{expected} (difference {got - expected}); this machine must not serve a layer"
        )


def _check_rounding(device: torch.device, shift: int) -> None:
    """Accumulators next to every tie, and the extremes, against the rule in Python's integers."""
    multiplier = 2**31 - 1
    ties = [((2 * y - 1) << (shift - 1)) // multiplier for y in range(-130, 131)]
    accs = [acc for tie in ties for acc in (tie - 1, tie, tie + 1) if abs(acc) < 2**31] + [-(2**31), 2**31 - 1]
    tensors = [torch.tensor([value], dtype=torch.int32, device=device) for value in (multiplier, shift)]
    rounding = Rounding.of(tensors[0], tensors[1], zero_point=0, low=-128)
    found = rounding.apply(torch.tensor(accs, dtype=torch.int32, device=device)[:, None])[:, 0].tolist()
    for acc, got in zip(accs, found, strict=True):
        expected = max(-128, min(127, (acc * multiplier + (1 << (shift - 1))) >> shift))
        if got != expected:
            raise SelfTestError(
                f"rounding is not exact on {device}: {acc} * {multiplier} / 2**{shift} gives {got}, expected "
                f"{expected} (difference {got - expected}); this machine must not serve a layer"
            )


def _constant(kernel: Kernel, rows: int, inner: int, columns: int) -> Iterator[Case]:
    """All inputs x, all weights w: every element is K * x * w."""
    for x in INPUTS:
        for w in (kernel.weight_min, kernel.weight_max):
            yield Case(
                f"{rows}x{inner}x{columns} of {x} times {w}",
                torch.full((rows, inner), x, dtype=torch.int8),
                torch.full((inner, columns), w, dtype=torch.int8),
                torch.full((rows, columns), inner * x * w, dtype=torch.int32),
            )


def _alternating(kernel: Kernel, rows: int, inner: int, columns: int) -> Case:
    """Inputs 127, -128, 127, ... and weights max, min, max, ...: all products are positive, none cancels."""
    even = (torch.arange(inner) % 2 == 0)[:, None]
    total = (inner + 1) // 2 * 127 * kernel.weight_max + inner // 2 * -128 * kernel.weight_min
    a = torch.where(even.T, 127, -128).expand(rows, inner)
    w = torch.where(even, kernel.weight_max, kernel.weight_min).expand(inner, columns)
    return Case(
        f"{rows}x{inner}x{columns} of alternating extremes",
        a.to(torch.int8).contiguous(),
        w.to(torch.int8).contiguous(),
        torch.full((rows, columns), total, dtype=torch.int32),
    )


def _selecting(kernel: Kernel, rows: int, inner: int, columns: int) -> Case:
    """Column n has one weight, at row 7n mod K: element [m, n] is a[m, 7n mod K] * w. Finds misplaced elements."""
    chosen = torch.arange(columns) * 7 % inner
    a = (torch.arange(rows)[:, None] * 31 + torch.arange(inner) * 17) % 256 - 128
    w = torch.zeros(inner, columns, dtype=torch.int8)
    w[chosen, torch.arange(columns)] = kernel.weight_min
    return Case(
        f"{rows}x{inner}x{columns} with one weight per column",
        a.to(torch.int8),
        w,
        (a[:, chosen] * kernel.weight_min).to(torch.int32),
    )
