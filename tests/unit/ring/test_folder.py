"""ring.toml and deployment.toml: what was written comes back; anything else is one line that says what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepring_chain.errors import ConfigError
from deepring_chain.ring.folder import (
    DEPLOYMENT_FILE,
    RING_FILE,
    Deployment,
    RingConfig,
    RingFolder,
    WorkerEntry,
    load_deployment,
)
from deepring_chain.types import Address, Digest

ADDRESSES = [
    Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"),
    Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
    Address("0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"),
]


def digest(number: int) -> Any:
    return Digest(bytes([number]) * 32)


WORKERS = tuple(WorkerEntry(f"worker-{layer}", layer, ADDRESSES[layer], digest(layer)) for layer in (1, 2))
CONFIG = RingConfig('a "model"\n', digest(200), ADDRESSES[0], digest(9), WORKERS)
DEPLOYMENT = Deployment("http://127.0.0.1:8545", 31337, ADDRESSES[0], 7, "ab" * 32, "file:///tmp/a b/ü")


@pytest.fixture
def folder(tmp_path: Path) -> RingFolder:
    found = RingFolder(tmp_path)
    found.save_config(CONFIG)
    found.save_deployment(DEPLOYMENT)
    return found


def config_data() -> dict[str, Any]:
    workers = [
        {"name": entry.name, "layer": entry.layer, "address": entry.address, "sealing_key": entry.sealing_key.hex()}
        for entry in WORKERS
    ]
    return {
        "format": 1,
        "model": {"name": "m", "root": digest(200).hex()},
        "ouroboros": {"address": ADDRESSES[0], "sealing_key": digest(9).hex()},
        "worker": workers,
    }


def deployment_data() -> dict[str, Any]:
    values = {name: getattr(DEPLOYMENT, name) for name in ("rpc_url", "chain_id", "ledger", "first_block")}
    return {
        "format": 1,
        **values,
        "block_hash": DEPLOYMENT.block_hash,
        "store_url": DEPLOYMENT.store_url,
        "is_own_devnet": False,
    }


def test_both_files_come_back(folder: RingFolder) -> None:
    assert folder.load_config() == CONFIG
    assert folder.load_deployment() == DEPLOYMENT
    assert load_deployment(folder.path / DEPLOYMENT_FILE) == DEPLOYMENT
    assert folder.is_initialized
    assert folder.is_deployed


def test_files_made_by_hand_are_read(folder: RingFolder) -> None:
    (folder.path / RING_FILE).write_text(tomli_w.dumps(config_data()))
    (folder.path / DEPLOYMENT_FILE).write_text(tomli_w.dumps(deployment_data()))
    assert folder.load_config() == replace(CONFIG, model_name="m")
    assert folder.load_deployment() == DEPLOYMENT


def test_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    folder = RingFolder(tmp_path / "none")
    assert not folder.is_initialized
    assert not folder.is_deployed
    with pytest.raises(ConfigError, match=r"none: no ring here; `deepring init .*none` makes one"):
        folder.load_config()
    with pytest.raises(ConfigError, match=r"none: no ring here; `deepring init .*none` makes one"):
        folder.load_deployment()
    folder.save_config(CONFIG)
    with pytest.raises(ConfigError, match=r"not deployed yet; `deepring up .*none` deploys"):
        folder.load_deployment()
    with pytest.raises(ConfigError, match=r"absent.toml: no such file; the ring's owner publishes it"):
        load_deployment(tmp_path / "absent.toml")


def test_unreadable_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / RING_FILE).mkdir()
    (tmp_path / DEPLOYMENT_FILE).mkdir()
    with pytest.raises(ConfigError, match=f"{RING_FILE}: cannot be read"):
        RingFolder(tmp_path).load_config()
    with pytest.raises(ConfigError, match=f"{DEPLOYMENT_FILE}: cannot be read"):
        RingFolder(tmp_path).load_deployment()


def broken(data: dict[str, Any], path: str, value: Any) -> str:
    """The data as TOML with one value replaced, or removed if `value` is None."""
    *parents, last = path.split(".")
    inner: Any = data
    for name in parents:
        inner = inner[int(name)] if name.isdigit() else inner[name]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return tomli_w.dumps(data)


LOWER = ADDRESSES[1].lower()
WRONG_CHECKSUM = ADDRESSES[1].swapcase().replace("0X", "0x")
NO_ADDRESS = ["", "0x", LOWER, WRONG_CHECKSUM, ADDRESSES[1][:-1], ADDRESSES[1] + "0", 5]
NO_DIGEST = ["", "00" * 31, "00" * 33, "zz" * 32, "0x" + "00" * 32, "AB" * 32, " ".join(["00"] * 32), 5]

BROKEN_CONFIG: list[tuple[str, Any]] = [
    *[("format", value) for value in (None, 0, 2, "1", 1.0, True)],
    *[(name, None) for name in ("model", "ouroboros", "worker", "model.name", "model.root", "ouroboros.address")],
    *[(name, 5) for name in ("model", "ouroboros", "worker", "model.name", "worker.0.name")],
    *[(f"worker.0.{name}", None) for name in ("name", "layer", "address", "sealing_key")],
    *[("ouroboros.address", value) for value in NO_ADDRESS],
    *[("worker.1.address", value) for value in NO_ADDRESS],
    *[("model.root", value) for value in NO_DIGEST],
    *[("ouroboros.sealing_key", value) for value in NO_DIGEST],
    *[("worker.1.sealing_key", value) for value in NO_DIGEST],
    *[("worker.0.layer", value) for value in (0, 2, 3, -1, "1", 1.0, True)],
    *[("worker.0.name", value) for value in ("../owner", "/etc", "a/b", "..", ".", "")],
    ("worker", []),
    ("worker", [5]),
    ("worker", "text"),
]


@pytest.mark.parametrize(("path", "value"), BROKEN_CONFIG)
def test_config_with_a_broken_value_is_refused(folder: RingFolder, path: str, value: Any) -> None:
    (folder.path / RING_FILE).write_text(broken(config_data(), path, value))
    with pytest.raises(ConfigError, match=rf"{RING_FILE}: damaged \(.*\); restore it from a backup$"):
        folder.load_config()


BROKEN_DEPLOYMENT: list[tuple[str, Any]] = [
    *[("format", value) for value in (None, 0, 2, "1", 1.0, True)],
    *[(name, None) for name in deployment_data()],
    *[(name, 5) for name in ("rpc_url", "ledger", "block_hash", "store_url")],
    *[(name, value) for name in ("chain_id", "first_block") for value in (-1, "5", 5.0, True)],
    *[("ledger", value) for value in NO_ADDRESS],
    *[("block_hash", value) for value in NO_DIGEST],
]


@pytest.mark.parametrize(("path", "value"), BROKEN_DEPLOYMENT)
def test_deployment_with_a_broken_value_is_refused(folder: RingFolder, path: str, value: Any) -> None:
    (folder.path / DEPLOYMENT_FILE).write_text(broken(deployment_data(), path, value))
    with pytest.raises(ConfigError, match=rf"{DEPLOYMENT_FILE}: damaged \(.*\); restore it from a backup$"):
        folder.load_deployment()


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_are_one_line(folder: RingFolder, data: bytes) -> None:
    for name, load in ((RING_FILE, folder.load_config), (DEPLOYMENT_FILE, folder.load_deployment)):
        (folder.path / name).write_bytes(data)
        with pytest.raises(ConfigError, match=re.escape(f"{name}: damaged")):
            load()


@given(st.integers(0, 10_000), st.integers(1, 127))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_byte_is_refused_or_another_config(folder: RingFolder, place: int, change: int) -> None:
    folder.save_config(CONFIG)
    path = folder.path / RING_FILE
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= change
    path.write_bytes(bytes(data))
    try:
        found = folder.load_config()
    except ConfigError:
        return
    assert isinstance(found, RingConfig)


def test_journal_belongs_to_one_ledger_on_one_chain() -> None:
    """A devnet starts afresh with the same chain id and the same addresses: old records must not be taken for new."""
    others = [
        replace(DEPLOYMENT, chain_id=1),
        replace(DEPLOYMENT, ledger=ADDRESSES[1]),
        replace(DEPLOYMENT, block_hash="cd" * 32),
    ]
    assert len({deployment.journal_name for deployment in [DEPLOYMENT, *others]}) == 4
    moved = replace(DEPLOYMENT, rpc_url="http://other", store_url="s3://other", first_block=7)
    assert moved.journal_name == DEPLOYMENT.journal_name
    assert re.fullmatch(r"journal-[0-9a-f]{16}\.sqlite", DEPLOYMENT.journal_name)


def test_places_in_the_folder(tmp_path: Path) -> None:
    folder = RingFolder(tmp_path)
    places = {folder.ouroboros, folder.querent, folder.logs, folder.worker(1), folder.worker(2)}
    assert len(places) == 5
    assert all(place.parent == tmp_path for place in places)
    assert folder.default_store == (tmp_path / "store").as_uri()
