"""What a ring refuses: queries it cannot serve, on the ledger, and actors that cannot serve it, at their start."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deepring_chain.actors.querent import QueryFailed
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import ConfigError, DeepRingError
from deepring_chain.model.checkpoint import load_layers
from deepring_chain.protocol.envelope import query_context, seal_content, seal_output
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.runtime.actor import load_actor
from deepring_chain.runtime.processes import RingProcesses
from deepring_chain.types import Digest, Pointer, QueryId, TensorBytes
from tests.e2e.live_ring import PASSWORD, LiveRing, await_ended, no_step, random_images, tiny_model, wait_for


class Forger:
    """A querent that posts what the querent's program would never make."""

    def __init__(self, ring: LiveRing) -> None:
        self.ring = ring
        self.keys = load_keys(ring.folder.querent, PASSWORD)
        self.client = LedgerClient.open(ring.deployment.rpc_url, ring.deployment.ledger, self.keys.account)
        self.recipient = ring.state().sealing_keys[self.client.ouroboros]
        self.place = query_context(self.client.domain, self.keys.address, self.keys.sealing_public)

    def post(self, digest: Digest) -> QueryId:
        query, _ = self.client.submit_query(Pointer(digest), self.keys.sealing_public)
        return query

    def tensor(self, dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
        return seal_output(self.recipient, TensorBytes(dtype, shape, data), self.place)


BLOBS: dict[str, tuple[str, Callable[[Forger], bytes]]] = {
    "garbage": ("MALFORMED", lambda _: b"garbage"),
    "nothing": ("MALFORMED", lambda _: b""),
    "garbage, sealed": ("MALFORMED", lambda f: seal_content(f.recipient, b"garbage", f.place)),
    "cut short": ("MALFORMED", lambda f: f.tensor("int8", (1, 4, 4), bytes(16))[:-3]),
    "sealed to another": ("UNDECRYPTABLE", lambda f: seal_content(f.keys.sealing_public, b"x", f.place)),
    "sealed for another place": ("UNDECRYPTABLE", lambda f: seal_content(f.recipient, b"x", b"elsewhere")),
    "other item shape": ("WRONG_SHAPE", lambda f: f.tensor("int8", (1, 4, 5), bytes(20))),
    "no batch": ("WRONG_SHAPE", lambda f: f.tensor("int8", (4, 4), bytes(16))),
    "empty batch": ("MALFORMED", lambda f: f.tensor("int8", (0, 4, 4), b"")),
    "other type": ("WRONG_SHAPE", lambda f: f.tensor("int32", (1, 4, 4), bytes(64))),
}


@pytest.mark.parametrize("kind", BLOBS)
def test_query_that_cannot_be_served_is_rejected_on_the_ledger_and_the_ring_goes_on(
    tiny_ring: LiveRing, kind: str
) -> None:
    reason, make = BLOBS[kind]
    forger = Forger(tiny_ring)
    _assert_rejected(tiny_ring, forger.post(tiny_ring.store().put(make(forger))), reason)


def test_query_whose_blob_is_missing_is_rejected(tiny_ring: LiveRing) -> None:
    _assert_rejected(tiny_ring, Forger(tiny_ring).post(Digest(secrets.token_bytes(32))), "BLOB_UNAVAILABLE")


def test_query_whose_blob_is_damaged_is_rejected(tiny_ring: LiveRing) -> None:
    digest = tiny_ring.store().put(secrets.token_bytes(100))
    path = tiny_ring.folder.path / "store" / digest.hex()[:2] / digest.hex()
    path.write_bytes(bytes(100))
    _assert_rejected(tiny_ring, Forger(tiny_ring).post(digest), "BLOB_UNAVAILABLE")
    path.unlink()


def test_input_of_another_querent_is_rejected(tiny_ring: LiveRing, tmp_path: Path) -> None:
    """Posting somebody's sealed input anew, to have the answer sealed to oneself."""
    victim, thief = tiny_ring.querent(), Forger(tiny_ring)
    tiny_ring.new_querent(tmp_path / "thief")
    keys = load_keys(tmp_path / "thief", PASSWORD)
    stolen = tiny_ring.session(victim.submit(random_images(1))).sealed_input
    client = LedgerClient.open(tiny_ring.deployment.rpc_url, tiny_ring.deployment.ledger, keys.account)
    query, _ = client.submit_query(stolen, keys.sealing_public)
    with pytest.raises(QueryFailed, match="UNDECRYPTABLE"):
        wait_for(tiny_ring.querent(tmp_path / "thief"), query)
    assert thief.keys.address != keys.address


def _assert_rejected(ring: LiveRing, query: QueryId, reason: str) -> None:
    with pytest.raises(QueryFailed) as refused:
        wait_for(ring.querent(), query)
    assert str(refused.value) == f"query {query}: rejected by the ouroboros ({reason})"
    images = random_images(1)
    assert ring.ask(images).output == ring.plain_output(images)


# ---------------------------------------------------------------------- actors at their start


@pytest.fixture
def copied(tiny_ring: LiveRing, tmp_path: Path) -> RingFolder:
    """The ring's files, to be spoiled."""
    kept_out = shutil.ignore_patterns("store", "logs", "journal-*")
    shutil.copytree(tiny_ring.folder.path, tmp_path / "ring", ignore=kept_out)
    return RingFolder(tmp_path / "ring")


def refusal(ring: LiveRing, folder: Path, password: str = PASSWORD, **deployed: str | int) -> str:
    """The one line that an actor's start fails with."""
    deployment: Deployment = replace(ring.deployment, **deployed)  # type: ignore[arg-type]
    with pytest.raises(DeepRingError) as refused:
        load_actor(folder, deployment, password, ring.options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def spoil(path: Path) -> None:
    path.write_bytes(b"\x93not what was here\n")


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("name", ["worker-1", "ouroboros"])
@pytest.mark.parametrize("break_file", [spoil, cut, Path.unlink])
@pytest.mark.parametrize("key_file", ["account.json", "sealing.pem"])
def test_actor_with_a_missing_or_damaged_key_is_refused(
    tiny_ring: LiveRing, copied: RingFolder, name: str, break_file: Callable[[Path], None], key_file: str
) -> None:
    folder = copied.path / name
    break_file(folder / key_file)
    message = refusal(tiny_ring, folder)
    assert str(folder / key_file) in message
    assert ("no such key file" if break_file is Path.unlink else "restore it from a backup") in message


@pytest.mark.parametrize("name", ["worker-1", "ouroboros"])
def test_actor_with_the_wrong_password_is_refused(tiny_ring: LiveRing, copied: RingFolder, name: str) -> None:
    assert "account.json: wrong password" in refusal(tiny_ring, copied.path / name, password="wrong")


@pytest.mark.parametrize("break_file", [spoil, cut])
@pytest.mark.parametrize(
    "file",
    ["worker-1/manifest.cbor", "ouroboros/model.safetensors", "ring.toml"],
)
def test_actor_with_damaged_files_is_refused(
    tiny_ring: LiveRing, copied: RingFolder, file: str, break_file: Callable[[Path], None]
) -> None:
    break_file(copied.path / file)
    name = file.split("/", maxsplit=1)[0] if "/" in file else "ouroboros"
    assert file.rsplit("/", maxsplit=1)[-1] in refusal(tiny_ring, copied.path / name)


@pytest.mark.parametrize("break_file", [spoil, cut])
def test_worker_with_a_damaged_parameter_file_is_restored_by_the_ring(
    tiny_ring: LiveRing, break_file: Callable[[Path], None]
) -> None:
    path = tiny_ring.folder.worker(2) / "params.safetensors"
    whole = load_layers(path)
    tiny_ring.kill("worker-2")
    break_file(path)
    tiny_ring.start("worker-2")
    images = random_images(2)
    assert tiny_ring.ask(images).output == tiny_ring.plain_output(images)
    assert [layer.content() for layer in load_layers(path)] == [layer.content() for layer in whole]


def test_actor_without_parameters_is_refused(tiny_ring: LiveRing, copied: RingFolder) -> None:
    (copied.path / "worker-1" / "params.safetensors").unlink()
    assert "neither params.safetensors" in refusal(tiny_ring, copied.path / "worker-1")
    (copied.path / "worker-2" / "manifest.cbor").unlink()
    assert "manifest.cbor: cannot be read" in refusal(tiny_ring, copied.path / "worker-2")


def test_actor_of_another_model_is_refused(tiny_ring: LiveRing, copied: RingFolder, tmp_path: Path) -> None:
    init_ring(tmp_path / "other", tiny_model(seed=2), PASSWORD, no_step)
    for file in ("worker-1/params.safetensors", "worker-1/manifest.cbor", "ouroboros/model.safetensors"):
        shutil.copy(tmp_path / "other" / file, copied.path / file)
    assert "the ledger has" in refusal(tiny_ring, copied.path / "worker-1")
    assert "not the model that the ring was made for" in refusal(tiny_ring, copied.path / "ouroboros")


def test_actor_is_refused_by_the_wrong_node_or_store(tiny_ring: LiveRing, copied: RingFolder, tmp_path: Path) -> None:
    folder = copied.path / "worker-1"
    (tmp_path / "file").touch()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert "no node answers" in refusal(tiny_ring, folder, rpc_url=nowhere)
    assert "on chain 31337, the ring on chain 5" in refusal(tiny_ring, folder, chain_id=5)
    assert "no contract at" in refusal(tiny_ring, folder, ledger="0x" + "11" * 20)
    assert "cannot write to the store" in refusal(tiny_ring, folder, store_url=(tmp_path / "file" / "s").as_uri())


def test_ring_with_one_unusable_actor_does_not_start_and_says_which(tiny_ring: LiveRing, copied: RingFolder) -> None:
    spoil(copied.path / "worker-2" / "account.json")
    processes = RingProcesses(copied, tiny_ring.deployment, PASSWORD, tiny_ring.options)
    with pytest.raises(ConfigError, match=r"^worker-2: .*account\.json: not an Ethereum keystore"):
        processes.start()
    assert not processes.is_alive()
    await_ended({status.pid for status in processes.statuses.values() if status.pid is not None})
