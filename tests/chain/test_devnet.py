"""The development chain: it starts, it can be watched, and nothing of it stays behind. Runs the real programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepring_chain.chain import devnet as module
from deepring_chain.chain import node_command as commands
from deepring_chain.chain import node_kind
from deepring_chain.chain.devnet import Devnet
from deepring_chain.errors import ChainError
from tests.waiting import FOREVER, wait_until

FIRST_ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
KINDS = pytest.mark.parametrize("kind", ["anvil", pytest.param("ganache", marks=pytest.mark.ganache)])


def call(url: str, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.loads(answer.read())["result"]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Killed with its parent, the node stays a zombie until whoever inherits it reaps it.
    status = subprocess.run(
        ["/bin/ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return status.strip()[:1] not in {"", "Z"}


def one_line(error: pytest.ExceptionInfo[ChainError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def program(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)
    return path


@KINDS
def test_node_answers_on_the_pinned_chain_id_and_leaves_no_process(kind: Any) -> None:
    with Devnet(kind) as node:
        assert call(node.url, "eth_chainId") == hex(31337)
        assert node.chain_id == 31337
        assert node.is_alive()
        pid = node.process_id
        assert is_running(pid)
    assert not node.is_alive()
    assert not is_running(pid)


@KINDS
def test_dev_accounts_are_the_known_ones_and_unlocked(kind: Any) -> None:
    with Devnet(kind) as node:
        first, second, *_rest = node.dev_accounts()
        assert first == FIRST_ACCOUNT
        assert int(call(node.url, "eth_getBalance", first, "latest"), 16) == 10_000 * 10**18
        sent = call(node.url, "eth_sendTransaction", {"from": first, "to": second, "value": "0x1"})
        wait_until(lambda: call(node.url, "eth_getTransactionReceipt", sent) is not None)


def test_block_time_mines_without_transactions() -> None:
    with Devnet(block_time=1) as node:
        wait_until(lambda: int(call(node.url, "eth_blockNumber"), 16) >= 1)


def test_extra_flags_reach_the_node() -> None:
    with Devnet(extra=["--accounts", "3"]) as node:
        assert len(node.dev_accounts()) == 3


@KINDS
def test_another_chain_id_is_used(kind: Any) -> None:
    with Devnet(kind, chain_id=4242) as node:
        assert node.chain_id == 4242


def test_two_nodes_run_side_by_side() -> None:
    with Devnet() as first, Devnet() as second:
        assert first.url != second.url
        assert first.process_id != second.process_id


def test_given_port_is_used() -> None:
    with Devnet() as other:
        port = other.port
    with Devnet(port=port) as node:
        assert node.url == f"http://127.0.0.1:{port}"


@KINDS
def test_taken_port_is_refused(kind: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ChainError, match=f"port taken.*{port}") as error:
            Devnet(kind, port=port).start()
    one_line(error)


@pytest.mark.parametrize("port", [-1, 65536])
def test_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ChainError, match="is no port"):
        Devnet(port=port).start()


@pytest.mark.parametrize("given", [True, False])
def test_lost_port_race_is_retried_only_on_a_free_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    real = commands.node_command("anvil", 1, commands.CHAIN_ID)[0]
    lost = f'[ -e {tmp_path}/lost ] || {{ touch {tmp_path}/lost; echo "Error: Address already in use" >&2; exit 1; }}'
    monkeypatch.setenv("DEEPRING_ANVIL", str(program(tmp_path / "anvil", f'{lost}\nexec {real} "$@"')))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if given:
        with pytest.raises(ChainError, match="port taken"):
            Devnet(port=port).start()
    else:
        with Devnet() as node:
            assert node.is_alive()
    assert (tmp_path / "lost").exists()


def test_node_that_stops_at_once_shows_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPRING_ANVIL", str(program(tmp_path / "anvil", "echo no such flag >&2; exit 3")))
    with pytest.raises(ChainError, match=r"status 3.*no such flag") as error:
        Devnet().start()
    one_line(error)


def test_program_that_cannot_run_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anvil").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "anvil").chmod(0o755)
    monkeypatch.setenv("DEEPRING_ANVIL", str(tmp_path / "anvil"))
    with pytest.raises(ChainError, match="cannot run") as error:
        Devnet().start()
    one_line(error)


def test_node_that_never_answers_is_stopped_with_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"echo $$ > {tmp_path}/pid; echo still thinking; exec sleep infinity"
    monkeypatch.setenv("DEEPRING_ANVIL", str(program(tmp_path / "anvil", script)))
    node = Devnet(timeout=1)
    # Its time is over when it has said something, and not before.
    clock = SimpleNamespace(monotonic=lambda: FOREVER if node.last_output() else 0.0, sleep=time.sleep)
    monkeypatch.setattr(module, "time", clock)
    with pytest.raises(ChainError, match=r"did not answer.*still thinking") as error:
        node.start()
    one_line(error)
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_node_that_ignores_the_request_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GRACE_SECONDS", 0.2)
    with Devnet() as node:
        pid = node.process_id
        os.kill(pid, signal.SIGSTOP)  # a stopped process does not act on SIGTERM
    assert not is_running(pid)


def test_death_of_the_node_is_seen() -> None:
    with Devnet() as node:
        os.kill(node.process_id, signal.SIGKILL)
        wait_until(lambda: not node.is_alive())
        with pytest.raises(ChainError, match="does not answer"):
            node.dev_accounts()


def test_stop_twice_and_start_again() -> None:
    node = Devnet()
    node.start()
    with pytest.raises(ChainError, match="already runs"):
        node.start()
    node.stop()
    node.stop()
    with pytest.raises(ChainError, match="does not run"):
        node.dev_accounts()
    node.start()
    assert node.is_alive()
    node.stop()


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    with pytest.raises(ChainError, match="--nonsense"):
        Devnet(log=log, extra=["--nonsense"]).start()
    assert "--nonsense" in log.read_text()


def test_log_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="log") as error:
        Devnet(log=tmp_path / "absent" / "node.log").start()
    one_line(error)


def without_node_modules(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    monkeypatch.delenv("DEEPRING_ANVIL", raising=False)
    monkeypatch.setattr(node_kind, "_REPOSITORY", empty)
    monkeypatch.chdir(empty)


def test_absent_anvil_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_node_modules(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ChainError, match=r"npm ci.*Foundry") as error:
        Devnet().start()
    one_line(error)


def test_absent_node_and_absent_ganache_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_node_modules(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ChainError, match=r"node not found.*Node\.js"):
        Devnet("ganache").start()
    program(tmp_path / "node", "exit 0")
    with pytest.raises(ChainError, match=r"ganache not found.*npm ci"):
        Devnet("ganache").start()


def test_anvil_is_looked_for_in_the_variable_then_above_the_folder_then_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    for folder in (below, tmp_path / "node_modules" / ".bin", tmp_path / "path"):
        folder.mkdir(parents=True)
    without_node_modules(monkeypatch, below)
    on_path = program(tmp_path / "path" / "anvil", "exit 0")
    env = {"PATH": str(tmp_path / "path")}
    assert commands.node_command("anvil", 1, commands.CHAIN_ID, env=env)[0] == str(on_path)
    in_modules = program(tmp_path / "node_modules" / ".bin" / "anvil", "exit 0")
    assert commands.node_command("anvil", 1, commands.CHAIN_ID, env=env)[0] == str(in_modules)
    named = program(tmp_path / "mine", "exit 0")
    assert commands.node_command("anvil", 1, commands.CHAIN_ID, env={**env, "DEEPRING_ANVIL": str(named)})[0] == str(
        named
    )


def test_variable_that_names_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="DEEPRING_ANVIL"):
        commands.node_command("anvil", 1, commands.CHAIN_ID, env={"DEEPRING_ANVIL": str(tmp_path)})


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ChainError, match="choose anvil or ganache"):
        Devnet("geth").start()


PARENT = """
import signal, sys
from deepring_chain.chain.devnet import Devnet
with Devnet(sys.argv[1]) as node:
    print(node.process_id, flush=True)
    signal.pause()
"""


def start_parent(kind: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, kind], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@KINDS
def test_node_dies_with_a_killed_parent(kind: str) -> None:
    parent, pid = start_parent(kind)
    assert is_running(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(pid))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_node_is_stopped_in_order_by_a_signal_to_its_parent(number: signal.Signals, status: int) -> None:
    parent, pid = start_parent("anvil")
    parent.send_signal(number)
    assert parent.wait() == status
    assert not is_running(pid)


def test_sigterm_handling_is_restored() -> None:
    """From the default, which another devnet of the same tests may have replaced."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with Devnet():
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
