"""Int8 codes of real values, and the integer form of an affine map between two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from deepring_chain.model.dense import BIAS_MAX
from deepring_chain.model.front.units import Affine, ConvUnit
from deepring_chain.model.kernels import WEIGHT_MAX
from deepring_chain.model.requantise import split_factor


@dataclass(frozen=True)
class Span:
    """Smallest and largest of some values."""

    low: float
    high: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Span:
        """The span of a tensor; to 12 bits of a float32 one, whose last bits depend on threads and batches."""
        low, high = float(values.min()), float(values.max())
        return cls(low, high) if values.dtype == torch.float64 else cls(_to_12_bits(low), _to_12_bits(high))

    def joined(self, other: Span) -> Span:
        """The span of both."""
        return Span(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Grid:
    """An affine int8 code: real value = scale * (q - zero_point)."""

    scale: float
    zero_point: int

    @classmethod
    def spanning(cls, span: Span) -> Grid:
        """Finest grid over a span: unsigned with zero point -128 if nothing is negative, else symmetric."""
        if span.low >= 0:
            return cls(round_scale(span.high / 255), -128)
        return cls(round_scale(max(-span.low, span.high) / 127), 0)


@dataclass(frozen=True)
class Products:
    """Integer form of an affine map: int8 weight, int32 bias, and the weight's float64 scale per output."""

    weight: torch.Tensor
    bias: torch.Tensor
    scales: torch.Tensor


def quantise_products(unit: Affine | ConvUnit, source: Grid) -> Products:
    """The products of an affine map whose input has the grid `source`."""
    scales = weight_scales(unit, source)
    weight = torch.round(unit.weight / scales).to(torch.int8)
    return Products(weight, torch.round(unit.bias / (scales * source.scale)).to(torch.int32), scales)


def weight_scales(unit: Affine | ConvUnit, source: Grid) -> torch.Tensor:
    """Real value of a weight's step per output, float64 [outputs].

    As fine as the largest weight allows and the bias, counted in it and the input's `source` scale, still fits.
    """
    by_weight = unit.weight.abs().amax(dim=0) / WEIGHT_MAX
    by_bias = unit.bias.abs() / (source.scale * BIAS_MAX)
    scales = torch.maximum(by_weight, by_bias)
    return torch.where(scales > 0, scales, torch.ones_like(scales))


def split_factors(factors: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Multipliers and shifts, int32 [outputs], of factors [outputs]."""
    found = [split_factor(factor, limit) for factor in factors.tolist()]
    multipliers, shifts = zip(*found, strict=True)
    return torch.tensor(multipliers, dtype=torch.int32), torch.tensor(shifts, dtype=torch.int32)


def _to_12_bits(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2**12) / 2**12, exponent)


def round_scale(scale: float) -> float:
    """Rounds to float32, so that the last bits of float64 sums, which depend on threads, do not reach the model."""
    with np.errstate(over="ignore"):  # an infinite scale is refused by name where it is used
        rounded = float(np.float32(scale))
    return rounded if rounded > 0 else 1.0
