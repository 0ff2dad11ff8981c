"""Quantised models and workers' parameters as safetensors files.

Both hold the tensors as `layer.<index>.<name>` and one metadata line: the deterministic CBOR, in hex, of the card (of a
whole model) and of operator and attributes of each layer. Everything is checked on reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deepring_chain.datasets.samples import shipped_model_path
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.files import read_limited, write_atomic
from deepring_chain.model.card import ModelCard
from deepring_chain.model.layer import Layer, dtype_name
from deepring_chain.model.manifest import ManifestSlice, TensorEntry, digest_tensor
from deepring_chain.model.operators import build_layer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.tensor_file import (
    SIZE_LIMIT,
    decode_tensors,
    encode_tensors,
    read_tensor_file,
    write_tensor_file,
)
from deepring_chain.types import LayerIndex

MODEL_KIND = "deepring-model"
LAYERS_KIND = "deepring-layers"


def save_model(path: Path, model: QuantisedModel) -> None:
    """Writes a whole model atomically; the same model gives the same bytes.

    Raises:
        ModelError: the file cannot be written.
    """
    text = encode_fields(MODEL_KIND, [model.card.encode(), _describe(model.layers)]).hex()
    write_tensor_file(path, MODEL_KIND, text, _name_tensors(model.layers))


def load_model(path: Path) -> QuantisedModel:
    """Reads what `save_model` wrote, into private memory.

    Raises:
        ModelError: missing, truncated or damaged file, another kind of file, or a tensor out of its range.
    """
    text, tensors = read_tensor_file(path, MODEL_KIND)
    try:
        card, described = _decode(text, MODEL_KIND, [bytes, list])
        return QuantisedModel(ModelCard.decode(card), _build(described, tensors))
    except (ModelError, ProtocolError) as error:
        raise ModelError(f"model file {path}: {error}") from None


def save_layers(path: Path, layers: Sequence[Layer]) -> None:
    """Writes a worker's parameters atomically: its own layer and the next one.

    Raises:
        ModelError: the file cannot be written.
    """
    write_atomic(path, encode_layers(layers), 0o600, ModelError)


def encode_layers(layers: Sequence[Layer]) -> bytes:
    """The bytes of a worker's parameter file."""
    text = encode_fields(LAYERS_KIND, [_describe(layers)]).hex()
    return encode_tensors(LAYERS_KIND, text, _name_tensors(layers))


def load_layers(path: Path) -> tuple[Layer, ...]:
    """Reads what `save_layers` wrote, in the same order, into private memory.

    Raises:
        ModelError: missing, truncated or damaged file, another kind of file, or a tensor out of its range.
    """
    return decode_layers(read_limited(path, SIZE_LIMIT, "model file"), f"model file {path}")


def decode_layers(data: bytes, where: str) -> tuple[Layer, ...]:
    """Inverse of `encode_layers`.

    Args:
        data: untrusted bytes.
        where: their origin, for the error.

    Raises:
        ModelError: truncated, damaged, another kind of file, or a tensor out of its range.
    """
    text, tensors = decode_tensors(data, LAYERS_KIND, where)
    try:
        (described,) = _decode(text, LAYERS_KIND, [list])
        return _build(described, tensors)
    except (ModelError, ProtocolError) as error:
        raise ModelError(f"{where}: {error}") from None


def find_damaged_tensors(path: Path, manifest: ManifestSlice) -> list[str]:
    """Names the tensors of a parameter file that are not those of the manifest, even if the file is not usable.

    Returns:
        Names as in the file, such as "layer.3.weight"; the file's own name if it is not even a tensor file.
    """
    try:
        _, tensors = read_tensor_file(path, LAYERS_KIND)
    except ModelError:
        return [path.name]
    expected = {f"layer.{layer.index}.{entry.name}": entry for layer in manifest.entries for entry in layer.tensors}
    names = dict.fromkeys((*expected, *tensors))
    return [name for name in names if name not in tensors or not _is_entry(expected.get(name), tensors[name])]


def _is_entry(entry: TensorEntry | None, tensor: torch.Tensor) -> bool:
    if entry is None:
        return False
    flat = tensor.contiguous().view(-1).view(torch.uint8).numpy().data
    found = digest_tensor(dtype_name(tensor), tuple(tensor.shape), flat)
    return (entry.dtype, entry.shape, entry.digest) == (dtype_name(tensor), tuple(tensor.shape), found)


def _describe(layers: Sequence[Layer]) -> list[list[object]]:
    return [[layer.index, layer.operator, dict(layer.attributes)] for layer in layers]


def _name_tensors(layers: Sequence[Layer]) -> dict[str, torch.Tensor]:
    return {f"layer.{layer.index}.{name}": tensor for layer in layers for name, tensor in layer.tensors.items()}


def _decode(text: str, what: str, kinds: list[type]) -> list[Any]:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ModelError("its metadata is not hexadecimal") from None
    return decode_fields(data, what, kinds)


def _build(described: list[Any], tensors: dict[str, torch.Tensor]) -> tuple[Layer, ...]:
    """Makes the layers and sees that no tensor is left over."""
    remaining = dict(tensors)
    layers = []
    for item in described:
        index, operator, attributes = _check_description(item)
        prefix = f"layer.{index}."
        own = {name.removeprefix(prefix): remaining.pop(name) for name in list(remaining) if name.startswith(prefix)}
        layers.append(build_layer(operator, LayerIndex(index), attributes, own))
    if remaining:
        raise ModelError(f"unknown tensors {', '.join(sorted(remaining))}")
    return tuple(layers)


def _check_description(item: object) -> tuple[int, str, dict[str, int]]:
    if not isinstance(item, list) or [type(part) for part in item] != [int, str, dict]:
        raise ModelError("malformed description of a layer")
    index, operator, attributes = item
    if any(type(key) is not str or type(value) is not int for key, value in attributes.items()):
        raise ModelError(f"layer {index}: an attribute that is no integer")
    return index, operator, attributes


def shipped_model() -> QuantisedModel:
    """The quantised network that comes with the package.

    Raises:
        ModelError: its file is missing or damaged.
    """
    return load_model(shipped_model_path())
