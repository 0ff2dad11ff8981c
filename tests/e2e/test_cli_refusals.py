"""Bad input to the `deepring` command: one line that says what and where, exit code 1, and nothing half done."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from eth_utils import to_checksum_address
from PIL import Image
from torch import nn

from deepring_chain.cli.up import StatusPrinter
from deepring_chain.errors import ConfigError, ModelError, StoreError
from deepring_chain.importing.quantise import quantise
from deepring_chain.model.checkpoint import save_model
from deepring_chain.ring.deploy import deploy_ring
from deepring_chain.ring.folder import RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.actor import load_actor
from deepring_chain.runtime.processes import ActorStatus
from tests.e2e.command import Terminal, refusal
from tests.e2e.live_ring import PASSWORD, LiveRing, no_step, random_images, tiny_model


@pytest.fixture
def ring(tiny_ring: LiveRing, tmp_path: Path) -> RingFolder:
    """A copy of a ring's folder, to be spoiled; the ring itself runs."""
    shutil.copytree(tiny_ring.folder.path, tmp_path / "ring", ignore=shutil.ignore_patterns("store", "logs"))
    return RingFolder(tmp_path / "ring")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "image.npy", random_images(1)[0])
    return tmp_path / "image.npy"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nothing listens, and nothing else will."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.fixture
def no_node() -> Iterator[str]:
    """A web server that is no node."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def change_deployment(ring: RingFolder, old: str, new: str) -> None:
    path = ring.path / "deployment.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def spoil(path: Path) -> None:
    path.write_bytes(b"\x93not what was here\n")


# ---------------------------------------------------------------------- init


def test_init_takes_no_folder_that_holds_something(terminal: Terminal, tmp_path: Path, ring: RingFolder) -> None:
    assert "holds a ring already" in terminal.refusal("init", "--ring", ring.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "is not an empty folder" in terminal.refusal("init", "--ring", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]
    assert "is not an empty folder" in terminal.refusal("init", "--ring", tmp_path / "full" / "file")
    assert "cannot be written" in terminal.refusal("init", "--ring", tmp_path / "full" / "file" / "ring")


def test_init_takes_no_missing_or_damaged_model(terminal: Terminal, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    assert "model.safetensors" in terminal.refusal("init", "--ring", tmp_path / "ring", "--model", model)
    save_model(model, tiny_model())
    whole = model.read_bytes()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], b"\0" * 100, whole[:200] + b"\xff" + whole[201:]):
        model.write_bytes(damaged)
        assert "model.safetensors" in terminal.refusal("init", "--ring", tmp_path / "ring", "--model", model)
    assert not (tmp_path / "ring").exists()


def test_init_without_a_usable_password_makes_nothing(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPRING_PASSWORD", "")
    assert "the password is empty" in terminal.refusal("init", "--ring", tmp_path / "ring")
    monkeypatch.delenv("DEEPRING_PASSWORD")
    assert "no password: set DEEPRING_PASSWORD" in terminal.refusal("init", "--ring", tmp_path / "ring")
    monkeypatch.setenv("DEEPRING_PASSWORD_FILE", str(tmp_path / "absent"))
    assert "absent: the password file" in terminal.refusal("init", "--ring", tmp_path / "ring")
    assert not (tmp_path / "ring").exists()


def test_module_that_cannot_be_exact_is_refused_by_name() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.GELU(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match="GELU") as refused:
        quantise(network, torch.rand(8, 4, 4), name="gelu")
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------------- up


def test_up_without_a_ring_says_how_to_make_one(terminal: Terminal, tmp_path: Path) -> None:
    assert "no ring here; `deepring init" in terminal.refusal("up", "--ring", tmp_path / "ring")
    assert not (tmp_path / "ring").exists()


def test_up_takes_no_address_without_a_node(terminal: Terminal, ring: RingFolder, nowhere: str, no_node: str) -> None:
    assert f"{nowhere}: no node answers" in terminal.refusal("up", "--ring", ring.path, "--rpc", nowhere)
    assert no_node in terminal.refusal("up", "--ring", ring.path, "--rpc", no_node)
    assert "not an http:// or https:// address" in terminal.refusal("up", "--ring", ring.path, "--rpc", "ftp://x")
    both = terminal.refusal("up", "--ring", ring.path, "--rpc", nowhere, "--port", "9000")
    assert "give one of the two" in both


def test_up_takes_no_port_that_is_taken(terminal: Terminal, ring: RingFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port taken: something else listens on 127.0.0.1:{port}" in terminal.refusal(
            "up", "--ring", ring.path, "--port", port
        )


def test_up_takes_no_wrong_password(
    terminal: Terminal, ring: RingFolder, monkeypatch: pytest.MonkeyPatch, tiny_ring: LiveRing
) -> None:
    monkeypatch.setenv("DEEPRING_PASSWORD", "wrong")
    for node in ([], ["--rpc", tiny_ring.devnet.url]):
        assert "/account.json: wrong password" in terminal.refusal("up", "--ring", ring.path, *node)


@pytest.mark.parametrize(
    "file",
    [
        "ring.toml",
        "deployment.toml",
        "ouroboros/account.json",
        "ouroboros/model.safetensors",
        "querent/account.json",
        "worker-2/account.json",
    ],
)
def test_up_names_a_damaged_file(terminal: Terminal, ring: RingFolder, file: str) -> None:
    spoil(ring.path / file)
    assert file in terminal.refusal("up", "--ring", ring.path)


def test_up_names_a_missing_file(terminal: Terminal, ring: RingFolder) -> None:
    (ring.path / "ouroboros" / "sealing.pem").unlink()
    assert "ouroboros/sealing.pem: no such key file" in terminal.refusal("up", "--ring", ring.path)


def test_up_takes_no_unusable_store(terminal: Terminal, ring: RingFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = (ring.path / "deployment.toml").read_bytes()
    for store in ((tmp_path / "file" / "store").as_uri(), "nosuch://x", "file:///proc/store"):
        assert "store" in terminal.refusal("up", "--ring", ring.path, "--store", store)
    assert (ring.path / "deployment.toml").read_bytes() == before


@pytest.mark.parametrize("device", ["abacus", "meta", "cuda:99"])
def test_actor_is_refused_on_a_device_that_is_not_there(tiny_ring: LiveRing, ring: RingFolder, device: str) -> None:
    with pytest.raises(ConfigError, match=rf"^device {device}: .*; say --device cpu"):
        load_actor(ring.worker(1), tiny_ring.deployment, PASSWORD, ActorOptions(device=device))


def test_up_checks_device_password_and_store_before_it_starts_a_node_and_says_so_once(
    terminal: Terminal, ring: RingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was started, or a ledger that was paid for, is of no use to a ring that cannot run."""
    started, node = tmp_path / "started", tmp_path / "anvil"
    node.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    node.chmod(0o755)
    monkeypatch.setenv("DEEPRING_ANVIL", str(node))
    (tmp_path / "file").touch()
    cases = [(["--device", "abacus"], "device abacus"), (["--store", str(tmp_path / "file" / "store")], "the store")]
    for options, message in cases:
        code, output, errors = terminal.run("up", "--ring", ring.path, *options)
        assert (code, output, len(errors.splitlines())) == (1, "", 1)
        assert message in errors
    monkeypatch.setenv("DEEPRING_PASSWORD", "wrong")
    assert "ouroboros/account.json: wrong password" in terminal.refusal("up", "--ring", ring.path)
    assert not started.exists()


def test_deployment_with_an_unusable_store_spends_no_gas(ring: RingFolder, tmp_path: Path, tiny_ring: LiveRing) -> None:
    (tmp_path / "file").touch()
    ouroboros = to_checksum_address(ring.load_config().ouroboros)
    before = tiny_ring.client().web3.eth.get_balance(ouroboros)
    with pytest.raises(StoreError, match="store"):
        deploy_ring(ring, tiny_ring.devnet.url, PASSWORD, str(tmp_path / "file" / "store"), no_step)
    assert tiny_ring.client().web3.eth.get_balance(ouroboros) == before


def test_trouble_that_several_actors_have_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell = StatusPrinter()
    for name in ("worker-1", "worker-2", "worker-3"):
        tell(name, ActorStatus("failed", 7, "the store is away"))
    tell("worker-1", ActorStatus("failed", 7, "another thing"))
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "the store is away (process 7)",
        "another thing (process 7)",
    ]


def test_up_without_its_programs_says_what_to_install(
    terminal: Terminal, ring: RingFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPRING_ANVIL", str(tmp_path / "anvil"))
    assert "is no program" in terminal.refusal("up", "--ring", ring.path)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = terminal.refusal("up", "--ring", ring.path, "--chain", "ganache")
    assert "node not found on PATH" in refused


def test_up_in_a_process_of_its_own_ends_with_one_line_too(ring: RingFolder, nowhere: str) -> None:
    assert "no node answers" in refusal("up", "--ring", ring.path, "--rpc", nowhere)


# ---------------------------------------------------------------------- query, answer, trail


ON_A_RING = (
    "query x.npy, answer 1, trail, audit, export x, report 1, withdraw 1, status, doctor, arrange, fund, explorer, "
    "tamper worker-1, kill worker-1"
)


@pytest.mark.parametrize("command", ON_A_RING.split(", "))
def test_command_on_a_ring_that_is_not_there_says_how_to_make_one(
    terminal: Terminal, tmp_path: Path, command: str
) -> None:
    refused = terminal.refusal(*command.split(), "--ring", tmp_path / "ring")
    assert f"no ring here; `deepring init --ring {tmp_path / 'ring'}` makes one" in refused


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "query": lambda image: ["query", image],
    "answer": lambda _: ["answer", 1],
    "trail": lambda _: ["trail"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_clients_name_what_is_wrong_with_the_deployment(
    terminal: Terminal, ring: RingFolder, image: Path, command: str, nowhere: str, tiny_ring: LiveRing
) -> None:
    arguments = [*COMMANDS[command](image), "--ring", ring.path]
    original = (ring.path / "deployment.toml").read_bytes()
    for old, new, message in (
        (tiny_ring.devnet.url, nowhere, "no node answers"),
        ("chain_id = 31337", "chain_id = 1", "the node is on chain 31337, the ring on chain 1"),
        (tiny_ring.deployment.ledger, "0x" + "11" * 20, "no contract at 0x1111"),
        ("format = 1", "format = 99", "deployment.toml: damaged"),
        ("first_block", "worst_block", "deployment.toml: damaged"),
    ):
        change_deployment(ring, old, new)
        assert message in terminal.refusal(*arguments)
        (ring.path / "deployment.toml").write_bytes(original)
    (ring.path / "deployment.toml").unlink()
    assert "not deployed yet" in terminal.refusal(*arguments)


def test_query_names_what_is_wrong_with_an_image(
    terminal: Terminal, ring: RingFolder, image: Path, tmp_path: Path, tiny_ring: LiveRing
) -> None:
    before = len(tiny_ring.state().sessions)
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:-20])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "image.gif").write_bytes(b"GIF89a")
    np.save(tmp_path / "shape.npy", np.zeros((2, 5, 5), np.uint8))
    np.save(tmp_path / "float.npy", np.zeros((4, 4), np.float32))
    np.save(tmp_path / "none.npy", np.zeros((0, 4, 4), np.uint8))
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes(image.read_bytes()[:-3])
    (tmp_path / "folder.png").mkdir()
    bad = [
        "absent.png",
        "large.png",
        "cut.png",
        "text.png",
        "image.gif",
        "shape.npy",
        "float.npy",
        "none.npy",
        "text.npy",
    ]
    for name in [*bad, "objects.npy", "cut.npy", "folder.png"]:
        refused = terminal.refusal("query", image, tmp_path / name, "--ring", ring.path)
        assert f"{tmp_path / name}: " in refused
        assert "allow_pickle" not in refused  # numpy's advice, which would run what the file says
    assert len(tiny_ring.state().sessions) == before


def test_query_takes_no_wrong_password_or_key(
    terminal: Terminal, ring: RingFolder, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["query", image, "--ring", ring.path]
    with monkeypatch.context() as wrong:
        wrong.setenv("DEEPRING_PASSWORD", "wrong")
        assert "querent/account.json: wrong password" in terminal.refusal(*arguments)
    spoil(ring.querent / "sealing.pem")
    assert "querent/sealing.pem: not an encrypted PEM key" in terminal.refusal(*arguments)
    (ring.querent / "account.json").unlink()
    assert "querent/account.json: no such key file" in terminal.refusal(*arguments)


def test_unknown_query_is_one_line(terminal: Terminal, ring: RingFolder) -> None:
    assert "query 999: the ledger has no such query" in terminal.refusal("answer", 999, "--ring", ring.path)
    assert "has no such query" in terminal.refusal("trail", 999, "--ring", ring.path)


def test_query_that_is_not_answered_in_time_is_answered_later(
    terminal: Terminal, ring: RingFolder, image: Path, tiny_ring: LiveRing
) -> None:
    tiny_ring.kill("worker-3")
    refused = terminal.refusal("query", image, "--ring", ring.path, "--timeout", "0.3")
    query = refused.partition("query ")[2].partition(":")[0]
    assert f"it stays on the ledger: `deepring answer {query}`" in refused
    tiny_ring.start("worker-3")
    assert f"query {query}: the answer matches" in terminal.said("answer", query, "--ring", ring.path)


# ---------------------------------------------------------------------- the others


def test_run_takes_no_folder_that_is_no_actor(terminal: Terminal, ring: RingFolder, tmp_path: Path) -> None:
    published = ring.path / "deployment.toml"
    assert "no such key file" in terminal.refusal("run", tmp_path, "--deployment", published)
    assert "neither params.safetensors" in terminal.refusal("run", ring.querent, "--deployment", published)
    absent = terminal.refusal("run", ring.worker(1), "--deployment", tmp_path / "absent.toml")
    assert "absent.toml: no such file; the ring's owner publishes it" in absent


def test_training_commands_name_what_is_missing(terminal: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert str(tmp_path) in terminal.refusal("train", "mnist-dense", "--data", tmp_path, "--out", out)
    assert "nosuch" in terminal.refusal("train", "nosuch", "--data", tmp_path, "--out", out)
    absent = tmp_path / "absent.safetensors"
    assert "absent.safetensors" in terminal.refusal("quantise", absent, "--data", tmp_path, "--out", out)
    assert list(tmp_path.iterdir()) == []


def test_demo_takes_no_folder_that_cannot_be_written(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = terminal.refusal("demo", "--images", 2, "--out", tmp_path / "file" / "out")
    assert "cannot be written" in refused


def test_audit_of_a_store_that_is_not_there_is_one_error(
    tiny_ring: LiveRing, tmp_path: Path, terminal: Terminal
) -> None:
    named = f"file://{tmp_path / 'typed-wrong'}"
    told = terminal.refusal("audit", "--ring", tiny_ring.folder.path, "--store", named)
    assert told == f"error: there is no store at {named}; bring it back, or name the right place"
    assert not (tmp_path / "typed-wrong").exists()
