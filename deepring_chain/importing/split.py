"""Splits a float network into layers in the paper's sense: an affine map with its activation and pooling.

Only modules whose effect can be had in exact integers pass; every other one is refused by name and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.front.modules import (
    BatchNorm,
    UnsupportedModule,
    adaptive_pool,
    average_pool,
    batch_norm_affine,
    max_pool,
    refuse,
)
from deepring_chain.model.front.splitting import Splitting, ring_shape
from deepring_chain.model.front.units import Affine, ConvUnit, ResidualUnit, Unit, is_bare
from deepring_chain.model.operator import Take
from deepring_chain.model.operators import MODULES
from deepring_chain.model.pooling import AVERAGE, Pool
from deepring_chain.registry import merged

__all__ = ["SUPPORTED", "SplitModel", "UnsupportedModule", "ring_shape", "split_model", "to_ring"]


@dataclass(frozen=True)
class SplitModel:
    """The layers of a network, and the modules at its end that are left to whoever reads the answer."""

    layers: tuple[Unit, ...]
    readers: tuple[nn.Module, ...]


def to_ring(x: torch.Tensor) -> torch.Tensor:
    """A batch as torch's modules take it, as the ring takes it: images [N, C, H, W] become [N, H, W, C]."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def split_model(model: nn.Sequential, item_shape: tuple[int, ...]) -> SplitModel:
    """Splits a network.

    Args:
        model: any `nn.Sequential`, nested or not; it is only read.
        item_shape: shape of one input item as the model takes it; three dimensions are an image [C, H, W].

    Raises:
        UnsupportedModule: a module that cannot be made exact, with its place.
        ModelError: shapes that do not fit, weights that are not finite, or no Linear at the end.
    """
    if not isinstance(model, nn.Sequential):
        raise UnsupportedModule(f"the model is a {type(model).__name__}; expected nn.Sequential")
    splitter = _Splitter(item_shape)
    try:
        splitter.take_all(model)
    except UnsupportedModule as error:
        raise UnsupportedModule(f"{error}; supported: {SUPPORTED}") from None
    return splitter.finish()


def _walk(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Leaves in the order of execution, with their places; a subclass of Sequential may have another forward."""
    for name, module in model._modules.items():  # named_children() leaves out a module's second use
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from _walk(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


class _Splitter(Splitting):
    """The walk itself."""

    def take_all(self, model: nn.Sequential, prefix: str = "") -> None:
        """Takes the modules of a network or of one of its branches."""
        for place, module in _walk(model, prefix):
            self.take(place, module)

    def take(self, place: str, module: nn.Module) -> None:
        """Takes the next module of the network."""
        handler = HANDLERS.get(type(module))
        if handler is None:
            raise refuse(place, module)
        if self.readers and handler is not _pass:
            raise refuse(place, module, f"it follows a {type(self.readers[-1]).__name__}")
        handler(self, place, module)

    def finish(self) -> SplitModel:
        """The result, once all modules are taken."""
        self.check_nothing_waits()
        if not self.units or not isinstance(self.units[-1], Affine):
            last = f"its last is a {self.units[-1].module} at '{self.units[-1].place}'" if self.units else "it has none"
            raise ModelError(f"the model must end with a Linear module, whose outputs are the logits; {last}")
        return SplitModel(tuple(self.units), tuple(self.readers))


def _pass(_splitting: Splitting, _place: str, _module: nn.Module) -> None:
    """Dropout and Identity do nothing at inference."""


def _take_batch_norm(splitting: Splitting, place: str, module: BatchNorm) -> None:
    """Folds into the affine map before it or, after an activation or at the start, into the one after it."""
    if isinstance(module, nn.BatchNorm2d):
        channels = splitting.image(place, module)[2]
    else:
        channels = splitting.features(place, module)
    if channels != module.num_features:
        name, takes = type(module).__name__, module.num_features
        raise ModelError(f"module '{name}' at '{place}' takes {takes} features, gets {channels}")
    scale, offset = batch_norm_affine(place, module)
    last = splitting.units[-1] if splitting.units else None
    if splitting.waiting is None and splitting.flattened is None and is_bare(last):
        splitting.units[-1] = replace(last, weight=last.weight * scale, bias=last.bias * scale + offset)
        return
    if splitting.waiting is not None:
        scale, offset = scale * splitting.waiting[0], scale * splitting.waiting[1] + offset
    splitting.waiting, splitting.waiting_place = (scale, offset), place


def _take_relu(splitting: Splitting, place: str, module: nn.ReLU) -> None:
    last = splitting.last(place, module)
    if not hasattr(last, "relu"):
        raise refuse(place, module, f"it follows a {last.module}")
    pool = getattr(last, "pool", None)
    if pool is not None and pool.kind == AVERAGE and not _has_relu(last):
        raise refuse(place, module, "it follows an average pooling")
    splitting.units[-1] = replace(last, relu=True)  # type: ignore[call-arg]


def _take_pool(splitting: Splitting, place: str, module: nn.Module, pool: Pool) -> None:
    shape = splitting.image(place, module)
    last = splitting.last(place, module)
    if min(pool.window.output_size(*shape[:2])) < 1:
        raise ModelError(
            f"module '{type(module).__name__}' at '{place}': its window does not fit into {splitting.shape}"
        )
    if not isinstance(last, (ConvUnit, ResidualUnit)) or last.pool is not None:
        raise refuse(place, module, "it follows no convolution")
    splitting.units.pop()
    splitting.append(replace(last, pool=pool))


def _take_adaptive_pool(splitting: Splitting, place: str, module: nn.AdaptiveAvgPool2d) -> None:
    height, width, _ = splitting.image(place, module)
    pool = adaptive_pool(place, module, height, width)
    if pool is not None:
        _take_pool(splitting, place, module, pool)


def _take_flatten(splitting: Splitting, place: str, module: nn.Flatten) -> None:
    if (module.start_dim, module.end_dim) not in ((1, -1), (1, len(splitting.shape))):
        raise refuse(place, module, f"it flattens dimensions {module.start_dim} to {module.end_dim}")
    if len(splitting.shape) > 1:
        splitting.flattened = splitting.shape
    if splitting.waiting is not None:
        each = prod(splitting.shape) // len(splitting.waiting[0])
        splitting.waiting = (splitting.waiting[0].repeat_interleave(each), splitting.waiting[1].repeat_interleave(each))
    splitting.shape = (prod(splitting.shape),)


def _take_reader(splitting: Splitting, place: str, module: nn.Softmax | nn.LogSoftmax) -> None:
    splitting.last(place, module)
    if module.dim not in (1, -1, None):
        raise refuse(place, module, f"it is taken over dimension {module.dim}")
    splitting.readers.append(module)


def _has_relu(unit: Unit) -> bool:
    return bool(getattr(unit, "relu", False))


_FUSED: Mapping[type[nn.Module], Take] = MappingProxyType(
    {
        nn.BatchNorm1d: _take_batch_norm,
        nn.BatchNorm2d: _take_batch_norm,
        nn.ReLU: _take_relu,
        nn.MaxPool2d: lambda splitting, at, pool: _take_pool(splitting, at, pool, max_pool(at, pool)),
        nn.AvgPool2d: lambda splitting, at, pool: _take_pool(splitting, at, pool, average_pool(at, pool)),
        nn.AdaptiveAvgPool2d: _take_adaptive_pool,
        nn.Flatten: _take_flatten,
        nn.Dropout: _pass,
        nn.Dropout2d: _pass,
        nn.Identity: _pass,
        nn.Softmax: _take_reader,
        nn.LogSoftmax: _take_reader,
    }
)
"""What becomes no layer of its own."""

HANDLERS: Mapping[type[nn.Module], Take] = merged(MODULES, _FUSED)
"""All modules that can be split."""

SUPPORTED = ", ".join([*(module.__name__ for module in HANDLERS), "Sequential"])
"""Their names; Softmax and LogSoftmax may stand at the end only."""
