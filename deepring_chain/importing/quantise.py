"""Turns a trained float network into exact integers, once, when it is split.

Per-channel symmetric weights in [-63, 63], int8 activations whose range is the largest value seen on the calibration
inputs, int32 biases, and one common scale for the int32 logits.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.split import SplitModel, ring_shape, split_model, to_ring
from deepring_chain.model.card import ModelCard
from deepring_chain.model.front.grid import Grid, Span, round_scale
from deepring_chain.model.front.units import Unit
from deepring_chain.model.layer import Layer
from deepring_chain.model.operators import form_of
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.types import LayerIndex

__all__ = ["CALIBRATION_IMAGES", "PIXELS", "Grid", "Span", "quantise"]

LOGIT_STEPS = 2**20
"""Integer value of the largest logit seen in calibration; 2**11 times that still fits into int32."""

CALIBRATION_BATCH = 100

SAME_FUNCTION = 1e-3
"""Largest accepted difference of split and given network, relative to the largest output."""


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
        model: any `nn.Sequential` (nested too) of the modules in `split.SUPPORTED`; a Softmax or LogSoftmax at its
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
    dtype = torch.float32 if any(unit.convolves for unit in units) else torch.float64
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
            layers.append(form_of(unit).quantise(LayerIndex(number), unit, grid, targets, last))
        except ModelError as error:
            raise ModelError(f"module '{unit.module}' at '{unit.place}' cannot be quantised: {error}") from None
        grid = targets[-1]
    return tuple(layers), grid.scale


def _logit_grid(logits: Span) -> Grid:
    return Grid(round_scale(max(abs(logits.low), abs(logits.high)) / LOGIT_STEPS), 0)
