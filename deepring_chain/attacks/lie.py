"""What a lab worker does on order in place of an honest one, all of it said in one file of `attacks/lies`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from deepring_chain.model.layer import Layer
from deepring_chain.store.ports import BlobStore
from deepring_chain.types import ComplaintKind, OutputCommitment, Pointer, TensorBytes


class Told(Protocol):
    """What an order says besides its lie; see `orders.LabOrder`."""

    @property
    def tensor(self) -> str:
        """For one bit flip."""

    @property
    def bit(self) -> int:
        """For one bit flip."""

    @property
    def flips(self) -> tuple[tuple[str, int], ...]:
        """For several."""

    @property
    def steps(self) -> float:
        """Of noise."""

    @property
    def seed(self) -> int:
        """Of noise."""


Tensors = Callable[[], Mapping[str, torch.Tensor]]
"""The tensors that came with the order."""


@dataclass(frozen=True)
class FalseComplaint:
    """A complaint for which there is no reason.

    Attributes:
        kind: of the complaint.
        key: makes what is shown as the envelope's key; the true one is shown if None.
    """

    kind: ComplaintKind
    key: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class LieKind:
    """One lie; the constant `LIE` of its file. It says what differs from an honest worker, the first that comes once.

    Attributes:
        name: as `deepring perturb` takes it.
        strike: changes live layers at once; all other lies wait for the worker's turn in a query.
        receive: what is computed on, of what was sent.
        expect: the commitment to the next hop's output, of the true one.
        send: what is sealed for the next hop, of the true output.
        store: what the update points to, given the store and the true envelope.
        complain: disputes the hop before.
        is_silent: does nothing until another order comes or the process starts again.
    """

    name: str
    strike: Callable[[tuple[Layer, ...], Told, Tensors], None] | None = None
    receive: Callable[[TensorBytes, Told], TensorBytes] | None = None
    expect: Callable[[OutputCommitment], OutputCommitment] | None = None
    send: Callable[[TensorBytes], TensorBytes] | None = None
    store: Callable[[BlobStore, bytes], Pointer] | None = None
    complain: FalseComplaint | None = None
    is_silent: bool = False


def perturbed(tensor: TensorBytes) -> TensorBytes:
    """Every element's sign bit flipped in the first quarter: a change that no later layer can swallow unnoticed."""
    count = max(1, len(tensor.data) // 4)
    changed = bytes(byte ^ 0x80 for byte in tensor.data[:count]) + tensor.data[count:]
    return TensorBytes(tensor.dtype, tensor.shape, changed)
