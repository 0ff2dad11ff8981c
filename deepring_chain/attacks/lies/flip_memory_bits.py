"""Flipped bits of the parameters that the worker computes with."""

from __future__ import annotations

from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.attacks.lie import LieKind, Tensors, Told
from deepring_chain.model.layer import Layer


def _strike(layers: tuple[Layer, ...], told: Told, _tensors: Tensors) -> None:
    flip_memory_bits(layers, told.flips)


LIE = LieKind("flip-memory-bits", strike=_strike)
