"""An actor joins with exact kernels and the registered model's parameters, or not at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch

from deepring_chain.errors import ConfigError, ModelError
from deepring_chain.model.kernels import INT8, Kernel, int8_matmul
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.self_test import SelfTestError
from deepring_chain.ring.folder import MANIFEST_FILE, Deployment
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime import actor
from deepring_chain.types import Address
from tests.unit.actors.fake_ring import FakeRing

DEPLOYMENT = Deployment("http://127.0.0.1:1", 31337, Address("0x" + "11" * 20), 1, "00" * 32, "file:///nowhere")


class Opened(Exception):
    """Keys, node, store and journal are opened."""


@pytest.fixture
def stops_before_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_member(*_: Any) -> NoReturn:
        raise Opened

    monkeypatch.setattr(actor, "_open_member", open_member)
    monkeypatch.setattr("deepring_chain.model.self_test.SIZES", ((1, 9, 1), (3, 63, 5)))


def off_by_one(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return int8_matmul(a, w) + 1


@pytest.mark.usefixtures("stops_before_opening")
def test_actor_whose_kernel_is_not_exact_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "INT8", Kernel("off by one", off_by_one, INT8.weight_min, INT8.weight_max))
    with pytest.raises(SelfTestError, match="off by one"):
        actor.load_actor(tmp_path, DEPLOYMENT, "password", ActorOptions())


@pytest.mark.usefixtures("stops_before_opening")
def test_actor_whose_kernel_is_exact_goes_on(tmp_path: Path) -> None:
    with pytest.raises(Opened):
        actor.load_actor(tmp_path, DEPLOYMENT, "password", ActorOptions())


def member_of(ring: FakeRing) -> Any:
    """Of a ring whose model's root is on the ledger."""
    root = ring.model.manifest().root()
    state = SimpleNamespace(model=SimpleNamespace(root=root))
    return SimpleNamespace(follower=SimpleNamespace(refresh=lambda: True), state=state)


def write_slice(folder: Path, model: QuantisedModel) -> Path:
    (folder / MANIFEST_FILE).write_bytes(model.manifest().slice(1, 2).encode())
    return folder


def test_manifest_of_the_registered_model_is_taken(ring: FakeRing, tmp_path: Path) -> None:
    held = actor._open_manifest(write_slice(tmp_path, ring.model), member_of(ring))
    assert [entry.index for entry in held.entries] == [1, 2]


def test_manifest_of_another_model_is_refused(ring: FakeRing, tmp_path: Path) -> None:
    member = member_of(ring)
    member.state.model.root = bytes(32)
    with pytest.raises(ModelError, match="another ring's folder"):
        actor._open_manifest(write_slice(tmp_path, ring.model), member)


def test_actor_without_parameters_or_model_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_open_member", lambda *_: None)
    monkeypatch.setattr(actor, "run_self_test", lambda *_: None)
    with pytest.raises(ConfigError, match="neither"):
        actor.load_actor(tmp_path, DEPLOYMENT, "password", ActorOptions())
