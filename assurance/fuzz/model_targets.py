"""Models: cards, manifests, parameter files, checkpoints, training states, ONNX."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import cbor2
import onnx
import torch
from onnx import helper
from torch import nn

from assurance.fuzz.codecs import CBOR, Codec, prefixed
from assurance.fuzz.scratch import from_file, scratch
from assurance.fuzz.target import MEBI, Limits, Target
from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ModelError
from deepring_chain.importing.onnx_import import import_onnx
from deepring_chain.importing.quantise import quantise
from deepring_chain.model.card import ModelCard
from deepring_chain.model.checkpoint import (
    LAYERS_KIND,
    decode_layers,
    encode_layers,
    find_damaged_tensors,
    load_model,
    save_model,
)
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.layer import IdentityLayer, Layer
from deepring_chain.model.manifest import LayerEntry, Manifest, ManifestSlice
from deepring_chain.model.operators import OPERATORS
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.tensor_file import decode_tensors, encode_tensors
from deepring_chain.training.train_state import EPOCH, RANDOM, STATE_KIND, load_state
from tests.unit.importing.onnx_tools import exported, seeded

TENSORS = Limits(seconds=3.0, memory=16 * MEBI, memory_per_byte=512, longest=16384)
ONNX = Limits(seconds=5.0, memory=24 * MEBI, memory_per_byte=2048, longest=8192)


# ---------------------------------------------------------------------- small networks


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]


def dense_network() -> nn.Sequential:
    """Two dense layers."""
    return seeded(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)))


def image_network() -> nn.Sequential:
    """Convolutions, a residual block, both poolings, a dense layer."""
    block = Residual(nn.Sequential(*_conv(2, 2), nn.ReLU(), *_conv(2, 2)))
    pooled = (nn.MaxPool2d(2), block, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3))
    return seeded(nn.Sequential(*_conv(1, 2), nn.ReLU(), *pooled))


def _network(kind: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    if kind in KINDS:
        return (dense_network(), (3, 4)) if kind == "dense" else (image_network(), (1, 4, 4))
    form = OPERATORS[kind].floats
    if form is None:
        raise KeyError(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return seeded(form.example.network()), form.example.item_shape


@cache
def small_model(kind: str) -> QuantisedModel:
    """Three layers of numbers, or of pictures with a residual block; else the example of the operator of that name."""
    network, shape = _network(kind)
    inputs = torch.rand(40, *shape, generator=torch.Generator().manual_seed(4))
    return quantise(network, inputs, name=kind, classes=("a", "b", "c"))


KINDS = ("dense", "image")


@lru_cache(maxsize=1)
def kinds() -> tuple[str, ...]:
    """Models to seed with, until each operator that float networks lead to is in a pair of layers of one."""
    found = list(KINDS)
    for name, operator in OPERATORS.items():
        held = {layer.operator for kind in found for layer in _pair(small_model(kind))}
        if operator.floats is not None and name not in held:
            found.append(name)
    return tuple(found)


def _pair(model: QuantisedModel) -> tuple[Layer, Layer]:
    return model.layer(1), model.layer(2)


@lru_cache(maxsize=1)
def _slice() -> ManifestSlice:
    return small_model("dense").manifest().slice(1, 2)


# ---------------------------------------------------------------------- safetensors, taken apart


def _read_tensors(data: bytes) -> list[Any]:
    """Header, the CBOR in its metadata, and the elements."""
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    metadata = {kind: cbor2.loads(bytes.fromhex(text)) for kind, text in header.pop("__metadata__").items()}
    return [header, metadata, data[8 + size :]]


def _write_tensors(value: Any) -> bytes:
    header, metadata, elements = value
    described = {kind: cbor2.dumps(held, canonical=True).hex() for kind, held in metadata.items()}
    text = json.dumps({"__metadata__": described, **header}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(elements)


SAFETENSORS = Codec(_read_tensors, _write_tensors)


@lru_cache(maxsize=2)
def _held(kind: str) -> dict[str, torch.Tensor]:
    layers = _pair(small_model(kind))
    return decode_tensors(encode_layers(layers), LAYERS_KIND, "seed")[1]


def _described(data: bytes) -> object:
    """Only the description comes from the input, the tensors are good ones: what a changed attribute does."""
    number = data[0] if data else 1
    kind = kinds()[number] if number < len(kinds()) else "image"
    return decode_layers(encode_tensors(LAYERS_KIND, data[1:].hex(), _held(kind)), "layers")


def _descriptions() -> list[bytes]:
    found = []
    for number, kind in enumerate(kinds()):
        listed = [[layer.index, layer.operator, dict(layer.attributes)] for layer in _pair(small_model(kind))]
        found.append(bytes([number]) + encode_fields(LAYERS_KIND, [listed]))
    return found


def _models() -> list[bytes]:
    path = scratch("seed.safetensors")
    found = []
    for kind in kinds():
        save_model(path, small_model(kind))
        found.append(path.read_bytes())
    return found


def _layer_files() -> list[bytes]:
    first = small_model("dense").layer(1)
    return [
        *(encode_layers(_pair(small_model(kind))) for kind in kinds()),
        encode_layers((IdentityLayer(), first)),
    ]


def _damaged(path: Path) -> object:
    return find_damaged_tensors(path, _slice())


def _states() -> list[bytes]:
    tensors = {"model.0.weight": torch.zeros(2), "optimizer.0.step": torch.tensor(1.0)}
    return [encode_tensors(STATE_KIND, "one", {**tensors, RANDOM: torch.zeros(8).byte(), EPOCH: torch.tensor(3)})]


# ---------------------------------------------------------------------- ONNX


def _onnx_seeds() -> list[bytes]:
    plain = seeded(nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Softmax(dim=1)))
    pooled = nn.Sequential(*_conv(1, 2), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    models = [exported(plain, (2, 3)), exported(seeded(pooled), (1, 4, 4)), exported(image_network(), (1, 4, 4))]
    constant = helper.make_node("Constant", [], ["w"], value=models[0].graph.initializer[0])
    models[0].graph.node.insert(0, constant)
    models[0].graph.node[2].input[1] = "w"
    return [_stripped(model).SerializeToString(deterministic=True) for model in models]


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    model.producer_name = ""
    return model


def _card() -> list[bytes]:
    card = small_model("dense").with_figures({"accuracy": 0.5, "note": "é"}).card
    return [card.encode()]


def _entry() -> list[bytes]:
    return [small_model("dense").manifest().entries[1].encode()]


def _encoded(value: Any) -> bytes:
    found: bytes = value.encode()
    return found


def _target(
    name: str,
    parse: Any,
    seeds: Any,
    share: int,
    codec: Codec | None = None,
    limits: Limits = TENSORS,
    again: Any = None,
    watched: Sequence[str] = (),
) -> Target:
    return Target(name, parse, (ModelError,), seeds, again, codec, limits, share, tuple(watched))


TARGETS = (
    _target("model-card", ModelCard.decode, _card, 16, CBOR, again=_encoded),
    _target("layer-entry", LayerEntry.decode, _entry, 16, CBOR, again=_encoded),
    _target("manifest", Manifest.decode, lambda: [small_model("dense").manifest().encode()], 16, CBOR, again=_encoded),
    _target("manifest-slice", ManifestSlice.decode, lambda: [_slice().encode()], 16, CBOR, again=_encoded),
    _target("layers-file", lambda data: decode_layers(data, "layers"), _layer_files, 8, SAFETENSORS),
    _target("layers-description", _described, _descriptions, 8, prefixed(1, CBOR)),
    _target("model-file", from_file("model.safetensors", load_model), _models, 6, SAFETENSORS),
    _target("damaged-tensors", from_file("params.safetensors", _damaged), _layer_files, 6, SAFETENSORS),
    _target("training-state", from_file("state", lambda p: load_state(p, "one", 9)), _states, 4),
    _target("onnx", from_file("net.onnx", import_onnx), _onnx_seeds, 3, limits=ONNX),
)
