"""Turns a trained float network into exact integers, once, when it is split.

Per-channel symmetric weights in [-63, 63], int8 activations whose range is the largest value seen on the calibration
inputs, int32 biases, and one common scale for the int32 logits.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.split import SplitModel, ring_shape, split_model, to_ring
from deepring_chain.importing.units import Affine, ConvUnit, ResidualUnit, Unit
from deepring_chain.model.card import ModelCard
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.dense import BIAS_MAX, DenseLayer
from deepring_chain.model.finish import Finish
from deepring_chain.model.kernels import WEIGHT_MAX
from deepring_chain.model.layer import Layer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.requantise import MULTIPLIER_MAX, split_factor
from deepring_chain.model.residual import SUM_MULTIPLIER_MAX, ResidualLayer
from deepring_chain.types import LayerIndex

LOGIT_STEPS = 2**20
"""Integer value of the largest logit seen in calibration; 2**11 times that still fits into int32."""

CALIBRATION_BATCH = 100

SAME_FUNCTION = 1e-3
"""Largest accepted difference of split and given network, relative to the largest output."""


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
            return cls(_round_scale(span.high / 255), -128)
        return cls(_round_scale(max(-span.low, span.high) / 127), 0)


PIXELS = Grid(1 / 255, -128)
"""Pixels 0..255 that the network takes as 0..1: nothing is lost."""

CALIBRATION_IMAGES = 2000
"""So many images set the ranges of the activations."""


def quantise(
    model: nn.Sequential,
    calibration: torch.Tensor,
    *,
    name: str,
    classes: tuple[str, ...] = (),
    input_grid: Grid | None = None,
) -> QuantisedModel:
    """Quantises a network and splits it into layers 1..n.

    Args:
        model: any `nn.Sequential` (nested too) of the modules in `modules.SUPPORTED`; a Softmax or LogSoftmax at its
            end is left to the reader. It is only read.
        calibration: float [N, *item shape], inputs as the network takes them, images as [N, C, H, W]; some hundreds
            are enough. The quantised model takes images as [N, H, W, C].
        name: for the card.
        classes: label of each output; numbers if empty.
        input_grid: int8 code of the inputs, `PIXELS` for images; by default the finest that holds the calibration
            inputs.

    Raises:
        UnsupportedModule: a module that cannot be made exact, with its place.
        ModelError: unusable calibration inputs, weights or shapes.
    """
    inputs = _check_calibration(calibration)
    split = split_model(model, tuple(inputs.shape[1:]))
    _check_same_function(model, split, calibration)
    input_grid = input_grid or Grid.spanning(Span.of(inputs))
    layers, output_scale = _quantise_layers(split.layers, inputs, input_grid)
    labels = classes or tuple(str(number) for number in range(split.layers[-1].output_shape[0]))
    shape = ring_shape(tuple(inputs.shape[1:]))
    scale, zero_point = input_grid.scale, input_grid.zero_point
    return QuantisedModel(ModelCard(name, shape, scale, zero_point, labels, output_scale, len(layers)), layers)


def _check_calibration(calibration: torch.Tensor) -> torch.Tensor:
    if not calibration.is_floating_point() or calibration.dim() < 2 or calibration.numel() == 0:
        got = f"{calibration.dtype} {list(calibration.shape)}"
        raise ModelError(f"calibration inputs must be a float batch [N, ...], got {got}")
    if not bool(calibration.isfinite().all()):
        raise ModelError("calibration inputs hold NaN or infinity")
    return calibration.detach().to("cpu", torch.float64)


def _check_same_function(model: nn.Sequential, split: SplitModel, calibration: torch.Tensor) -> None:
    """Hooks or an overridden forward would make the split network another function than the given one."""
    model = copy.deepcopy(model).cpu().double().eval()
    x = calibration[:64].detach().to("cpu", torch.float64)
    with torch.no_grad():
        expected, found = _run(model, x), to_ring(x)
        for unit in split.layers:
            found = unit.forward(found)
        for reader in split.readers:
            found = reader(found)
    tolerance = SAME_FUNCTION * (1 + float(expected.abs().max()))
    if expected.shape != found.shape or not bool(((expected - found).abs() <= tolerance).all()):
        raise ModelError("the model computes something else than its modules say (a hook or its own forward?)")


def _run(model: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    try:
        y: torch.Tensor = model(x)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"the model does not take its calibration inputs {list(x.shape)}: {reason}") from None
    return y


def _observe(units: tuple[Unit, ...], inputs: torch.Tensor) -> list[list[Span]]:
    """Spans of all results of each unit over the calibration inputs, in batches, so that memory stays flat.

    Convolutions are observed in float32, for which there are kernels ten times as fast.
    """
    seen: list[list[Span]] = [[] for _ in units]
    dtype = torch.float64 if all(isinstance(unit, Affine) for unit in units) else torch.float32
    units = tuple(unit.cast(dtype) for unit in units)
    for batch in torch.split(to_ring(inputs), CALIBRATION_BATCH):
        x = batch.to(dtype)
        for number, unit in enumerate(units):
            results = unit.trace(x)
            spans = [Span.of(result) for result in results]
            seen[number] = [a.joined(b) for a, b in zip(seen[number], spans, strict=True)] if seen[number] else spans
            x = results[-1]
    return seen


def _quantise_layers(units: tuple[Unit, ...], inputs: torch.Tensor, grid: Grid) -> tuple[tuple[Layer, ...], float]:
    """Turns units into layers with the ranges that the calibration inputs show.

    Returns:
        Layers 1..n and the scale of the logits.
    """
    layers: list[Layer] = []
    for number, (unit, spans) in enumerate(zip(units, _observe(units, inputs), strict=True), start=1):
        last = number == len(units)
        targets = [_logit_grid(spans[0])] if last else [Grid.spanning(span) for span in spans]
        try:
            layers.append(_quantise_unit(LayerIndex(number), unit, grid, targets, last))
        except ModelError as error:
            raise ModelError(f"module '{unit.module}' at '{unit.place}' cannot be quantised: {error}") from None
        grid = targets[-1]
    return tuple(layers), grid.scale


def _logit_grid(logits: Span) -> Grid:
    return Grid(_round_scale(max(abs(logits.low), abs(logits.high)) / LOGIT_STEPS), 0)


def _quantise_unit(index: LayerIndex, unit: Unit, source: Grid, targets: list[Grid], last: bool) -> Layer:
    if isinstance(unit, ConvUnit):
        return _quantise_conv(index, unit, source, targets[0])
    if isinstance(unit, ResidualUnit):
        return _quantise_residual(index, unit, source, targets)
    if isinstance(unit, Affine):
        return _quantise_dense(index, unit, source, targets[0], last)
    raise ModelError(f"no exact form of a {type(unit).__name__} is known")


def _quantise_dense(index: LayerIndex, unit: Affine, source: Grid, target: Grid, last: bool) -> DenseLayer:
    products = _quantise_products(unit, source)
    multiplier, shift = _split_factors(products.scales * (source.scale / target.scale), MULTIPLIER_MAX)
    return DenseLayer(
        index,
        weight=products.weight,
        bias=products.bias,
        multiplier=multiplier,
        shift=shift,
        item_shape=unit.item_shape,
        input_zero_point=source.zero_point,
        output_zero_point=target.zero_point,
        relu=unit.relu,
        output_dtype="int32" if last else "int8",
    )


def _quantise_conv(index: LayerIndex, unit: ConvUnit, source: Grid, target: Grid) -> ConvLayer:
    products, finish = _quantise_products(unit, source), Finish(target.zero_point, unit.relu, unit.pool)
    factors = products.scales * (source.scale / target.scale / finish.divisor)
    multiplier, shift = _split_factors(factors, MULTIPLIER_MAX // finish.divisor)
    return ConvLayer(
        index,
        weight=products.weight,
        bias=products.bias,
        multiplier=multiplier,
        shift=shift,
        item_shape=unit.item_shape,
        window=unit.window,
        input_zero_point=source.zero_point,
        finish=finish,
    )


def _quantise_residual(index: LayerIndex, unit: ResidualUnit, source: Grid, targets: list[Grid]) -> ResidualLayer:
    inner, given = [], source
    for part, target in zip(unit.inner, targets[:-1], strict=True):
        inner.append(_quantise_conv(index, part, given, target))
        given = target
    finish = Finish(targets[-1].zero_point, unit.relu, unit.pool)
    unit_step = 1 / targets[-1].scale / finish.divisor
    body, tail = _quantise_bare(unit.tail, given)
    scales, shortcut = _quantise_bare(unit.shortcut, source) if unit.shortcut else (source.scale, None)
    factors = torch.stack([body * unit_step, torch.zeros_like(body) + scales * unit_step])
    limit = SUM_MULTIPLIER_MAX // finish.divisor
    _, shift = _split_factors(factors.amax(0), limit)
    multipliers = torch.round(torch.ldexp(factors, shift)).clamp_max(limit).to(torch.int32)
    return ResidualLayer(index, tuple(inner), tail, shortcut, multipliers[0], multipliers[1], shift, finish)


def _quantise_bare(unit: ConvUnit, source: Grid) -> tuple[torch.Tensor, Convolution]:
    """A convolution without rounding, and the real value of each output's unit, float64 [outputs]."""
    products = _quantise_products(unit, source)
    found = Convolution(products.weight, products.bias, unit.item_shape, unit.window, source.zero_point)
    return products.scales * source.scale, found


@dataclass(frozen=True)
class _Products:
    """Integer form of an affine map: int8 weight, int32 bias, and the weight's float64 scale per output."""

    weight: torch.Tensor
    bias: torch.Tensor
    scales: torch.Tensor


def _quantise_products(unit: Affine | ConvUnit, source: Grid) -> _Products:
    scales = weight_scales(unit, source)
    weight = torch.round(unit.weight / scales).to(torch.int8)
    return _Products(weight, torch.round(unit.bias / (scales * source.scale)).to(torch.int32), scales)


def weight_scales(unit: Affine | ConvUnit, source: Grid) -> torch.Tensor:
    """Real value of a weight's step per output, float64 [outputs].

    As fine as the largest weight allows and the bias, counted in it and the input's `source` scale, still fits.
    """
    by_weight = unit.weight.abs().amax(dim=0) / WEIGHT_MAX
    by_bias = unit.bias.abs() / (source.scale * BIAS_MAX)
    scales = torch.maximum(by_weight, by_bias)
    return torch.where(scales > 0, scales, torch.ones_like(scales))


def _split_factors(factors: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Multipliers and shifts, int32 [outputs], of factors [outputs]."""
    found = [split_factor(factor, limit) for factor in factors.tolist()]
    multipliers, shifts = zip(*found, strict=True)
    return torch.tensor(multipliers, dtype=torch.int32), torch.tensor(shifts, dtype=torch.int32)


def _to_12_bits(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2**12) / 2**12, exponent)


def _round_scale(scale: float) -> float:
    """Rounds to float32, so that the last bits of float64 sums, which depend on threads, do not reach the model."""
    with np.errstate(over="ignore"):  # an infinite scale is refused by name where it is used
        rounded = float(np.float32(scale))
    return rounded if rounded > 0 else 1.0
