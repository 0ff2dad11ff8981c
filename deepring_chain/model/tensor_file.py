"""Safetensors files with one line of metadata; loaded tensors are private copies, never a mapping of the file.

The single metadata key says what kind of file it is, so that a wrong file is refused by name. One key also keeps the
bytes reproducible: safetensors writes several keys in an arbitrary order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from deepring_chain.errors import ModelError
from deepring_chain.files import read_limited, write_atomic

SIZE_LIMIT = 4 * 2**30
"""Largest file in bytes that is read."""


def write_tensor_file(path: Path, kind: str, text: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes `tensors` atomically, with `{kind: text}` as the metadata.

    Raises:
        ModelError: the file cannot be written.
    """
    write_atomic(path, encode_tensors(kind, text, tensors), 0o600, ModelError)


def encode_tensors(kind: str, text: str, tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of such a file."""
    private = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save(private, metadata={kind: text})


def read_tensor_file(path: Path, kind: str) -> tuple[str, dict[str, torch.Tensor]]:
    """Reads a file that `write_tensor_file` wrote under the same `kind`.

    Returns:
        The metadata text, and the tensors by name, each in its own aligned memory.

    Raises:
        ModelError: the file is missing, truncated, damaged or of another kind.
    """
    return decode_tensors(read_limited(path, SIZE_LIMIT, "model file"), kind, f"model file {path}")


def decode_tensors(data: bytes, kind: str, where: str) -> tuple[str, dict[str, torch.Tensor]]:
    """Inverse of `encode_tensors`.

    Args:
        data: untrusted bytes.
        kind: what the file must be.
        where: its name, for the error.

    Raises:
        ModelError: truncated, damaged or of another kind.
    """
    try:
        tensors = load(data)
        metadata = _read_metadata(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{where}: damaged or not a safetensors file ({reason})") from None
    if kind not in metadata:
        held = ", ".join(sorted(metadata)) or "no metadata"
        raise ModelError(f"{where}: not a {kind} file (it holds {held})")
    return metadata[kind], {name: tensor.clone() for name, tensor in tensors.items()}


def _read_metadata(data: bytes) -> dict[str, str]:
    """Metadata of a safetensors file that the library accepted: u64 length, then a JSON header."""
    (size,) = struct.unpack_from("<Q", data)
    metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    return {str(key): str(value) for key, value in metadata.items()}
