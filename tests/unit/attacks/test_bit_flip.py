"""One bit is flipped, where it was said, and no other; a place that does not exist is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepring_chain.attacks.bit_flip import flip_file_bit, flip_memory_bit, tensor_places
from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import encode_layers, shipped_model
from deepring_chain.model.layer import Layer

MODEL = shipped_model()
LAST = (MODEL.layer(MODEL.card.layers),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A parameter file with one layer."""
    (tmp_path / "params").write_bytes(encode_layers(LAST))
    return tmp_path / "params"


def tensor_bytes(layer: Layer, name: str) -> bytes:
    return layer.tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def fresh() -> tuple[Layer]:
    """A copy whose memory a test may spoil."""
    return (shipped_model().layer(MODEL.card.layers),)


def difference(before: bytes, after: bytes) -> list[int]:
    """The numbers of the bits that differ."""
    assert len(before) == len(after)
    return [
        8 * i + bit
        for i, (a, b) in enumerate(zip(before, after, strict=True))
        for bit in range(8)
        if (a ^ b) >> bit & 1
    ]


def test_places_are_where_the_tensors_bytes_are(path: Path) -> None:
    data = path.read_bytes()
    (layer,) = LAST
    places = tensor_places(data)
    assert set(places) == {f"layer.{layer.index}.{name}" for name in layer.tensors}
    for name in layer.tensors:
        start, end = places[f"layer.{layer.index}.{name}"]
        assert data[start:end] == tensor_bytes(layer, name)


@pytest.mark.parametrize("bit", [0, 7, 8, 100])
def test_file_differs_in_one_bit_of_the_tensor(path: Path, bit: int) -> None:
    (layer,) = LAST
    name = f"layer.{layer.index}.weight"
    before = path.read_bytes()
    flip_file_bit(path, name, bit)
    start, _ = tensor_places(before)[name]
    assert difference(before, path.read_bytes()) == [8 * start + bit]
    assert path.stat().st_mode & 0o077 == 0
    flip_file_bit(path, name, bit)
    assert path.read_bytes() == before


@pytest.mark.parametrize("bit", [0, 7, 8, 100])
def test_memory_differs_in_one_bit_of_the_tensor(bit: int) -> None:
    (layer,) = fresh()
    before = {name: tensor_bytes(layer, name) for name in layer.tensors}
    flip_memory_bit((layer,), f"layer.{layer.index}.bias", bit)
    changed = {name: difference(before[name], tensor_bytes(layer, name)) for name in layer.tensors}
    assert {name: bits for name, bits in changed.items() if bits} == {"bias": [bit]}


@pytest.mark.parametrize("bit", [-1, 10**9])
def test_bit_that_is_not_there_is_refused(path: Path, bit: int) -> None:
    name = f"layer.{LAST[0].index}.weight"
    before = path.read_bytes()
    with pytest.raises(ModelError, match=rf"no bit {bit}, it has \d+"):
        flip_file_bit(path, name, bit)
    with pytest.raises(ModelError, match=rf"no bit {bit}, it has \d+"):
        flip_memory_bit(LAST, name, bit)
    assert path.read_bytes() == before


def test_tensor_that_is_not_there_is_refused_with_those_that_are(path: Path) -> None:
    known = f"layer.{LAST[0].index}.weight"
    with pytest.raises(ModelError, match=rf"no tensor nothing; there are .*{known}"):
        flip_file_bit(path, "nothing", 0)
    with pytest.raises(ModelError, match=rf"no tensor nothing; there are .*{known}"):
        flip_memory_bit(LAST, "nothing", 0)
