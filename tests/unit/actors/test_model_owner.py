"""The owner's checkpoint is checked before the owner computes with it: a change in its memory must accuse nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import save_model
from deepring_chain.ring.folder import MODEL_FILE
from tests.e2e.live_ring import tiny_model

MODEL = tiny_model()


@pytest.fixture
def owner(tmp_path: Path) -> ModelOwner:
    save_model(tmp_path / MODEL_FILE, MODEL)
    return ModelOwner(tmp_path, MODEL.manifest().root(), torch.device("cpu"))


def flip(owner: ModelOwner, index: int) -> None:
    owner._model.layer(index).tensors["weight"].view(-1)[0] ^= 1


def root(owner: ModelOwner) -> bytes:
    return owner._model.manifest().root()


def test_changed_layer_is_read_anew_when_that_layer_is_verified(owner: ModelOwner) -> None:
    flip(owner, 1)
    assert root(owner) != MODEL.manifest().root()
    owner.verify_layer(1)
    assert root(owner) == MODEL.manifest().root()


def test_verifying_one_layer_says_nothing_of_another_and_verifying_all_finds_it(owner: ModelOwner) -> None:
    flip(owner, 2)
    owner.verify_layer(1)
    assert root(owner) != MODEL.manifest().root()
    owner.verified()
    assert root(owner) == MODEL.manifest().root()


def test_changed_memory_and_a_foreign_file_are_an_error(owner: ModelOwner, tmp_path: Path) -> None:
    flip(owner, 1)
    save_model(tmp_path / MODEL_FILE, tiny_model(seed=2))
    with pytest.raises(ModelError, match="not the model that the ring was made for"):
        owner.verify_layer(1)
