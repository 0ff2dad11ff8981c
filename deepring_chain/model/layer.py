"""What the ring computes: layers in the paper's sense, in exact integers, and their bridge to plain bytes.

A layer is one affine map with its activation. Its canonical content is read from the very tensors that `forward`
uses, so a block hash always speaks of what is executed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Any, ClassVar, TypeVar

import torch

from deepring_chain.encoding import ITEM_SIZES, layer_header
from deepring_chain.errors import ModelError
from deepring_chain.types import LayerContent, LayerIndex, TensorBytes

DTYPES = {"int8": torch.int8, "uint8": torch.uint8, "int32": torch.int32}

PartT = TypeVar("PartT", bound="Part")
LayerT = TypeVar("LayerT", bound="Layer")


@dataclass(frozen=True, eq=False)
class Part:
    """Something with tensors: they are its dataclass fields of type `torch.Tensor`, and those of its own parts.

    A field may be a tensor, a part, or a tuple of parts; "inner.0.weight" is the weight of the first part in `inner`.
    """

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name, in canonical order."""
        return dict(item for member in fields(self) for item in _named(member.name, getattr(self, member.name)))

    def to(self: PartT, device: torch.device) -> PartT:
        """The same with its tensors on `device`, itself if they are there already."""
        if all(tensor.device == device for tensor in self.tensors.values()):
            return self
        return replace(self, **{member.name: _moved(getattr(self, member.name), device) for member in fields(self)})


def _named(name: str, value: object) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Part):
        yield from ((f"{name}.{inner}", tensor) for inner, tensor in value.tensors.items())
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from _named(f"{name}.{number}", part)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, (torch.Tensor, Part)):
        return value.to(device)
    return tuple(_moved(part, device) for part in value) if isinstance(value, tuple) else value


@dataclass(frozen=True, eq=False)
class Layer(Part, ABC):
    """One unit of the ring. An operator is a subclass.

    Attributes:
        index: place in the network, 1..n; 0 is the identity layer.
    """

    operator: ClassVar[str]

    index: LayerIndex

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of one item (without the batch), None if the layer takes any."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...] | None:
        """Shape of one item of the result, None if it is that of the input."""

    @property
    @abstractmethod
    def input_dtype(self) -> str | None:
        """Name of the dtype that the layer takes, None if it takes any."""

    @property
    @abstractmethod
    def output_dtype(self) -> str | None:
        """Name of the dtype that the layer delivers, None if it is that of the input."""

    @property
    @abstractmethod
    def attributes(self) -> Mapping[str, int]:
        """Integers that define the operator besides its tensors."""

    @classmethod
    @abstractmethod
    def from_parts(
        cls: type[LayerT], index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> LayerT:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: something is missing, superfluous or out of range.
        """

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes the layer on a batch [N, *input_shape] on the device of its tensors, in exact integers."""

    def content(self) -> LayerContent:
        """The layer's canonical bytes: header, and views over the live tensors.

        On a CPU nothing is copied; tensors on a CUDA device are fetched anew at each call.
        """
        tensors = self.tensors
        listed = [(name, dtype_name(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()]
        header = layer_header(self.index, self.operator, self.attributes, listed)
        return LayerContent(self.index, header, tuple(_view(tensor) for tensor in tensors.values()))


@dataclass(frozen=True, eq=False)
class IdentityLayer(Layer):
    """The ouroboros's layer (paper 3.3): index 0, no tensors, returns its input."""

    operator: ClassVar[str] = "identity"

    index: LayerIndex = field(default=LayerIndex(0))

    def __post_init__(self) -> None:
        if self.index != 0:
            raise ModelError(f"layer {self.index}: only layer 0 is the identity")

    @property
    def input_shape(self) -> None:
        """Any."""

    @property
    def output_shape(self) -> None:
        """That of the input."""

    @property
    def input_dtype(self) -> None:
        """Any."""

    @property
    def output_dtype(self) -> None:
        """That of the input."""

    @property
    def attributes(self) -> Mapping[str, int]:
        """None."""
        return {}

    @classmethod
    def from_parts(
        cls, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
    ) -> IdentityLayer:
        """Inverse of `index`, `attributes` and `tensors`.

        Raises:
            ModelError: an index other than 0, or any attribute or tensor.
        """
        check_names(f"layer {index} (identity)", (*attributes, *tensors), ())
        return cls(index)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `x`."""
        return x


def dtype_name(tensor: torch.Tensor) -> str:
    """Name of a tensor's dtype, as in `TensorBytes`."""
    return str(tensor.dtype).removeprefix("torch.")


def _view(tensor: torch.Tensor) -> memoryview:
    return tensor.cpu().numpy().data.cast("B").toreadonly()


def check_names(where: str, given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Raises ModelError unless `given` are the `expected` names, in any order."""
    missing, superfluous = set(expected) - set(given), set(given) - set(expected)
    if missing or superfluous:
        parts = [("lacks", missing), ("has unknown", superfluous)]
        raise ModelError(
            f"{where}: " + "; ".join(f"{word} {', '.join(sorted(names))}" for word, names in parts if names)
        )


def check_tensor(where: str, tensor: torch.Tensor, dtype: str, shape: tuple[int, ...], limits: tuple[int, int]) -> None:
    """Raises ModelError unless a tensor has this dtype and shape, C order, and all elements in the limits."""
    got = f"{dtype_name(tensor)} {list(tensor.shape)}"
    if got != f"{dtype} {list(shape)}":
        raise ModelError(f"{where}: {got}, expected {dtype} {list(shape)}")
    if not tensor.is_contiguous():
        raise ModelError(f"{where}: not in C order")
    smallest, largest = int(tensor.min()), int(tensor.max())
    if smallest < limits[0] or largest > limits[1]:
        raise ModelError(f"{where}: elements {smallest}..{largest}, allowed {limits[0]}..{limits[1]}")


def run_layer(layer: Layer, tensor: TensorBytes, device: torch.device) -> TensorBytes:
    """Computes a layer on plain bytes. Implements eq. (6): every actor's O_i comes from here.

    Args:
        layer: its tensors must be on `device` (`Layer.to`).
        tensor: a batch [N, *layer.input_shape] of the layer's dtype, N >= 1.
        device: where to compute.

    Raises:
        ModelError: dtype, shape or length do not fit; the message names both sides.
    """
    check_input(layer, tensor)
    if isinstance(layer, IdentityLayer):
        return tensor
    view = memoryview(tensor.data)
    # torch wants writable memory, though no layer writes into its input.
    x = torch.frombuffer(bytearray(view) if view.readonly else view, dtype=DTYPES[tensor.dtype]).view(tensor.shape)
    y = layer.forward(x.to(device)).cpu().contiguous()
    return TensorBytes(dtype_name(y), tuple(y.shape), y.view(-1).view(torch.uint8).numpy().data)


def check_input(layer: Layer, tensor: TensorBytes) -> None:
    """Raises ModelError unless `tensor` is a non-empty batch of what `layer` takes."""
    got = f"{tensor.dtype} {list(tensor.shape)}"
    if tensor.dtype not in ITEM_SIZES or not tensor.shape or min(tensor.shape) < 1:
        raise ModelError(f"layer {layer.index} ({layer.operator}): cannot take {got}")
    if layer.input_dtype is not None and layer.input_shape is not None:
        expected = f"{layer.input_dtype} {['N', *layer.input_shape]}".replace("'", "")
        if (tensor.dtype, tensor.shape[1:]) != (layer.input_dtype, layer.input_shape):
            raise ModelError(f"layer {layer.index} ({layer.operator}) takes {expected}, got {got}")
    needed = prod(tensor.shape) * ITEM_SIZES[tensor.dtype]
    if len(tensor.data) != needed:
        raise ModelError(f"layer {layer.index} ({layer.operator}): {len(tensor.data)} bytes, {got} needs {needed}")
