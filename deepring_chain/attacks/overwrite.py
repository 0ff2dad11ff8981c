"""Overwritten tensors, in a live layer's memory and in a worker's parameter file, and noise to overwrite them with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from deepring_chain.attacks.bit_flip import live_tensors, tensor_places
from deepring_chain.errors import ModelError
from deepring_chain.files import write_atomic
from deepring_chain.model.kernels import WEIGHT_MAX, WEIGHT_MIN
from deepring_chain.model.layer import Layer


def overwrite_memory(layers: tuple[Layer, ...], tensors: Mapping[str, torch.Tensor]) -> None:
    """Overwrites tensors that a worker computes with; any value of their dtype is taken, as memory would.

    Raises:
        ModelError: no such tensor, or another dtype or shape; nothing is overwritten then.
    """
    live = live_tensors(layers)
    for name, tensor in tensors.items():
        if name not in live:
            raise ModelError(f"no tensor {name}; there are {', '.join(sorted(live))}")
        if (tensor.dtype, tensor.shape) != (live[name].dtype, live[name].shape):
            given, held = (f"{found.dtype} {list(found.shape)}" for found in (tensor, live[name]))
            raise ModelError(f"tensor {name}: {given}, expected {held}")
    for name, tensor in tensors.items():
        live[name].copy_(tensor)


def overwrite_file(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Overwrites the bytes of tensors in a parameter file; it takes effect when the worker starts the next time.

    Raises:
        ModelError: no such tensor, or another number of bytes; nothing is overwritten then.
    """
    data = bytearray(path.read_bytes())
    places = tensor_places(bytes(data))
    for name, tensor in tensors.items():
        if name not in places:
            raise ModelError(f"{path}: no tensor {name}; there are {', '.join(sorted(places))}")
        start, end = places[name]
        written = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        if len(written) != end - start:
            raise ModelError(f"{path}: tensor {name} has {end - start} bytes, not {len(written)}")
        data[start:end] = written
    write_atomic(path, bytes(data), 0o600)


def add_weight_noise(weight: torch.Tensor, steps: float, seed: int) -> torch.Tensor:
    """Gaussian noise on stored weights, rounded and kept in [-64, 63].

    Args:
        weight: int8, any shape.
        steps: standard deviation, in steps of the stored integers.
        seed: of the noise.
    """
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * steps
    return (weight.cpu() + noise.round()).clamp(WEIGHT_MIN, WEIGHT_MAX).to(torch.int8)
