"""Attacks act on devnets alone: on any other chain each command refuses before it touches anything."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from deepring_chain.cli import lab, up
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import save_layers
from deepring_chain.ring.folder import PARAMS_FILE, Deployment, RingFolder
from deepring_chain.runtime.processes import HONEST_HOST
from deepring_chain.types import Address
from tests.e2e.command import Terminal
from tests.e2e.live_ring import tiny_model

OTHERS = (1, 1338)
DEVNETS = (1337, 31337)
ATTACKS = (
    ("tamper", "worker-1"),
    ("tamper", "worker-1", "--where", "file"),
    ("tamper", "worker-1", "--noise", "40"),
    ("tamper", "worker-1", "--noise", "40", "--where", "file"),
    ("perturb", "worker-1"),
    ("kill", "worker-1"),
)


def deployment(chain: int) -> Deployment:
    return Deployment("http://127.0.0.1:1", chain, Address("0x" + "11" * 20), 1, "00" * 32, "file:///nowhere")


def make_ring(path: Path, chain: int) -> Path:
    """A ring with one worker, whose process is a number that nobody has."""
    model = tiny_model(2)
    save_layers(path / "worker-1" / PARAMS_FILE, (model.layer(1), model.layer(2)))
    (path / "logs").mkdir()
    (path / "logs" / "worker-1.pid").write_text(str(2**30))
    RingFolder(path).save_deployment(deployment(chain))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whom `kill` would have ended."""
    found: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: found.append(pid))
    return found


@pytest.mark.parametrize("chain", OTHERS)
@pytest.mark.parametrize("attack", ATTACKS, ids=" ".join)
def test_attack_on_another_chain_is_refused_and_touches_nothing(
    tmp_path: Path, terminal: Terminal, killed: list[int], attack: tuple[str, ...], chain: int
) -> None:
    ring = make_ring(tmp_path / "ring", chain)
    before = contents(ring)
    told = terminal.refusal(*attack, "--ring", ring)
    assert f"runs on chain {chain}; attacks are for devnets ([1337, 31337]) only" in told
    assert contents(ring) == before
    assert killed == []


@pytest.mark.parametrize("chain", DEVNETS)
def test_attacks_on_a_devnet_go_through(
    tmp_path: Path, terminal: Terminal, killed: list[int], monkeypatch: pytest.MonkeyPatch, chain: int
) -> None:
    ring = make_ring(tmp_path / "ring", chain)
    orders: list[Path] = []
    monkeypatch.setattr(lab, "_order", lambda folder, _give: orders.append(folder))
    for attack in ATTACKS:
        terminal.said(*attack, "--ring", ring)
    assert orders == [ring / "worker-1"] * 3
    assert killed == [2**30]


@pytest.mark.parametrize("chain", OTHERS)
def test_lab_on_another_chain_is_refused(chain: int) -> None:
    with pytest.raises(ConfigError, match=rf"--lab: for devnets only \(\[1337, 31337\]\), this is chain {chain}"):
        up.choose_host(chain, lab=True)


def test_workers_take_orders_with_lab_on_a_devnet_alone() -> None:
    assert {up.choose_host(chain, lab=True) for chain in DEVNETS} == {"deepring_chain.attacks"}
    assert {up.choose_host(chain, lab=False) for chain in (*DEVNETS, *OTHERS)} == {HONEST_HOST}


def test_up_with_lab_on_another_chain_pays_for_no_ledger_and_starts_no_process(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(*_arguments: Any, **_options: Any) -> NoReturn:
        raise AssertionError("a ledger was deployed, or a process started")

    monkeypatch.setattr(RingFolder, "load_config", lambda _folder: None)
    monkeypatch.setattr(up, "check_ring", lambda *_: None)
    monkeypatch.setattr(up, "owning", lambda _folder: nullcontext())
    monkeypatch.setattr(up, "connect", lambda _url: SimpleNamespace(eth=SimpleNamespace(chain_id=5)))
    monkeypatch.setattr(up, "find_or_deploy", go_on)
    monkeypatch.setattr(up, "RingProcesses", go_on)
    told = terminal.refusal("up", "--lab", "--rpc", "http://127.0.0.1:1", "--ring", tmp_path)
    assert "--lab: for devnets only" in told
