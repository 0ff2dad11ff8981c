"""A ring on disk: what `deepring init` writes and every actor reads. docs/formats.md shows the layout."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from eth_utils import is_checksum_address

from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.types import Address, Digest, ModelRoot, SealingKey

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Parsed = TypeVar("Parsed")

RING_FILE = "ring.toml"
DEPLOYMENT_FILE = "deployment.toml"
OUROBOROS = "ouroboros"
QUERENT = "querent"
MODEL_FILE = "model.safetensors"
PARAMS_FILE = "params.safetensors"
MANIFEST_FILE = "manifest.cbor"
FORMAT = 1


@dataclass(frozen=True)
class WorkerEntry:
    """A worker as the model's owner knows it: folder name, layer, account and long-term X25519 key."""

    name: str
    layer: int
    address: Address
    sealing_key: SealingKey


@dataclass(frozen=True)
class RingConfig:
    """The owner's list of the ring's members.

    Attributes:
        model_name: from the card.
        model_root: root of the model's manifest.
        ouroboros: account of the model's owner, and its X25519 key.
        workers: in the layers' order, for each layer first its worker and then its standbys.
    """

    model_name: str
    model_root: ModelRoot
    ouroboros: Address
    ouroboros_key: SealingKey
    workers: tuple[WorkerEntry, ...]


@dataclass(frozen=True)
class Deployment:
    """Where a ring runs.

    Attributes:
        rpc_url: the node.
        chain_id: its chain.
        ledger: the contract.
        first_block: the block that the ledger was deployed in.
        block_hash: that block's hash: tells a chain from another one with the same ids, such as a fresh devnet.
        store_url: the ciphertext store.
        is_own_devnet: whether the node is one that `deepring up` started, whose chain ends with it.
    """

    rpc_url: str
    chain_id: int
    ledger: Address
    first_block: int
    block_hash: str
    store_url: str
    is_own_devnet: bool = False

    @property
    def journal_name(self) -> str:
        """File name of an actor's journal for this very ledger."""
        return journal_name(self.chain_id, self.ledger, self.block_hash)


def journal_name(chain_id: int, ledger: Address, block_hash: str) -> str:
    """File name of an actor's journal for the ledger at this place."""
    identity = f"{chain_id}/{ledger}/{block_hash}"
    return f"journal-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.sqlite"


@dataclass(frozen=True)
class RingFolder:
    """Paths within one ring's folder, and its two configuration files."""

    path: Path

    @property
    def ouroboros(self) -> Path:
        """Folder of the model's owner."""
        return self.path / OUROBOROS

    @property
    def querent(self) -> Path:
        """Folder of the querent."""
        return self.path / QUERENT

    @property
    def logs(self) -> Path:
        """Where the actors write their logs."""
        return self.path / "logs"

    def log_file(self, name: str) -> Path:
        """Path of one log, in a folder that is there.

        Raises:
            ConfigError: the folder cannot be made.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.logs}: cannot be made ({error.strerror}); choose a writable place") from None
        return self.logs / f"{name}.log"

    @property
    def default_store(self) -> str:
        """URL of the store that lies in this folder."""
        return (self.path / "store").absolute().as_uri()

    @property
    def is_initialized(self) -> bool:
        """Whether there is a ring."""
        return (self.path / RING_FILE).exists()

    @property
    def is_deployed(self) -> bool:
        """Whether the ring was ever deployed."""
        return (self.path / DEPLOYMENT_FILE).exists()

    def worker(self, layer: int, standby: int = 0) -> Path:
        """Folder of the worker of one layer, or of one of its standbys, counted from 1."""
        return self.path / (f"worker-{layer}-standby-{standby}" if standby else f"worker-{layer}")

    def save_config(self, config: RingConfig) -> None:
        """Writes ring.toml."""
        workers = [
            {"name": entry.name, "layer": entry.layer, "address": entry.address, "sealing_key": entry.sealing_key.hex()}
            for entry in config.workers
        ]
        ring = {
            "format": FORMAT,
            "model": {"name": config.model_name, "root": config.model_root.hex()},
            "ouroboros": {"address": config.ouroboros, "sealing_key": config.ouroboros_key.hex()},
            "worker": workers,
        }
        write_atomic(self.path / RING_FILE, tomli_w.dumps(ring).encode())

    def load_config(self) -> RingConfig:
        """Reads ring.toml.

        Raises:
            ConfigError: no ring here, or a damaged file.
        """
        missing = f"{self.path}: no ring here; `deepring init --ring {self.path}` makes one"
        return _read_toml(self.path / RING_FILE, missing, _parse_config)

    def save_deployment(self, deployment: Deployment) -> None:
        """Writes deployment.toml."""
        write_atomic(self.path / DEPLOYMENT_FILE, tomli_w.dumps({"format": FORMAT, **asdict(deployment)}).encode())

    def load_deployment(self) -> Deployment:
        """Reads deployment.toml.

        Raises:
            ConfigError: no ring here, or it was never deployed, or a damaged file.
        """
        path = self.path / DEPLOYMENT_FILE
        if not self.is_initialized and not path.exists():
            self.load_config()  # says what is missing
        return _read_toml(
            path, f"{path}: not deployed yet; `deepring up --ring {self.path}` deploys the ring", _parse_deployment
        )


def load_deployment(path: Path) -> Deployment:
    """Reads a deployment file.

    Raises:
        ConfigError: absent or damaged.
    """
    missing = f"{path}: no such file; the ring's owner publishes it, and has it as RING/{DEPLOYMENT_FILE}"
    return _read_toml(path, missing, _parse_deployment)


def _read_toml(path: Path, missing: str, parse: Callable[[dict[str, Any]], Parsed]) -> Parsed:
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(missing) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ConfigError(f"{path}: damaged ({reason}); restore it from a backup") from None


def _parse_config(data: dict[str, Any]) -> RingConfig:
    _check_format(data)
    workers = tuple(_parse_worker(entry) for entry in data["worker"])
    layers = [entry.layer for entry in workers]
    if not workers or sorted(layers) != layers or set(layers) != set(range(1, layers[-1] + 1)):
        raise ValueError("the workers' layers are not 1, 2, ...")
    owner, model = data["ouroboros"], data["model"]
    keys = _address(owner["address"]), SealingKey(_digest(owner["sealing_key"]))
    return RingConfig(_typed(model["name"], str), ModelRoot(_digest(model["root"])), *keys, workers)


def _parse_worker(entry: dict[str, Any]) -> WorkerEntry:
    name, layer = _typed(entry["name"], str), _typed(entry["layer"], int)
    if name in ("", "..") or name != Path(name).name:
        raise ValueError(f"worker {name!r} is no plain folder name")
    return WorkerEntry(name, layer, _address(entry["address"]), SealingKey(_digest(entry["sealing_key"])))


def _parse_deployment(data: dict[str, Any]) -> Deployment:
    _check_format(data)
    chain_id, first_block = _typed(data["chain_id"], int), _typed(data["first_block"], int)
    if min(chain_id, first_block) < 0:
        raise ValueError("a negative chain id or block number")
    return Deployment(
        rpc_url=_typed(data["rpc_url"], str),
        chain_id=chain_id,
        ledger=_address(data["ledger"]),
        first_block=first_block,
        block_hash=_digest(data["block_hash"]).hex(),
        store_url=_typed(data["store_url"], str),
        is_own_devnet=_typed(data["is_own_devnet"], bool),
    )


def _check_format(data: dict[str, Any]) -> None:
    if _typed(data["format"], int) != FORMAT:
        raise ValueError(f"format {data['format']}, this program reads {FORMAT}")


def _typed(value: object, kind: type[Parsed]) -> Parsed:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def _address(text: object) -> Address:
    if not is_checksum_address(text):
        raise ValueError("an address that is not 20 bytes with the checksum of EIP-55")
    return Address(str(text))


def _digest(text: str) -> Digest:
    raw = bytes.fromhex(text)
    if len(raw) != 32 or raw.hex() != text:
        raise ValueError("a digest that is not 32 bytes in lower-case hexadecimal")
    return Digest(raw)
