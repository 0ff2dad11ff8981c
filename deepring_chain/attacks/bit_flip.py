"""Single flipped bits, in a worker's parameter file and in a live layer's memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from pathlib import Path

import torch

from deepring_chain.errors import ModelError
from deepring_chain.files import write_atomic
from deepring_chain.model.layer import Layer


def tensor_places(data: bytes) -> dict[str, tuple[int, int]]:
    """First and last + 1 byte of every tensor in a safetensors file (u64 header length, JSON header, elements)."""
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    return {
        name: (8 + size + entry["data_offsets"][0], 8 + size + entry["data_offsets"][1])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def flip_file_bit(path: Path, tensor: str, bit: int) -> None:
    """Flips one bit of a tensor in a parameter file; it takes effect when the worker starts the next time.

    Raises:
        ModelError: no such tensor or bit.
    """
    flip_file_bits(path, ((tensor, bit),))


def flip_file_bits(path: Path, flips: Collection[tuple[str, int]]) -> None:
    """Flips bits of tensors in a parameter file; they take effect when the worker starts the next time.

    Raises:
        ModelError: no such tensor or bit; nothing is flipped then.
    """
    data = bytearray(path.read_bytes())
    places = tensor_places(bytes(data))
    for tensor, bit in flips:
        start, end = _find(places, tensor, str(path))
        _check_bit(tensor, bit, end - start)
        data[start + bit // 8] ^= 1 << bit % 8
    write_atomic(path, bytes(data), 0o600)


def flip_memory_bit(layers: tuple[Layer, ...], tensor: str, bit: int) -> None:
    """Flips one bit of a tensor that a worker computes with.

    Raises:
        ModelError: no such tensor or bit.
    """
    flip_memory_bits(layers, ((tensor, bit),))


def flip_memory_bits(layers: tuple[Layer, ...], flips: Collection[tuple[str, int]]) -> None:
    """Flips bits of tensors that a worker computes with.

    Raises:
        ModelError: no such tensor or bit; nothing is flipped then.
    """
    tensors = {name: tensor.view(-1).view(torch.uint8) for name, tensor in live_tensors(layers).items()}
    for tensor, bit in flips:
        if tensor not in tensors:
            raise ModelError(f"no tensor {tensor}; there are {', '.join(sorted(tensors))}")
        _check_bit(tensor, bit, tensors[tensor].numel())
    for tensor, bit in flips:
        tensors[tensor][bit // 8] ^= 1 << bit % 8


def live_tensors(layers: tuple[Layer, ...]) -> dict[str, torch.Tensor]:
    """The tensors that layers compute with, by their names in a parameter file."""
    return {f"layer.{layer.index}.{name}": value for layer in layers for name, value in layer.tensors.items()}


def _find(places: dict[str, tuple[int, int]], tensor: str, where: str) -> tuple[int, int]:
    if tensor not in places:
        raise ModelError(f"{where}: no tensor {tensor}; there are {', '.join(sorted(places))}")
    return places[tensor]


def _check_bit(tensor: str, bit: int, size: int) -> None:
    if not 0 <= bit < 8 * size:
        raise ModelError(f"tensor {tensor}: no bit {bit}, it has {8 * size}")
