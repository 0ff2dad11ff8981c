"""A block attests what it computes with, starts with a damaged file, and takes no parameters but the manifest's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deepring_chain.actors.worker.block import Block
from deepring_chain.attacks.bit_flip import flip_file_bit, flip_memory_bit
from deepring_chain.errors import ConfigError, ModelError
from deepring_chain.model.checkpoint import encode_layers, save_layers
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import LayerContent
from tests.unit.actors.fake_ring import CPU


def parameters(model: QuantisedModel, index: int = 1) -> bytes:
    """The parameter file of a layer's worker."""
    return encode_layers((model.layer(index), model.layer(model.next_index(index))))


def open_block(folder: Path, model: QuantisedModel, index: int = 1) -> Block:
    return Block(folder, model.manifest().slice(index, model.next_index(index)), CPU)


@pytest.fixture
def block(tmp_path: Path, model: QuantisedModel) -> Block:
    """The block of layer 1."""
    save_layers(tmp_path / PARAMS_FILE, (model.layer(1), model.layer(2)))
    return open_block(tmp_path, model)


def good_contents(model: QuantisedModel) -> tuple[LayerContent, LayerContent]:
    return model.layer(1).content(), model.layer(2).content()


def flip(block: Block, tensor: str, bit: int = 0) -> None:
    assert block.layers is not None
    flip_memory_bit((block.layers.own, block.layers.following), tensor, bit)


def test_contents_are_those_of_both_layers(block: Block, model: QuantisedModel) -> None:
    assert block.contents() == good_contents(model)
    assert block.changed_tensors() == []


@pytest.mark.parametrize("tensor", ["layer.1.weight", "layer.1.bias", "layer.2.weight", "layer.2.shift"])
def test_contents_follow_the_memory_that_computes(block: Block, model: QuantisedModel, tensor: str) -> None:
    """A digest taken once at the start would attest for what is not there any more."""
    flip(block, tensor)
    assert block.contents() != good_contents(model)
    assert block.changed_tensors() == [tensor]
    flip(block, tensor)
    assert block.contents() == good_contents(model)


def test_block_without_a_file_is_refused(tmp_path: Path, model: QuantisedModel) -> None:
    with pytest.raises(ConfigError, match=r"params.safetensors: no parameters here; `deepring init` makes them"):
        open_block(tmp_path, model)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, bytes(range(256)) * 4, b"\xff" * 64], ids=len)
def test_damaged_file_is_attested_as_it_is(tmp_path: Path, model: QuantisedModel, data: bytes) -> None:
    """The worker starts, its leaf cannot match, and so the ring restores it."""
    (tmp_path / PARAMS_FILE).write_bytes(data)
    block = open_block(tmp_path, model)
    assert block.layers is None
    assert [bytes(content.tensors[0]) for content in block.contents()] == [data, data]
    assert block.changed_tensors() == [PARAMS_FILE]


def test_weight_out_of_range_is_named(tmp_path: Path, model: QuantisedModel) -> None:
    own = model.layer(1)
    assert isinstance(own, DenseLayer)
    save_layers(tmp_path / PARAMS_FILE, (own, model.layer(2)))
    flip_file_bit(tmp_path / PARAMS_FILE, "layer.1.weight", 7 if own.weight.view(-1)[0] >= 0 else 6)
    block = open_block(tmp_path, model)
    assert block.changed_tensors() == ["layer.1.weight"]


def test_file_of_another_worker_is_damage(tmp_path: Path, model: QuantisedModel) -> None:
    """Two workers' files exchanged: each is intact, and in the wrong place."""
    (tmp_path / PARAMS_FILE).write_bytes(parameters(model, 2))
    block = open_block(tmp_path, model, 1)
    assert block.layers is None
    assert {name.rpartition(".")[0] for name in block.changed_tensors()} == {"layer.1", "layer.3"}


def test_damaged_file_that_vanished_is_one_line(tmp_path: Path, model: QuantisedModel) -> None:
    (tmp_path / PARAMS_FILE).write_bytes(b"")
    block = open_block(tmp_path, model)
    (tmp_path / PARAMS_FILE).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        block.contents()


# ---------------------------------------------------------------- restore


def test_restore_mends_memory_and_file_and_names_what_had_changed(
    block: Block, tmp_path: Path, model: QuantisedModel
) -> None:
    flip(block, "layer.1.bias")
    flip(block, "layer.2.weight", 9)
    flip_file_bit(tmp_path / PARAMS_FILE, "layer.1.multiplier", 0)
    assert block.restore(parameters(model)) == ["layer.1.bias", "layer.2.weight"]
    assert block.contents() == good_contents(model)
    assert (tmp_path / PARAMS_FILE).read_bytes() == parameters(model)
    assert open_block(tmp_path, model).contents() == good_contents(model)


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 4])
def test_restore_mends_a_file_that_did_not_load(tmp_path: Path, model: QuantisedModel, data: bytes) -> None:
    (tmp_path / PARAMS_FILE).write_bytes(data)
    block = open_block(tmp_path, model)
    assert block.restore(parameters(model)) == [PARAMS_FILE]
    assert block.layers is not None
    assert block.contents() == good_contents(model)


def test_restored_file_is_for_its_owner_alone(block: Block, tmp_path: Path, model: QuantisedModel) -> None:
    block.restore(parameters(model))
    assert (tmp_path / PARAMS_FILE).stat().st_mode & 0o077 == 0


def changed_weight(model: QuantisedModel) -> bytes:
    own = model.layer(1)
    assert isinstance(own, DenseLayer)
    weight = own.weight.clone()
    weight[0, 0] = torch.where(weight[0, 0] == 5, 6, 5)
    return encode_layers((replace(own, weight=weight), model.layer(2)))


@pytest.mark.parametrize("what", ["truncated", "random", "another worker's", "one weight changed", "exchanged"])
def test_restore_with_other_parameters_than_the_manifests_replaces_nothing(
    block: Block, tmp_path: Path, model: QuantisedModel, what: str
) -> None:
    """An ouroboros that lost its mind, or somebody who stole its key, sends something else."""
    sent = {
        "truncated": parameters(model)[:-1],
        "random": bytes(range(256)),
        "another worker's": parameters(model, 2),
        "one weight changed": changed_weight(model),
        "exchanged": encode_layers((model.layer(2), model.layer(1))),
    }[what]
    before = (tmp_path / PARAMS_FILE).read_bytes()
    with pytest.raises(ModelError):
        block.restore(sent)
    assert block.contents() == good_contents(model)
    assert (tmp_path / PARAMS_FILE).read_bytes() == before
