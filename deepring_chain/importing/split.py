"""Splits a float network into layers in the paper's sense: an affine map with its activation and pooling.

Only modules whose effect can be had in exact integers pass; every other one is refused by name and place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeGuard

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.blocks import Residual
from deepring_chain.importing.modules import (
    BatchNorm,
    UnsupportedModule,
    adaptive_pool,
    average_pool,
    batch_norm_affine,
    conv_window,
    max_pool,
    read_bias,
    read_values,
    refuse,
)
from deepring_chain.importing.units import Affine, ConvUnit, ResidualUnit, Unit
from deepring_chain.model.pooling import AVERAGE, Pool

__all__ = ["SplitModel", "UnsupportedModule", "ring_shape", "split_model", "to_ring"]


@dataclass(frozen=True)
class SplitModel:
    """The layers of a network, and the modules at its end that are left to whoever reads the answer."""

    layers: tuple[Unit, ...]
    readers: tuple[nn.Module, ...]


def ring_shape(item_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an item in the ring: an image [C, H, W] of torch's is [H, W, C] there, any other item is as it is."""
    return (*item_shape[1:], item_shape[0]) if len(item_shape) == 3 else item_shape


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
    splitter.take_all(model)
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


@dataclass
class _Splitter:
    """State of the walk.

    Attributes:
        shape: of the item here, as torch has it.
        units: the layers so far.
        readers: modules at the end.
        waiting: scale and offset of each channel or feature that go into the next affine map.
        flattened: shape of the image that a Flatten made features of, if no Linear came since.
    """

    shape: tuple[int, ...]
    units: list[Unit] = field(default_factory=list)
    readers: list[nn.Module] = field(default_factory=list)
    waiting: tuple[torch.Tensor, torch.Tensor] | None = None
    waiting_place: str = ""
    flattened: tuple[int, ...] | None = None

    def take_all(self, model: nn.Sequential, prefix: str = "") -> None:
        """Takes the modules of a network or of one of its branches."""
        for place, module in _walk(model, prefix):
            self.take(place, module)

    def take(self, place: str, module: nn.Module) -> None:
        """Takes the next module of the network."""
        handlers: dict[type[nn.Module], Callable[[str, Any], None]] = {
            nn.Conv2d: self._take_conv,
            nn.Linear: self._take_linear,
            nn.BatchNorm1d: self._take_batch_norm,
            nn.BatchNorm2d: self._take_batch_norm,
            nn.ReLU: self._take_relu,
            nn.MaxPool2d: lambda at, pool: self._take_pool(at, pool, max_pool(at, pool)),
            nn.AvgPool2d: lambda at, pool: self._take_pool(at, pool, average_pool(at, pool)),
            nn.AdaptiveAvgPool2d: self._take_adaptive_pool,
            nn.Flatten: self._take_flatten,
            nn.Softmax: self._take_reader,
            nn.LogSoftmax: self._take_reader,
            Residual: self._take_residual,
            nn.Dropout: self._pass,
            nn.Dropout2d: self._pass,
            nn.Identity: self._pass,
        }
        handler = handlers.get(type(module))
        if handler is None:
            raise refuse(place, module)
        if self.readers and handler != self._pass:
            raise refuse(place, module, f"it follows a {type(self.readers[-1]).__name__}")
        handler(place, module)

    def finish(self) -> SplitModel:
        """The result, once all modules are taken."""
        self.check_nothing_waits()
        if not self.units or not isinstance(self.units[-1], Affine):
            last = f"its last is a {self.units[-1].module} at '{self.units[-1].place}'" if self.units else "it has none"
            raise ModelError(f"the model must end with a Linear module, whose outputs are the logits; {last}")
        return SplitModel(tuple(self.units), tuple(self.readers))

    def check_nothing_waits(self) -> None:
        """Raises ModelError if a batch normalization found no affine map."""
        if self.waiting is not None:
            raise ModelError(f"module 'BatchNorm' at '{self.waiting_place}': no Linear or Conv2d to fold it into")

    def _pass(self, _place: str, _module: nn.Module) -> None:
        """Dropout and Identity do nothing at inference."""

    def _take_conv(self, place: str, module: nn.Conv2d) -> None:
        shape, window = self._image(place, module), conv_window(place, module)
        if shape[2] != module.in_channels:
            raise ModelError(f"module 'Conv2d' at '{place}' takes {module.in_channels} channels, gets {shape[2]}")
        weight, bias = read_values(place, module, "weight"), read_bias(place, module)
        if self.waiting is not None:
            if window.is_padded:
                raise refuse(place, module, f"it pads after the BatchNorm2d at '{self.waiting_place}' with other zeros")
            scale, offset = self._take_waiting()
            weight, bias = weight * scale[:, None, None], bias + (weight * offset[:, None, None]).sum((1, 2, 3))
        rows = weight.permute(2, 3, 1, 0).reshape(-1, len(bias))
        self._append(ConvUnit(place, shape, rows.contiguous(), bias, window))

    def _take_linear(self, place: str, module: nn.Linear) -> None:
        features = self._features(place, module)
        weight, bias = read_values(place, module, "weight").T, read_bias(place, module)
        if features != len(weight):
            raise ModelError(f"module 'Linear' at '{place}' takes {len(weight)} features, gets {features}")
        if self.waiting is not None:
            scale, offset = self._take_waiting()
            weight, bias = scale[:, None] * weight, bias + offset @ weight
        shape = self.flattened or self.shape
        if len(shape) == 3:
            weight = weight.reshape(*shape, -1).permute(1, 2, 0, 3).reshape(features, -1)
        self._append(Affine(place, ring_shape(shape), weight.contiguous(), bias))

    def _append(self, unit: Unit) -> None:
        if min(unit.output_shape) < 1:
            raise ModelError(f"module '{unit.module}' at '{unit.place}': its kernel does not fit into {self.shape}")
        self.units.append(unit)
        self._set_shape(unit.output_shape)

    def _set_shape(self, shape: tuple[int, ...]) -> None:
        self.shape = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        self.flattened = None

    def _take_waiting(self) -> tuple[torch.Tensor, torch.Tensor]:
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            raise ValueError("nothing waits")
        return waiting

    def _take_batch_norm(self, place: str, module: BatchNorm) -> None:
        """Folds into the affine map before it or, after an activation or at the start, into the one after it."""
        if isinstance(module, nn.BatchNorm2d):
            channels = self._image(place, module)[2]
        else:
            channels = self._features(place, module)
        if channels != module.num_features:
            name, takes = type(module).__name__, module.num_features
            raise ModelError(f"module '{name}' at '{place}' takes {takes} features, gets {channels}")
        scale, offset = batch_norm_affine(place, module)
        last = self.units[-1] if self.units else None
        if self.waiting is None and self.flattened is None and _is_bare(last):
            self.units[-1] = replace(last, weight=last.weight * scale, bias=last.bias * scale + offset)
            return
        if self.waiting is not None:
            scale, offset = scale * self.waiting[0], scale * self.waiting[1] + offset
        self.waiting, self.waiting_place = (scale, offset), place

    def _take_relu(self, place: str, module: nn.ReLU) -> None:
        last = self._last(place, module)
        pool = getattr(last, "pool", None)
        if pool is not None and pool.kind == AVERAGE and not _has_relu(last):
            raise refuse(place, module, "it follows an average pooling")
        self.units[-1] = replace(last, relu=True)  # type: ignore[call-arg]

    def _take_pool(self, place: str, module: nn.Module, pool: Pool) -> None:
        shape = self._image(place, module)
        last = self._last(place, module)
        if min(pool.window.output_size(*shape[:2])) < 1:
            raise ModelError(
                f"module '{type(module).__name__}' at '{place}': its window does not fit into {self.shape}"
            )
        if not isinstance(last, (ConvUnit, ResidualUnit)) or last.pool is not None:
            raise refuse(place, module, "it follows no convolution")
        self.units.pop()
        self._append(replace(last, pool=pool))

    def _take_adaptive_pool(self, place: str, module: nn.AdaptiveAvgPool2d) -> None:
        height, width, _ = self._image(place, module)
        pool = adaptive_pool(place, module, height, width)
        if pool is not None:
            self._take_pool(place, module, pool)

    def _take_residual(self, place: str, module: Residual) -> None:
        shape = self._image(place, module)
        self.check_nothing_waits()
        body, shortcut = (self._branch(place, module, branch) for branch in (module.body, module.shortcut))
        if not body or len(shortcut) > 1 or not all(_is_bare(part) for part in (body[-1], *shortcut)):
            raise refuse(place, module, "a body ends, and a shortcut is, one convolution without activation or pooling")
        ends = [parts[-1].output_shape if parts else shape for parts in (body, shortcut)]
        if ends[0] != ends[1]:
            raise ModelError(f"module 'Residual' at '{place}': body gives {ends[0]}, shortcut {ends[1]} ([H, W, C])")
        self._append(ResidualUnit(place, shape, body[:-1], body[-1], shortcut[0] if shortcut else None))

    def _branch(self, place: str, module: Residual, branch: nn.Sequential) -> tuple[ConvUnit, ...]:
        if type(branch) is not nn.Sequential:
            raise refuse(place, module, f"a branch is a {type(branch).__name__}, not an nn.Sequential")
        splitter = _Splitter(self.shape)
        splitter.take_all(branch, f"{place}.{'body' if branch is module.body else 'shortcut'}.")
        splitter.check_nothing_waits()
        units = tuple(unit for unit in splitter.units if isinstance(unit, ConvUnit))
        if len(units) != len(splitter.units) or splitter.readers or len(splitter.shape) != 3:
            raise refuse(place, module, "a branch holds something else than convolutions")
        return units

    def _take_flatten(self, place: str, module: nn.Flatten) -> None:
        if (module.start_dim, module.end_dim) not in ((1, -1), (1, len(self.shape))):
            raise refuse(place, module, f"it flattens dimensions {module.start_dim} to {module.end_dim}")
        if len(self.shape) > 1:
            self.flattened = self.shape
        if self.waiting is not None:
            each = prod(self.shape) // len(self.waiting[0])
            self.waiting = (self.waiting[0].repeat_interleave(each), self.waiting[1].repeat_interleave(each))
        self.shape = (prod(self.shape),)

    def _take_reader(self, place: str, module: nn.Softmax | nn.LogSoftmax) -> None:
        self._last(place, module)
        if module.dim not in (1, -1, None):
            raise refuse(place, module, f"it is taken over dimension {module.dim}")
        self.readers.append(module)

    def _last(self, place: str, module: nn.Module) -> Unit:
        """The layer that a module is fused into."""
        if not self.units or self.waiting is not None or self.flattened is not None:
            raise refuse(place, module, "it follows no Linear or Conv2d")
        return self.units[-1]

    def _features(self, place: str, module: nn.Module) -> int:
        if len(self.shape) != 1:
            name = type(module).__name__
            raise ModelError(f"module '{name}' at '{place}' gets items of shape {self.shape}; put a Flatten before it")
        return self.shape[0]

    def _image(self, place: str, module: nn.Module) -> tuple[int, ...]:
        """[H, W, C] of the image here."""
        if len(self.shape) != 3:
            name = type(module).__name__
            raise ModelError(f"module '{name}' at '{place}' gets items of shape {self.shape}, takes images [C, H, W]")
        return ring_shape(self.shape)


def _has_relu(unit: Unit) -> bool:
    return bool(getattr(unit, "relu", False))


def _is_bare(unit: Unit | None) -> TypeGuard[Affine | ConvUnit]:
    """Whether nothing follows the affine map yet, so that scale and offset fold into it."""
    return isinstance(unit, (Affine, ConvUnit)) and not unit.relu and getattr(unit, "pool", None) is None
