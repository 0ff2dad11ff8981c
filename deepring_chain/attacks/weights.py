"""Copies of a quantised model with other weights; the given model is only read.

A stored weight is an int8 byte, but only [-64, 63] is legal: bits 6 and 7 of a legal byte are equal. Flipping one of
the two leaves the range. Nothing in a machine's memory prevents that, though a parameter file with such a byte does not
load. With such a weight, `torch._int_mm` is exact on CPUs with VNNI and may saturate on others, so a copy made here
computes with `WIDE_KERNEL`, which is exact for all 256 values everywhere: an attacked model's accuracy is then a figure
of the attack and not of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.kernels import WEIGHT_MAX, WEIGHT_MIN, Kernel, int8_matmul
from deepring_chain.model.layer import Layer, Part
from deepring_chain.model.operators import build_layer
from deepring_chain.model.quantised import QuantisedModel

LEGAL_BITS = 6
"""Bits 0 to 5 of a legal weight may be flipped without leaving [-64, 63]."""

INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True, order=True)
class BitFlip:
    """One flipped bit of one weight tensor.

    Attributes:
        tensor: its name as in a parameter file, such as "layer.3.weight".
        bit: number within the tensor's bytes: 8 * element + bit of the element (0 is the lowest, 7 the sign).
    """

    tensor: str
    bit: int

    @property
    def layer(self) -> int:
        """Index of the layer."""
        return int(self.tensor.split(".")[1])

    @property
    def element(self) -> int:
        """Number of the element, in C order."""
        return self.bit // 8

    @property
    def is_in_range(self) -> bool:
        """Whether a legal weight stays legal."""
        return self.bit % 8 < LEGAL_BITS

    def __str__(self) -> str:
        return f"{self.tensor}[{self.element}] bit {self.bit % 8}"


def weight_tensors(layers: Iterable[Layer]) -> dict[str, torch.Tensor]:
    """The weights of layers by their name in a parameter file; int8 [features, outputs], the live memory."""
    return {
        f"layer.{layer.index}.{name}": tensor
        for layer in layers
        for name, tensor in layer.tensors.items()
        if name.rpartition(".")[2] == "weight"
    }


def copy_model(model: QuantisedModel) -> QuantisedModel:
    """The same model in memory of its own, on the CPU."""
    return QuantisedModel(model.card, tuple(_copy(layer) for layer in model.layers))


def with_weight(model: QuantisedModel, index: int, weight: torch.Tensor, name: str = "weight") -> QuantisedModel:
    """A copy of a model with another weight tensor.

    Args:
        model: only read.
        index: of the layer, from 1.
        weight: int8, of the shape of the one that it replaces; any int8 value.
        name: of the tensor within the layer; a residual block has several.

    Raises:
        ModelError: no such layer or weight, or another dtype or shape.
    """
    return _with_weights(model, {f"layer.{model.layer(index).index}.{name}": weight})


def apply_flips(model: QuantisedModel, flips: Iterable[BitFlip]) -> QuantisedModel:
    """A copy of a model with flipped bits; a bit that is flipped twice is as it was.

    Raises:
        ModelError: no such weight or bit.
    """
    weights = {name: tensor.cpu().clone() for name, tensor in weight_tensors(model.layers).items()}
    for flip in flips:
        if flip.tensor not in weights:
            raise ModelError(f"no weight {flip.tensor}; there are {', '.join(sorted(weights))}")
        if not 0 <= flip.bit < 8 * weights[flip.tensor].numel():
            raise ModelError(f"weight {flip.tensor}: no bit {flip.bit}, it has {8 * weights[flip.tensor].numel()}")
        weights[flip.tensor].view(-1).view(torch.uint8)[flip.element] ^= 1 << flip.bit % 8
    return _with_weights(model, weights)


def is_legal(weight: torch.Tensor) -> bool:
    """Whether all elements lie in [-64, 63]."""
    return int(weight.min()) >= WEIGHT_MIN and int(weight.max()) <= WEIGHT_MAX


def _with_weights(model: QuantisedModel, weights: dict[str, torch.Tensor]) -> QuantisedModel:
    copied = copy_model(model)
    if not all(is_legal(weight) for weight in weights.values()):
        copied = QuantisedModel(copied.card, tuple(with_wide_kernel(layer) for layer in copied.layers))
    live = weight_tensors(copied.layers)
    for name, weight in weights.items():
        if name not in live:
            raise ModelError(f"no weight {name}; there are {', '.join(sorted(live))}")
        if (weight.dtype, weight.shape) != (torch.int8, live[name].shape):
            got = f"{weight.dtype} {list(weight.shape)}"
            raise ModelError(f"weight {name}: {got}, expected int8 {list(live[name].shape)}")
        live[name].copy_(weight)
    return copied


def _copy(layer: Layer) -> Layer:
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in layer.tensors.items()}
    return build_layer(layer.operator, layer.index, layer.attributes, tensors)


def wide_matmul(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Exact product for weights of all eight bits, as a sum of products with weights that `int8_matmul` takes.

    Args:
        a: int8 [M, K].
        w: int8 [K, N], the whole range.

    Returns:
        int32 [M, N].
    """
    part = w.clamp(WEIGHT_MIN, WEIGHT_MAX)
    product = int8_matmul(a, part)
    rest = w - part  # -64..64: no overflow, and at most one more step beyond 63
    while bool(rest.any()):
        part = rest.clamp(WEIGHT_MIN, WEIGHT_MAX)
        product += int8_matmul(a, part)
        rest = rest - part
    return product


WIDE_KERNEL = Kernel("sums of torch._int_mm, 8-bit weights", wide_matmul, INT8_MIN, INT8_MAX)
"""For attacked models only: up to three times the work."""


def with_wide_kernel(part: Any) -> Any:
    """The same layer over the same memory, computing with `WIDE_KERNEL`."""
    if isinstance(part, Kernel):
        return WIDE_KERNEL
    if isinstance(part, tuple):
        return tuple(with_wide_kernel(item) for item in part)
    if not isinstance(part, Part):
        return part
    return replace(part, **{member.name: with_wide_kernel(getattr(part, member.name)) for member in fields(part)})
