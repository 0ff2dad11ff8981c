"""A residual block: from `Residual`, which the importer makes of two branches that meet, to `ResidualLayer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.finish import Finish
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.front.grid import Grid, quantise_products, split_factors
from deepring_chain.model.front.modules import refuse
from deepring_chain.model.front.splitting import Splitting
from deepring_chain.model.front.units import ConvUnit, ResidualUnit, is_bare
from deepring_chain.model.operator import Example, FloatForm, Operator
from deepring_chain.model.operators.conv import conv_twin, finish_twin, products_twin, quantise_conv
from deepring_chain.model.requantise import real_factor
from deepring_chain.model.residual import SUM_MULTIPLIER_MAX, ResidualLayer
from deepring_chain.types import LayerIndex

FORMULA = """\
- Operator `residual`: index 1..n; attributes `inner` (0..8), `has_shortcut` (0 or 1), those of
  `conv` under `inner.0.`, `inner.1.`, ..., input's shape, zero point and window under `tail.` and,
  if there is one, `shortcut.`; then `output_zero_point`, `relu`, `pool` and its window. Tensors in
  this order: those of `conv` under `inner.0.`, ...; `tail.weight`, `tail.bias`; `shortcut.weight`,
  `shortcut.bias` if there is one; `multiplier` and `shortcut_multiplier` int32 [outputs]
  0..(2^30-1)/d, `shift` int32 [outputs] 1..62, common to both. Zero points and shapes must meet.
- Arithmetic of `residual`: the inner convolutions one after another as `conv`; `p = acc_tail *
  multiplier + acc_shortcut * shortcut_multiplier`, with `acc_shortcut = x - input_zero_point` if
  there is no shortcut; then as `conv` with `p` in place of `acc * multiplier`.
"""


def _take(splitting: Splitting, place: str, module: Residual) -> None:
    shape = splitting.image(place, module)
    splitting.check_nothing_waits()
    body, shortcut = (_branch(splitting, place, module, name) for name in ("body", "shortcut"))
    if not body or len(shortcut) > 1 or not all(is_bare(part) for part in (body[-1], *shortcut)):
        raise refuse(place, module, "a body ends, and a shortcut is, one convolution without activation or pooling")
    ends = [parts[-1].output_shape if parts else shape for parts in (body, shortcut)]
    if ends[0] != ends[1]:
        raise ModelError(f"module 'Residual' at '{place}': body gives {ends[0]}, shortcut {ends[1]} ([H, W, C])")
    splitting.append(ResidualUnit(place, shape, body[:-1], body[-1], shortcut[0] if shortcut else None))


def _branch(splitting: Splitting, place: str, module: Residual, name: str) -> tuple[ConvUnit, ...]:
    branch = getattr(module, name)
    if type(branch) is not nn.Sequential:
        raise refuse(place, module, f"a branch is a {type(branch).__name__}, not an nn.Sequential")
    inside = type(splitting)(splitting.shape)
    inside.take_all(branch, f"{place}.{name}.")
    inside.check_nothing_waits()
    units = tuple(unit for unit in inside.units if isinstance(unit, ConvUnit))
    if len(units) != len(inside.units) or inside.readers or len(inside.shape) != 3:
        raise refuse(place, module, "a branch holds something else than convolutions")
    return units


def _quantise(
    index: LayerIndex, unit: ResidualUnit, source: Grid, targets: Sequence[Grid], _last: bool
) -> ResidualLayer:
    inner, given = [], source
    for part, target in zip(unit.inner, targets[:-1], strict=True):
        inner.append(quantise_conv(index, part, given, target))
        given = target
    finish = Finish(targets[-1].zero_point, unit.relu, unit.pool)
    unit_step = 1 / targets[-1].scale / finish.divisor
    body, tail = _quantise_bare(unit.tail, given)
    scales, shortcut = _quantise_bare(unit.shortcut, source) if unit.shortcut else (source.scale, None)
    factors = torch.stack([body * unit_step, torch.zeros_like(body) + scales * unit_step])
    limit = SUM_MULTIPLIER_MAX // finish.divisor
    _, shift = split_factors(factors.amax(0), limit)
    multipliers = torch.round(torch.ldexp(factors, shift)).clamp_max(limit).to(torch.int32)
    return ResidualLayer(index, tuple(inner), tail, shortcut, multipliers[0], multipliers[1], shift, finish)


def _quantise_bare(unit: ConvUnit, source: Grid) -> tuple[torch.Tensor, Convolution]:
    """A convolution without rounding, and the real value of each output's unit, float64 [outputs]."""
    products = quantise_products(unit, source)
    found = Convolution(products.weight, products.bias, unit.item_shape, unit.window, source.zero_point)
    return products.scales * source.scale, found


def _twin(layer: ResidualLayer, x: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    y = x
    for number, part in enumerate(layer.inner):
        y = conv_twin(part, y, {"weight": weights[f"inner.{number}.weight"]})
    y = products_twin(layer.tail, y, weights["tail.weight"]) * real_factor(layer.multiplier, layer.shift)
    shortcut = x - layer.input_zero_point
    if layer.shortcut is not None:
        shortcut = products_twin(layer.shortcut, x, weights["shortcut.weight"])
    return finish_twin(layer.finish, y + shortcut * real_factor(layer.shortcut_multiplier, layer.shift))


def _network() -> nn.Sequential:
    body = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1))
    first = (nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
    return nn.Sequential(*first, Residual(body), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3))


OPERATOR = Operator(
    ResidualLayer,
    FORMULA,
    FloatForm(
        unit=ResidualUnit,
        quantise=_quantise,
        modules={Residual: _take},
        twin=_twin,
        example=Example(_network, (1, 4, 4)),
    ),
)
