"""Exact int8 matrix product, the one operation in which a layer's arithmetic could differ between machines.

Weights stay in [-64, 63]. With 8-bit weights, `torch._int_mm` saturates silently on CPUs without VNNI: their
instruction adds two 8 x 8 bit products in 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

WEIGHT_MIN = -64
WEIGHT_MAX = 63

CPU_COLUMNS = 2
"""A product with one column is not exact on a CPU with AVX-512 but without VNNI: oneDNN swaps the operands there."""

CUDA_MULTIPLE = 8
"""K and N that cuBLASLt's int8 product takes are multiples of this."""

CUDA_ROWS = 17
"""Fewest rows that `torch._int_mm` takes on CUDA."""


@dataclass(frozen=True)
class Kernel:
    """An int8 matrix product and the range of weights for which it claims to be exact.

    Attributes:
        name: for messages.
        matmul: int8 [M, K] times int8 [K, N] to int32 [M, N].
        weight_min: smallest weight.
        weight_max: largest weight.
    """

    name: str
    matmul: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight_min: int
    weight_max: int


def int8_matmul(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Exact matrix product of activations and weights on the device that holds them.

    Args:
        a: int8 [M, K], the whole range.
        w: int8 [K, N], in [-64, 63].

    Returns:
        int32 [M, N].
    """
    a, w = _canonical(a), _canonical(w)
    if a.is_cuda:
        return _padded_matmul(a, w, CUDA_ROWS, CUDA_MULTIPLE)
    if w.shape[1] == 1:
        return _padded_matmul(a, w, 1, CPU_COLUMNS)
    return torch._int_mm(a, w)


def _canonical(matrix: torch.Tensor) -> torch.Tensor:
    """The same elements with C-order strides.

    A dimension of size 1 may carry any stride and still count as contiguous; `torch._int_mm` (2.13, CPU) takes that
    stride at its word and reads beyond the matrix.
    """
    return matrix.contiguous().view(-1).view(matrix.shape)


def _padded_matmul(a: torch.Tensor, w: torch.Tensor, rows: int, multiple: int) -> torch.Tensor:
    """Product of operands padded to at least `rows` rows, and to K and N divisible by `multiple`; zeros add nothing."""
    more_rows, more_inner, more_columns = max(0, rows - len(a)), -a.shape[1] % multiple, -w.shape[1] % multiple
    padded = functional.pad(a, (0, more_inner, 0, more_rows))
    product = torch._int_mm(padded, functional.pad(w, (0, more_columns, 0, more_inner)))
    return product[: len(a), : w.shape[1]]


INT8 = Kernel("torch._int_mm, 7-bit weights", int8_matmul, WEIGHT_MIN, WEIGHT_MAX)
"""The kernel that the layers use."""
