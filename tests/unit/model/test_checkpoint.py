"""Model files come back as they were written, or are refused with one line."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import LAYERS_KIND, load_layers, load_model, save_layers, save_model
from deepring_chain.model.layer import IdentityLayer
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from tests.unit.model.model_tools import small_layer, small_model


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, small_model())
    return path


def test_model_comes_back_with_card_and_root(model_file: Path) -> None:
    loaded, model = load_model(model_file), small_model()
    assert loaded.card == model.card
    assert loaded.manifest() == model.manifest()


def test_same_model_gives_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "again", load_model(model_file))
    assert (tmp_path / "again").read_bytes() == model_file.read_bytes()


@pytest.mark.parametrize("indices", [(1, 2), (3, 0)])
def test_worker_parameters_hold_two_layers_and_nothing_else(indices: tuple[int, int], tmp_path: Path) -> None:
    model, path = small_model(), tmp_path / "params.safetensors"
    save_layers(path, [model.layer(index) for index in indices])
    loaded = load_layers(path)
    assert [layer.index for layer in loaded] == list(indices)
    assert [layer.content() for layer in loaded] == [model.layer(index).content() for index in indices]
    stored = {name.split(".")[1] for name in load_file(path)}
    assert stored == {str(index) for index in indices if index}
    assert isinstance(loaded[1], IdentityLayer) == (indices[1] == 0)


def test_loaded_tensors_do_not_share_memory_with_the_file(model_file: Path) -> None:
    before = model_file.read_bytes()
    first, second = load_model(model_file), load_model(model_file)
    first.layers[0].tensors["weight"].fill_(5)
    assert model_file.read_bytes() == before
    with model_file.open("r+b") as stream:
        stream.seek(-40, os.SEEK_END)
        stream.write(bytes(40))
    assert second.manifest() == small_model().manifest()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 800])
def test_truncated_file_is_refused(model_file: Path, length: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"model file .*model.safetensors: damaged") as caught:
        load_model(model_file)
    assert "\n" not in str(caught.value)


def test_file_without_its_last_byte_is_refused(model_file: Path) -> None:
    model_file.write_bytes(model_file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged"):
        load_model(model_file)


@pytest.mark.parametrize("data", [b"\xff" * 64, b"PK\x03\x04" + bytes(100), b"\x08" + bytes(7) + b"[1,2,3] "])
def test_other_file_is_refused(model_file: Path, data: bytes) -> None:
    model_file.write_bytes(data)
    with pytest.raises(ModelError, match="damaged or not a safetensors file"):
        load_model(model_file)


def test_every_damaged_header_byte_is_refused_or_harmless(model_file: Path) -> None:
    """A changed header either is refused with a ModelError or still gives a valid model; nothing else escapes."""
    data = model_file.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    refused = 0
    for place in range(0, 8 + size, 3):
        model_file.write_bytes(data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :])
        try:
            load_model(model_file)
        except ModelError:
            refused += 1
    assert refused > size // 3 * 0.8


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read \(No such file"):
        load_model(tmp_path / "none")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_file_of_another_kind_is_refused(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a deepring-layers file \(it holds deepring-model\)"):
        load_layers(model_file)
    save_file({"a": torch.zeros(1)}, tmp_path / "plain")
    with pytest.raises(ModelError, match=r"not a deepring-model file \(it holds no metadata\)"):
        load_model(tmp_path / "plain")


def rewrite(path: Path, name: str, tensor: torch.Tensor | None) -> None:
    """Replaces, adds or (None) removes one tensor of a model file."""
    text, tensors = read_tensor_file(path, "deepring-model")
    tensors.pop(name, None)
    if tensor is not None:
        tensors[name] = tensor
    write_tensor_file(path, "deepring-model", text, tensors)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("layer.1.weight", torch.full((12, 9), 100, dtype=torch.int8), "weight: elements 100..100, allowed -64..63"),
        ("layer.1.weight", torch.zeros((9, 12), dtype=torch.int8), r"weight: int8 \[9, 12\]"),
        ("layer.1.weight", torch.zeros((12, 9)), "weight: float32"),
        ("layer.2.shift", torch.full((8,), 63, dtype=torch.int32), "shift: elements 63..63, allowed 1..62"),
        ("layer.2.multiplier", torch.zeros(8, dtype=torch.int32), "multiplier: elements 0..0"),
        ("layer.3.bias", torch.full((5,), -(2**31), dtype=torch.int32), "bias: elements"),
        ("layer.3.bias", None, "lacks bias"),
        ("layer.3.extra", torch.zeros(1), "has unknown extra"),
        ("layer.4.weight", torch.zeros(1), "unknown tensors layer.4.weight"),
        ("layer.1.bias", torch.zeros(0, dtype=torch.int32), "0 outputs"),
    ],
)
def test_tensor_out_of_its_range_is_refused(
    model_file: Path, name: str, tensor: torch.Tensor | None, message: str
) -> None:
    rewrite(model_file, name, tensor)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(model_file)
    assert str(caught.value).startswith(f"model file {model_file}: ")


DENSE = {"input_zero_point": 0, "output_zero_point": 0, "relu": 1, "output_bits": 8, "input_size_0": 6}


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ([[1, "dense"]], "malformed description"),
        ([[1, "dense", {**DENSE, "relu": "yes"}]], "an attribute that is no integer"),
        ([[1, "dense", {**DENSE, "relu": 2}]], "relu 2"),
        ([[1, "dense", {**DENSE, "output_bits": 16}]], "output_bits 16"),
        ([[1, "dense", {**DENSE, "input_size_0": -6}]], "features"),
        ([[1, "dense", DENSE], [1, "dense", DENSE]], "lacks"),
        ([[1, "sparse", {}]], "unknown operator 'sparse'"),
        ([[0, "dense", DENSE]], "lacks"),
    ],
)
def test_damaged_description_is_refused(described: list[object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "params"
    tensors = {f"layer.1.{name}": tensor for name, tensor in small_layer().tensors.items()}
    write_tensor_file(path, LAYERS_KIND, encode_fields(LAYERS_KIND, [described]).hex(), tensors)
    with pytest.raises(ModelError, match=message):
        load_layers(path)


@pytest.mark.parametrize("text", ["", "zz", "00"])
def test_damaged_metadata_is_refused(text: str, tmp_path: Path) -> None:
    write_tensor_file(tmp_path / "params", LAYERS_KIND, text, {"layer.1.bias": torch.zeros(1)})
    with pytest.raises(ModelError, match="params: "):
        load_layers(tmp_path / "params")


def test_failed_write_leaves_the_old_file_and_no_other(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_file.read_bytes()

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ModelError, match=r"cannot be written \(No space left on device\)"):
        save_model(model_file, small_model())
    assert model_file.read_bytes() == before
    assert list(model_file.parent.iterdir()) == [model_file]


def test_write_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be written"):
        save_layers(tmp_path / "file" / "params", [small_layer()])


def test_saved_file_is_readable_by_its_owner_alone(model_file: Path) -> None:
    assert model_file.stat().st_mode & 0o077 == 0
