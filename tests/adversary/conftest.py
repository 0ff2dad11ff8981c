"""Rings for attackers, and the rule that every test here says how its attack ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assurance.adversary.outcomes import Outcome
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.chain.devnet import Devnet
from deepring_chain.protocol.decide import serving

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test says its outcome, which goes with its report; what is not stopped is called so."""
    for item in items:
        if HERE not in item.path.parents or item.path.name == "test_catalogue.py":
            continue
        mark = item.get_closest_marker("attack")
        if mark is None:
            raise pytest.UsageError(f"{item.nodeid}: says no outcome (assurance/adversary/outcomes.py)")
        named_so = item.name.startswith("test_not_stopped_")
        if named_so is not (mark.args[0] is Outcome.NOT_STOPPED):
            raise pytest.UsageError(f"{item.nodeid}: its name and its outcome contradict each other")
        item.user_properties.append(("attack", mark.args[0].value))


@pytest.fixture(scope="module")
def attacked_node() -> Iterator[Devnet]:
    """A node for the rings that are attacked in one file; its first account has funds for about ten of them."""
    with Devnet() as node:
        yield node


@pytest.fixture(scope="module")
def attacked(attacked_node: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedRing]:
    """Four workers, one for each layer, for the attacks of one file; after them it is well and passes the audit."""
    ring = SteppedRing(tmp_path_factory.mktemp("ring") / "ring", attacked_node)
    yield ring
    ring.expect_well()


@pytest.fixture
def own_ring(attacked_node: Devnet, tmp_path: Path) -> SteppedRing:
    """A ring for one attack, which may break it."""
    return SteppedRing(tmp_path / "ring", attacked_node)


@pytest.fixture
def relieved_ring(attacked_node: Devnet, tmp_path: Path) -> SteppedRing:
    """A ring with a standby for each layer."""
    return SteppedRing(tmp_path / "ring", attacked_node, standbys=1)


@pytest.fixture
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> int:
    """An ouroboros that turns a query down after so many attempts, where each one fails in the same way."""
    monkeypatch.setattr(serving, "MAX_ATTEMPTS", 3)
    return 3
