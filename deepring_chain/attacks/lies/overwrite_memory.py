"""Other tensors in place of those that the worker computes with."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind, Tensors, Told
from deepring_chain.attacks.overwrite import overwrite_memory
from deepring_chain.model.layer import Layer


def _strike(layers: tuple[Layer, ...], _told: Told, tensors: Tensors) -> None:
    overwrite_memory(layers, tensors())


LIE = LieKind("overwrite-memory", strike=_strike)
