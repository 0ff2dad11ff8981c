"""The tiny model, made once, and a fresh ring for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.model.quantised import QuantisedModel
from tests.unit.actors.fake_ring import FakeRing, tiny_model


@pytest.fixture(scope="session")
def model() -> QuantisedModel:
    return tiny_model()


@pytest.fixture
def ring(tmp_path: Path, model: QuantisedModel) -> FakeRing:
    return FakeRing.make(tmp_path, model)
