"""Rings that several tests of one module share; a test leaves its ring running, as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepring_chain.model.checkpoint import shipped_model
from tests.e2e.command import Hurry, Terminal
from tests.e2e.live_ring import LiveRing, running_ring, tiny_model


@pytest.fixture(scope="module")
def tiny_ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """Three workers, in a moment."""
    with running_ring(tmp_path_factory.mktemp("tiny") / "ring", tiny_model()) as ring:
        yield ring


@pytest.fixture(scope="module")
def mnist_ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """The five workers of the network that is shipped. Seldom arranged, so that the keys of a query are kept."""
    with running_ring(tmp_path_factory.mktemp("mnist") / "ring", shipped_model(), arrange_every=100) as ring:
        yield ring


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The `deepring` command, at hand."""
    return Terminal(capsys, monkeypatch)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> Hurry:
    """For whom the doctor does not wait."""
    return Hurry(monkeypatch)
