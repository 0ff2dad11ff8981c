"""`deepring up` ends with one line when its devnet or its host is gone, and takes one word on where the node is."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from deepring_chain.cli import up
from deepring_chain.errors import ChainError, ConfigError
from deepring_chain.ring.folder import RingFolder
from tests.e2e.command import Terminal

NO_NEWS: Any = SimpleNamespace(look=lambda: None)


def alive(*answers: bool) -> Any:
    """Something that says so, one answer after the other."""
    left = iter(answers)
    return SimpleNamespace(is_alive=lambda: next(left), last_output=lambda: "out of memory")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "WATCH_SECONDS", 0.0)


def test_devnet_that_ended_is_told_with_its_last_words() -> None:
    with pytest.raises(ChainError, match="the devnet ended; its last words: out of memory"):
        up.watch(alive(True, True), alive(True, False), NO_NEWS)


@pytest.mark.parametrize("devnet", [None, alive(True, True)], ids=["a node of its own", "a devnet"])
def test_host_that_ended_is_told(devnet: Any) -> None:
    with pytest.raises(ConfigError, match="the host of the actors ended"):
        up.watch(alive(True, False), devnet, NO_NEWS)


def test_node_that_runs_and_a_port_exclude_each_other(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reach(*_: Any) -> NoReturn:
        raise ConfigError("reached the node")

    monkeypatch.setattr(RingFolder, "load_config", lambda _folder: None)
    monkeypatch.setattr(up, "check_ring", lambda *_: None)
    monkeypatch.setattr(up, "owning", lambda _folder: nullcontext())
    monkeypatch.setattr(up, "running_node", reach)
    both = ("--rpc", "http://127.0.0.1:1", "--port", 1)
    assert "give one of the two" in terminal.refusal("up", "--ring", tmp_path, *both)
    for one in (both[:2], both[2:], ()):
        assert "reached the node" in terminal.refusal("up", "--ring", tmp_path, *one)
