"""An actor's own files, damaged in ways that fuzzing found: one line that names the file, at once."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from deepring_chain.actors.journal import Journal
from deepring_chain.cli.password import FILE_VARIABLE, VARIABLE, read_password
from deepring_chain.crypto.keys import (
    ACCOUNT_FILE,
    SEALING_FILE,
    KeyDamaged,
    WrongPassword,
    create_keys,
    load_keys,
    load_sealing,
    read_address,
)
from deepring_chain.errors import ConfigError
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.results import ResultBook
from deepring_chain.ring.auditors import AUDITORS_FILE, AuditorList
from deepring_chain.ring.folder import RING_FILE, RingFolder
from deepring_chain.ring.running import HOST_FILE, RUN_FOLDER, HostRecord, RunningActor
from tests.waiting import processor_seconds

NESTED = b"[" * 100_000
PASSWORD = "correct horse"


def keystore(**params: Any) -> bytes:
    made = Account.encrypt(bytes(range(1, 33)), PASSWORD, kdf="scrypt", iterations=2)
    made["crypto"]["kdfparams"] |= params
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    "params",
    [{"n": 2**30}, {"n": 2, "r": 256, "p": 128}, {"p": 2**20}, {"n": 2.5}, {"n": -2}, {"dklen": 2**31}, {"r": "8"}],
    ids=str,
)
def test_a_keystore_that_asks_for_hours_or_gigabytes_is_refused_at_once(params: dict[str, Any], tmp_path: Path) -> None:
    create_keys(tmp_path, PASSWORD)
    (tmp_path / ACCOUNT_FILE).write_bytes(keystore(**params))
    with processor_seconds(5), pytest.raises(KeyDamaged, match="not an Ethereum keystore"):
        load_keys(tmp_path, PASSWORD)


def test_a_keystore_with_pbkdf2_of_an_unknown_hash_is_refused(tmp_path: Path) -> None:
    create_keys(tmp_path, PASSWORD)
    made = Account.encrypt(bytes(range(1, 33)), PASSWORD, kdf="pbkdf2", iterations=2)
    for prf, count in (("sha256", 2), ("hmac-none", 2), ("hmac-sha256", 2**31)):
        made["crypto"]["kdfparams"] |= {"prf": prf, "c": count}
        (tmp_path / ACCOUNT_FILE).write_text(json.dumps(made))
        with pytest.raises(KeyDamaged, match="keystore"):
            load_keys(tmp_path, PASSWORD)


def test_geths_standard_keystore_is_read(tmp_path: Path) -> None:
    create_keys(tmp_path, PASSWORD)
    made = Account.encrypt(bytes(range(1, 33)), PASSWORD, kdf="scrypt", iterations=2**18)
    (tmp_path / ACCOUNT_FILE).write_text(json.dumps(made))
    assert load_keys(tmp_path, PASSWORD).address == Account.from_key(bytes(range(1, 33))).address


def der(kind: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return bytes([kind]) + size + content


def encrypted_key(iterations: int) -> bytes:
    """PKCS#8 with PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC, as `sealing_pem` writes it."""
    oids = ("2a864886f70d01050d", "2a864886f70d01050c", "2a864886f70d0209", "60864801650304012a")
    pbes2, pbkdf2, hmac, aes = (der(6, bytes.fromhex(oid)) for oid in oids)
    count = der(2, iterations.to_bytes(4, "big").lstrip(b"\0"))
    derived = der(0x30, pbkdf2, der(0x30, der(4, bytes(16)), count, der(0x30, hmac, der(5))))
    scheme = der(0x30, pbes2, der(0x30, derived, der(0x30, aes, der(4, bytes(16)))))
    armored = base64.encodebytes(der(0x30, scheme, der(4, bytes(64))))
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + armored + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def test_a_sealing_key_that_asks_for_minutes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / SEALING_FILE
    path.write_bytes(encrypted_key(2048))
    with pytest.raises(WrongPassword):
        load_sealing(path, PASSWORD)
    path.write_bytes(encrypted_key(2**30))
    with processor_seconds(5), pytest.raises(KeyDamaged, match="not an encrypted PEM key"):
        load_sealing(path, PASSWORD)


@pytest.mark.parametrize("armored", [b"", b"MA==", b"!", base64.b64encode(b"\x30\x84\xff"), b"MIAC" * 900])
def test_a_sealing_key_with_broken_der_is_refused(armored: bytes, tmp_path: Path) -> None:
    path = tmp_path / SEALING_FILE
    path.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + armored + b"\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(KeyDamaged, match="not an encrypted PEM key"):
        load_sealing(path, PASSWORD)


def test_lists_within_lists_without_end_are_refused(tmp_path: Path) -> None:
    for name in (ACCOUNT_FILE, RING_FILE, AUDITORS_FILE, "results.json", HOST_FILE):
        (tmp_path / name).write_bytes(b"x = " + NESTED if name.endswith(".toml") else NESTED)
    with pytest.raises(KeyDamaged):
        read_address(tmp_path)
    with pytest.raises(ConfigError, match="damaged"):
        RingFolder(tmp_path).load_config()
    with pytest.raises(ConfigError, match="damaged"):
        AuditorList(tmp_path).keys()
    with pytest.raises(ExperimentError):
        ResultBook(tmp_path / "results.json", {}, "command")
    assert RunningActor.read(tmp_path / HOST_FILE) is None


def test_a_process_number_of_infinity_is_no_process(tmp_path: Path) -> None:
    path = tmp_path / RUN_FOLDER / HOST_FILE
    path.parent.mkdir()
    path.write_text('{"pid": Infinity, "started": "1", "actors": [], "restarts": true}')
    assert HostRecord.read(tmp_path) is None
    labels = '{"actor": "a", "__meta_deepring_pid": 1e999, "__meta_deepring_started": "1"}'
    path.write_text(f'[{{"targets": ["h:1"], "labels": {labels}}}]')
    assert RunningActor.read(path) is None


@pytest.mark.parametrize("parts", ["[]", "[[]]", "null", "3"])
def test_results_whose_parts_are_none_are_refused(parts: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(f'{{"schema": 1, "identity": {{}}, "parts": {parts}}}')
    with pytest.raises(ExperimentError, match="not a result"):
        ResultBook(tmp_path / "results.json", {}, "command")


@pytest.mark.parametrize("payload", ["text", 10**12, 1.5])
def test_a_journal_whose_record_is_of_another_type_is_refused(payload: object, tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    database = sqlite3.connect(tmp_path / "j", isolation_level=None)
    database.execute("INSERT INTO record VALUES ('update/1', ?)", (payload,))
    database.close()
    journal = Journal(tmp_path / "j")
    with pytest.raises(ConfigError, match="damaged journal"):
        journal.read("update/1")
    journal.close()


def test_a_journal_with_texts_that_are_no_utf8_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    database = sqlite3.connect(tmp_path / "j", isolation_level=None)
    database.execute("PRAGMA writable_schema=ON")
    database.execute("UPDATE sqlite_master SET sql = CAST(x'435245415445e4' AS TEXT)")
    database.close()
    with pytest.raises(ConfigError, match="unusable journal"):
        Journal(tmp_path / "j")


def test_a_password_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    monkeypatch.setenv(VARIABLE, os.fsdecode(b"\xff\xfe"))
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        read_password(may_ask=False)


def test_an_endless_password_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, "/dev/zero")
    with pytest.raises(ConfigError, match="larger than"):
        read_password(may_ask=False)
