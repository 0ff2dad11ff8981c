"""Splits a float network into layers in the paper's sense: an affine map with its activation.

Only modules whose effect can be had in exact integers pass; every other one is refused by name and place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import nn

from deepring_chain.errors import ModelError

SUPPORTED = "Linear, ReLU, Flatten, Dropout, Identity, BatchNorm1d, Sequential, and Softmax or LogSoftmax at the end"


class UnsupportedModule(ModelError):
    """A module that the ring cannot compute in exact integers."""


@dataclass(frozen=True)
class Affine:
    """One layer before quantisation: relu(x @ weight + bias).

    Attributes:
        place: of the Linear in the network, as in its state dict.
        item_shape: shape of one input item, flattened by the layer.
        weight: float64 [features, outputs].
        bias: float64 [outputs].
        relu: whether ReLU follows.
    """

    place: str
    item_shape: tuple[int, ...]
    weight: torch.Tensor
    bias: torch.Tensor
    relu: bool = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float64 [N, *item_shape] to [N, outputs]."""
        y = x.reshape(len(x), -1) @ self.weight + self.bias
        return y.relu() if self.relu else y


@dataclass(frozen=True)
class SplitModel:
    """The layers of a network, and the modules at its end that are left to whoever reads the answer."""

    layers: tuple[Affine, ...]
    readers: tuple[nn.Module, ...]


def split_model(model: nn.Sequential, item_shape: tuple[int, ...]) -> SplitModel:
    """Splits a network.

    Args:
        model: any `nn.Sequential`, nested or not; it is only read.
        item_shape: shape of one input item.

    Raises:
        UnsupportedModule: a module that cannot be made exact, with its place.
        ModelError: shapes that do not fit, weights that are not finite, or no Linear at all.
    """
    if not isinstance(model, nn.Sequential):
        raise UnsupportedModule(f"the model is a {type(model).__name__}; expected nn.Sequential")
    splitter = _Splitter(item_shape)
    for place, module in _walk(model):
        splitter.take(place, module)
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
    """State of the walk: the layers so far, the shape of the item here, and what still waits for its Linear."""

    shape: tuple[int, ...]
    layers: list[Affine] = field(default_factory=list)
    readers: list[nn.Module] = field(default_factory=list)
    waiting: tuple[torch.Tensor, torch.Tensor] | None = None
    waiting_place: str = ""

    def __post_init__(self) -> None:
        self.item_shape = self.shape

    def take(self, place: str, module: nn.Module) -> None:
        """Takes the next module of the network."""
        handlers: dict[type[nn.Module], Callable[[str, Any], None]] = {
            nn.Linear: self._take_linear,
            nn.BatchNorm1d: self._take_batch_norm,
            nn.ReLU: self._take_relu,
            nn.Flatten: self._take_flatten,
            nn.Softmax: self._take_reader,
            nn.LogSoftmax: self._take_reader,
            nn.Dropout: self._pass,
            nn.Identity: self._pass,
        }
        handler = handlers.get(type(module))
        if handler is None:
            raise _refuse(place, module)
        if self.readers and handler != self._pass:
            raise _refuse(place, module, f"it follows a {type(self.readers[-1]).__name__}")
        handler(place, module)

    def finish(self) -> SplitModel:
        """The result, once all modules are taken."""
        if not self.layers:
            raise ModelError("the model has no Linear module, so there is no layer to split off")
        if self.waiting is not None:
            raise ModelError(f"module 'BatchNorm1d' at '{self.waiting_place}': no Linear beside it to fold it into")
        return SplitModel(tuple(self.layers), tuple(self.readers))

    def _pass(self, _place: str, _module: nn.Module) -> None:
        """Dropout and Identity do nothing at inference."""

    def _take_linear(self, place: str, module: nn.Linear) -> None:
        features = self._features(place, module)
        weight, bias = _read(place, module, "weight").T, torch.zeros(len(module.weight), dtype=torch.float64)
        if module.bias is not None:
            bias = _read(place, module, "bias")
        if features != len(weight):
            raise ModelError(f"module 'Linear' at '{place}' takes {len(weight)} features, gets {features}")
        if self.waiting is not None:
            scale, offset = self.waiting
            weight, bias, self.waiting = scale[:, None] * weight, bias + offset @ weight, None
        self.layers.append(Affine(place, self.item_shape, weight.contiguous(), bias))
        self.shape = self.item_shape = (len(bias),)

    def _take_batch_norm(self, place: str, module: nn.BatchNorm1d) -> None:
        """Folds into the Linear before it or, after a ReLU or at the start, into the one after it."""
        features = self._features(place, module)
        if features != module.num_features:
            takes = module.num_features
            raise ModelError(f"module 'BatchNorm1d' at '{place}' takes {takes} features, gets {features}")
        scale, offset = _batch_norm_affine(place, module)
        if self.layers and not self.layers[-1].relu:
            last = self.layers[-1]
            self.layers[-1] = replace(last, weight=last.weight * scale, bias=last.bias * scale + offset)
            return
        if self.waiting is not None:
            scale, offset = scale * self.waiting[0], scale * self.waiting[1] + offset
        self.waiting, self.waiting_place = (scale, offset), place

    def _take_relu(self, place: str, module: nn.ReLU) -> None:
        if not self.layers or self.waiting is not None:
            raise _refuse(place, module, "it follows no Linear")
        self.layers[-1] = replace(self.layers[-1], relu=True)

    def _take_flatten(self, place: str, module: nn.Flatten) -> None:
        if (module.start_dim, module.end_dim) not in ((1, -1), (1, len(self.shape))):
            raise _refuse(place, module, f"it flattens dimensions {module.start_dim} to {module.end_dim}")
        self.shape = (prod(self.shape),)

    def _take_reader(self, place: str, module: nn.Softmax | nn.LogSoftmax) -> None:
        if not self.layers or self.waiting is not None:
            raise _refuse(place, module, "it follows no Linear")
        if module.dim not in (1, -1, None):
            raise _refuse(place, module, f"it is taken over dimension {module.dim}")
        self.readers.append(module)

    def _features(self, place: str, module: nn.Module) -> int:
        if len(self.shape) != 1:
            name = type(module).__name__
            raise ModelError(f"module '{name}' at '{place}' gets items of shape {self.shape}; put a Flatten before it")
        return self.shape[0]


def _refuse(place: str, module: nn.Module, reason: str = "") -> UnsupportedModule:
    because = f" ({reason})" if reason else ""
    name = type(module).__name__
    return UnsupportedModule(f"module '{name}' at '{place}' cannot be made exact{because}; supported: {SUPPORTED}")


def _read(place: str, module: nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer of a module as finite float64 on the CPU."""
    values: torch.Tensor = getattr(module, name).detach().to("cpu", torch.float64)
    if not bool(values.isfinite().all()):
        raise ModelError(f"module '{type(module).__name__}' at '{place}': its {name} holds NaN or infinity")
    return values


def _batch_norm_affine(place: str, module: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset per feature that a BatchNorm1d in evaluation mode applies."""
    if module.running_mean is None or module.running_var is None:
        raise _refuse(place, module, "it keeps no running statistics")
    mean, variance = _read(place, module, "running_mean"), _read(place, module, "running_var")
    scale = 1 / torch.sqrt(variance + float(module.eps))
    offset = torch.zeros_like(mean)
    if module.weight is not None:
        scale = scale * _read(place, module, "weight")
    if module.bias is not None:
        offset = _read(place, module, "bias")
    return scale, offset - mean * scale
