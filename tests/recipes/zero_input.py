"""Computes on zeros: the file to copy for a lie that a lab worker tells on order, as `attacks/lies/zero_input.py`."""

from __future__ import annotations

from deepring_chain.attacks.lie import LieKind, Told
from deepring_chain.types import TensorBytes


def _receive(received: TensorBytes, _told: Told) -> TensorBytes:
    return TensorBytes(received.dtype, received.shape, bytes(len(received.data)))


LIE = LieKind("zero-input", receive=_receive)
