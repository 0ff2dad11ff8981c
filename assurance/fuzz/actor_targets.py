"""An actor's own files: configuration, keys, journal, what running processes leave, orders, results."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account

from assurance.fuzz.codecs import JSON, Codec
from assurance.fuzz.protocol_targets import ADDRESS, DIGESTS, KEY
from assurance.fuzz.scratch import from_file, scratch
from assurance.fuzz.target import MEBI, Limits, Target
from deepring_chain.actors.journal import Journal
from deepring_chain.attacks.orders import ORDER_FILE, LabOrder, Lie, give_order, take_order
from deepring_chain.cli.password import FILE_VARIABLE, VARIABLE, read_password
from deepring_chain.crypto.keys import (
    ACCOUNT_FILE,
    PUBLIC_LABEL,
    SEALING_FILE,
    _load_account,
    load_sealing,
    read_address,
    sealing_pem,
)
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ConfigError
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.results import ResultBook
from deepring_chain.ring.auditors import AUDITORS_FILE, AuditorList
from deepring_chain.ring.folder import (
    DEPLOYMENT_FILE,
    RING_FILE,
    Deployment,
    RingConfig,
    RingFolder,
    WorkerEntry,
    load_deployment,
)
from deepring_chain.ring.folder_lock import Owner
from deepring_chain.ring.running import HOST_FILE, RUN_FOLDER, HostRecord, RunningActor

PASSWORD = "correct horse"
KEYS = Limits(seconds=8.0, memory=520 * MEBI, memory_per_byte=512)
"""An Ethereum keystore may ask for scrypt's memory, up to `crypto.keys.MAX_WORK`."""


def _ring(path: Path) -> RingConfig:
    return RingFolder(path.parent).load_config()


def _written(write: Callable[[RingFolder], None], name: str) -> bytes:
    folder = RingFolder(scratch("seed"))
    write(folder)
    return (folder.path / name).read_bytes()


def _rings() -> list[bytes]:
    workers = (WorkerEntry("worker-1", 1, ADDRESS, DIGESTS[1]), WorkerEntry("worker-2", 2, ADDRESS, DIGESTS[2]))
    config = RingConfig("mnist-dense", DIGESTS[3], ADDRESS, DIGESTS[4], workers)
    return [_written(lambda folder: folder.save_config(config), RING_FILE)]


def _deployments() -> list[bytes]:
    known = Deployment("http://127.0.0.1:8545", 31337, ADDRESS, 3, DIGESTS[5].hex(), "file:///var/store")
    return [_written(lambda folder: folder.save_deployment(known), DEPLOYMENT_FILE)]


def _auditors(path: Path) -> object:
    return AuditorList(path.parent).keys()


def _auditor_seeds() -> list[bytes]:
    key = public_bytes(KEY).hex()
    return [f'format = 1\n\n[[auditor]]\nsealing_key = "{key}"\n'.encode(), b"format = 1\n"]


def _keystore(path: Path) -> object:
    address = read_address(path.parent)
    return address, _load_account(path, PASSWORD)


def _keystores() -> list[bytes]:
    key = bytes(range(1, 33))
    found = []
    for kdf in ("scrypt", "pbkdf2"):
        made = Account.encrypt(key, PASSWORD, kdf=kdf, iterations=2)
        found.append(json.dumps(made).encode())
    return found


def _sealing_keys() -> list[bytes]:
    return [PUBLIC_LABEL + public_bytes(KEY).hex().encode() + b"\n" + sealing_pem(KEY, PASSWORD)]


def _read_pem(data: bytes) -> list[bytes]:
    """What is before the armor, and the DER within."""
    before, _, rest = data.partition(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    return [before, base64.b64decode(rest.partition(b"-----END")[0])]


def _write_pem(value: list[bytes]) -> bytes:
    lines = base64.encodebytes(value[1])
    return value[0] + b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + lines + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def _journal(data: bytes) -> object:
    path = scratch("journal.sqlite")
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"):
        scratch(name).unlink(missing_ok=True)
    path.write_bytes(data)
    journal = Journal(path)
    try:
        return journal.read("update/1"), journal.keys("draw/"), journal.record_once("new", lambda: b"made")
    finally:
        journal.close()


def _journals() -> list[bytes]:
    path = scratch("seed.sqlite")
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA page_size=512")
    database.execute("CREATE TABLE record (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID")
    for key, payload in (("update/1", b"one"), ("draw/2", bytes(40)), ("draw/3", b"")):
        database.execute("INSERT INTO record VALUES (?, ?)", (key, payload))
    database.close()
    return [path.read_bytes()]


def _running(path: Path) -> object:
    return RunningActor.read(path), HostRecord.read(path.parent.parent), Owner.parse(path.read_bytes())


def _runnings() -> list[bytes]:
    actor = RunningActor("worker-1", "::1", 9000, 77, "12345").encode()
    HostRecord(77, "12345", ("worker-1",), True).write(scratch("host"))
    return [actor, (scratch("host") / RUN_FOLDER / HOST_FILE).read_bytes()]


def _order(path: Path) -> object:
    return take_order(path.parent)


def _orders() -> list[bytes]:
    order = LabOrder(Lie.FLIP_MEMORY_BITS, "layer.1.weight", 3, (("layer.1.weight", 4),), 1.5, 7)
    give_order(scratch("given"), order)
    return [(scratch("given") / ORDER_FILE).read_bytes()]


def _password_file(path: Path) -> str:
    return _password({FILE_VARIABLE: str(path)})


def _password_variable(data: bytes) -> str:
    return _password({VARIABLE: os.fsdecode(data.replace(b"\0", b""))})


def _password(variables: dict[str, str]) -> str:
    """With nothing else in the environment; the password must be fit for a key."""
    kept = {name: os.environ.pop(name, None) for name in (FILE_VARIABLE, VARIABLE)}
    os.environ.update(variables)
    try:
        password = read_password(may_ask=False)
        password.encode()
        return password
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _results() -> list[bytes]:
    return [json.dumps({"schema": 1, "identity": {}, "parts": {"a": {"seconds": 1.5}}}).encode()]


def _target(
    name: str,
    parse: Callable[[bytes], Any],
    seeds: Callable[[], list[bytes]],
    share: int = 8,
    codec: Codec | None = None,
    declared: type[Exception] = ConfigError,
    limits: Limits | None = None,
) -> Target:
    return Target(name, parse, (declared,), seeds, None, codec, limits or Limits(), share)


TARGETS = (
    _target("ring-toml", from_file(f"ring/{RING_FILE}", _ring), _rings, 10),
    _target("deployment-toml", from_file("deployment.toml", load_deployment), _deployments, 10),
    _target("auditors-toml", from_file(f"owner/{AUDITORS_FILE}", _auditors), _auditor_seeds),
    _target("keystore", from_file(f"keys/{ACCOUNT_FILE}", _keystore), _keystores, 6, JSON, limits=KEYS),
    _target(
        "sealing-key",
        from_file(SEALING_FILE, lambda path: load_sealing(path, PASSWORD)),
        _sealing_keys,
        6,
        Codec(_read_pem, _write_pem),
        limits=KEYS,
    ),
    _target("journal-file", _journal, _journals, 3, limits=Limits(seconds=4.0, longest=8192)),
    _target("running-files", from_file(f"{RUN_FOLDER}/{HOST_FILE}", _running), _runnings, 10, JSON),
    _target("lab-order", from_file(f"lab/{ORDER_FILE}", _order), _orders, 6, JSON),
    _target("password-file", from_file("password", _password_file), lambda: [b"correct horse\n", b"x"], 4),
    _target("password-variable", _password_variable, lambda: [b"correct horse", b"x"], 4),
    _target(
        "results-file",
        from_file("results.json", lambda path: ResultBook(path, {}, "command").parts),
        _results,
        4,
        JSON,
        ExperimentError,
    ),
)
