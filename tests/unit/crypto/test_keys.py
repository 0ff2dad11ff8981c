"""Key files: readable with the password alone, by the owner alone; anything else is one line that names the file."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepring_chain.crypto import keys as module
from deepring_chain.crypto.keys import (
    ACCOUNT_FILE,
    PUBLIC_LABEL,
    SEALING_FILE,
    ActorKeys,
    KeyDamaged,
    KeyMissing,
    WrongPassword,
    create_keys,
    load_keys,
    load_sealing,
    read_address,
    sealing_pem,
)
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ConfigError, DeepRingError
from deepring_chain.types import Digest

PASSWORD = "correct horse"


@pytest.fixture(scope="module", autouse=True)
def _cheap_scrypt() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SCRYPT_N", 2)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ActorKeys]:
    folder = tmp_path_factory.mktemp("keys") / "actor"
    return folder, create_keys(folder, PASSWORD)


@pytest.fixture
def folder(made: tuple[Path, ActorKeys], tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    for name in (ACCOUNT_FILE, SEALING_FILE):
        (tmp_path / name).write_bytes((made[0] / name).read_bytes())
    return tmp_path


def test_keys_come_back(made: tuple[Path, ActorKeys]) -> None:
    folder, keys = made
    loaded = load_keys(folder, PASSWORD)
    assert loaded.account.key == keys.account.key
    assert loaded.sealing.private_bytes_raw() == keys.sealing.private_bytes_raw()
    assert loaded.address == keys.address == read_address(folder)
    assert loaded.sealing_public == keys.sealing_public == public_bytes(keys.sealing)


def test_keys_of_two_actors_differ(made: tuple[Path, ActorKeys], tmp_path: Path) -> None:
    other = create_keys(tmp_path / "other", PASSWORD)
    assert other.address != made[1].address
    assert other.sealing_public != made[1].sealing_public


def test_key_files_are_the_owners_alone(made: tuple[Path, ActorKeys]) -> None:
    """Another user of the machine reads the key files."""
    assert {path.name for path in made[0].iterdir()} == {ACCOUNT_FILE, SEALING_FILE}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made[0].iterdir()} == {0o600}


def test_key_files_hold_no_key_in_the_open(made: tuple[Path, ActorKeys]) -> None:
    folder, keys = made
    text = b"".join(path.read_bytes().lower() for path in folder.iterdir())
    for secret in (bytes(keys.account.key), keys.sealing.private_bytes_raw(), PASSWORD.encode()):
        assert secret not in text
        assert secret.hex().encode() not in text


def test_keys_print_nothing_secret(made: tuple[Path, ActorKeys], caplog: pytest.LogCaptureFixture) -> None:
    """A key object ends in a log line or a traceback: only the address is there to be read."""
    keys = made[1]
    caplog.set_level(logging.INFO)
    logging.getLogger("test").info("%s %r %s", keys, keys, [keys])
    shown = " ".join([caplog.text, f"{keys}", repr({"keys": keys})]).lower()
    assert keys.address.lower() in shown
    for secret in (bytes(keys.account.key), keys.sealing.private_bytes_raw()):
        assert secret.hex() not in shown
        assert repr(secret).lower() not in shown


@pytest.mark.parametrize("name", [ACCOUNT_FILE, SEALING_FILE])
def test_keys_are_never_overwritten(folder: Path, name: str) -> None:
    other = SEALING_FILE if name == ACCOUNT_FILE else ACCOUNT_FILE
    (folder / other).unlink()
    before = (folder / name).read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        create_keys(folder, PASSWORD)
    assert (folder / name).read_bytes() == before
    assert not (folder / other).exists()


@pytest.mark.parametrize("password", ["", "x" * 1024, "é" * 512])
def test_password_that_no_key_file_takes_is_refused_before_anything_is_made(tmp_path: Path, password: str) -> None:
    with pytest.raises(ConfigError, match="password"):
        create_keys(tmp_path / "actor", password)
    assert not (tmp_path / "actor").exists()


@pytest.mark.parametrize("password", ["x", "é\0\n", "x" * 1023])
def test_unusual_password_works(tmp_path: Path, password: str) -> None:
    made = create_keys(tmp_path, password)
    assert load_keys(tmp_path, password).address == made.address


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), PASSWORD + " ", "x" * 5000])
def test_wrong_password_names_the_file(folder: Path, password: str) -> None:
    with pytest.raises(WrongPassword, match=ACCOUNT_FILE):
        load_keys(folder, password)
    with pytest.raises(WrongPassword, match=SEALING_FILE):
        load_sealing(folder / SEALING_FILE, password)


FITTING = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBD3Qxt+7bXihfzAcz4H
ouFhAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQ1lRaPpJhDK3x5+TY
NDr7ngRAHNuROhPRCwLWduH+EGk0NtgLlmuCTc29usqQ2N5eLGbZ5A/6PFoG3wxl
W5AVlkn7AgQx0XUoSDmHy9iYQ0FaEw==
-----END ENCRYPTED PRIVATE KEY-----
"""
"""Its padding fits by chance under the password "wrong 107", which opens to no key."""


def test_wrong_password_whose_padding_fits_is_a_wrong_password_too(tmp_path: Path) -> None:
    key = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    (tmp_path / SEALING_FILE).write_bytes(PUBLIC_LABEL + public_bytes(key).hex().encode() + b"\n" + FITTING)
    assert load_sealing(tmp_path / SEALING_FILE, "password").private_bytes_raw() == bytes(range(32))
    with pytest.raises(WrongPassword, match=SEALING_FILE):
        load_sealing(tmp_path / SEALING_FILE, "wrong 107")


def test_files_under_two_passwords_do_not_load(folder: Path, tmp_path: Path) -> None:
    create_keys(tmp_path / "other", "another")
    (folder / SEALING_FILE).write_bytes((tmp_path / "other" / SEALING_FILE).read_bytes())
    with pytest.raises(WrongPassword, match=SEALING_FILE):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("name", [ACCOUNT_FILE, SEALING_FILE])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(KeyMissing, match=f"{name}: no such key file"):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("name", [ACCOUNT_FILE, SEALING_FILE])
def test_folder_in_place_of_a_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(KeyDamaged, match=f"{name}: cannot be read"):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("name", [ACCOUNT_FILE, SEALING_FILE])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_truncated_file_is_named(folder: Path, name: str, part: float) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(KeyDamaged, match=name):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("name", [ACCOUNT_FILE, SEALING_FILE])
@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_byte_never_opens_to_another_key(
    made: tuple[Path, ActorKeys], folder: Path, name: str, place: int, change: int
) -> None:
    """A disk flips bits of a key file: the same keys or one line that names the file, never other keys."""
    data = bytearray((made[0] / name).read_bytes())
    data[place % len(data)] ^= change
    (folder / name).write_bytes(bytes(data))
    try:
        loaded = load_keys(folder, PASSWORD)
    except ConfigError as error:
        assert name in str(error)  # noqa: PT017 - both ways are right
    else:
        assert (loaded.address, loaded.sealing_public) == (made[1].address, made[1].sealing_public)
    finally:
        (folder / name).write_bytes((made[0] / name).read_bytes())


def test_keystore_of_another_account_than_it_names_is_refused(folder: Path, tmp_path: Path) -> None:
    """Mallory puts her own address on a worker's keystore, so that the ring is set up with an account of hers."""
    keystore = json.loads((folder / ACCOUNT_FILE).read_text())
    mallory = create_keys(tmp_path / "mallory", "hers")
    keystore["address"] = mallory.address
    (folder / ACCOUNT_FILE).write_text(json.dumps(keystore))
    with pytest.raises(KeyDamaged, match=f"but names {mallory.address}"):
        load_keys(folder, PASSWORD)


def test_keystore_with_a_changed_initialization_vector_is_refused(folder: Path) -> None:
    """The keystore's own checksum leaves the vector out: without the address, another account would open."""
    keystore = json.loads((folder / ACCOUNT_FILE).read_text())
    keystore["crypto"]["cipherparams"]["iv"] = "00" * 16
    (folder / ACCOUNT_FILE).write_text(json.dumps(keystore))
    with pytest.raises(KeyDamaged, match="holds the key of"):
        load_keys(folder, PASSWORD)


def test_sealing_key_of_another_public_key_than_it_names_is_refused(folder: Path) -> None:
    (folder / SEALING_FILE).write_bytes(
        (folder / SEALING_FILE).read_bytes().split(b"\n", 1)[0]
        + b"\n"
        + sealing_pem(X25519PrivateKey.generate(), PASSWORD)
    )
    with pytest.raises(KeyDamaged, match="not that of the public key in its first line"):
        load_keys(folder, PASSWORD)


def test_sealing_key_without_its_public_key_is_refused(folder: Path) -> None:
    (folder / SEALING_FILE).write_bytes(sealing_pem(X25519PrivateKey.generate(), PASSWORD))
    with pytest.raises(KeyDamaged, match="first line"):
        load_keys(folder, PASSWORD)


def test_sealing_file_names_its_public_key(made: tuple[Path, ActorKeys]) -> None:
    first = (made[0] / SEALING_FILE).read_bytes().split(b"\n")[0]
    assert Digest(bytes.fromhex(first.removeprefix(PUBLIC_LABEL).decode())) == made[1].sealing_public


def test_other_kind_of_key_is_refused(folder: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
    )
    (folder / SEALING_FILE).write_bytes(pem)
    with pytest.raises(KeyDamaged, match="another kind of key"):
        load_keys(folder, PASSWORD)


def test_unencrypted_key_is_refused(folder: Path) -> None:
    pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / SEALING_FILE).write_bytes(pem)
    with pytest.raises(KeyDamaged, match="not an encrypted PEM key"):
        load_keys(folder, PASSWORD)


def test_public_key_in_place_of_a_private_one_is_refused(folder: Path) -> None:
    (folder / SEALING_FILE).write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(KeyDamaged, match="not an encrypted PEM key"):
        load_keys(folder, PASSWORD)


BROKEN_KEYSTORES: list[Any] = [
    None,
    [],
    "text",
    5,
    {},
    {"crypto": None},
    {"crypto": []},
    {"crypto": {}, "version": 3},
    {"crypto": {"kdf": "unknown"}, "version": 3},
    {"crypto": {}, "version": 1},
    {"crypto": {}, "version": "3"},
]


@pytest.mark.parametrize("keystore", BROKEN_KEYSTORES)
def test_json_that_is_no_keystore_is_refused(folder: Path, keystore: Any) -> None:
    (folder / ACCOUNT_FILE).write_text(json.dumps(keystore))
    with pytest.raises(KeyDamaged, match=ACCOUNT_FILE):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("address", [None, 5, "", "0x", "zz" * 20, "00" * 19, "00" * 21, ["00" * 20]])
def test_address_that_is_none_is_refused(folder: Path, address: Any) -> None:
    keystore = json.loads((folder / ACCOUNT_FILE).read_text())
    keystore["address"] = address
    (folder / ACCOUNT_FILE).write_text(json.dumps(keystore))
    with pytest.raises(KeyDamaged, match=ACCOUNT_FILE):
        read_address(folder)
    with pytest.raises(KeyDamaged, match=ACCOUNT_FILE):
        load_keys(folder, PASSWORD)


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe", b"{", b"null", b"{}", b'{"address": 1}'])
def test_address_of_a_damaged_file_is_refused(folder: Path, data: bytes) -> None:
    (folder / ACCOUNT_FILE).write_bytes(data)
    with pytest.raises(KeyDamaged, match=ACCOUNT_FILE):
        read_address(folder)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_are_one_line(folder: Path, data: bytes) -> None:
    for name in (ACCOUNT_FILE, SEALING_FILE):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        with pytest.raises(DeepRingError, match=name):
            load_keys(folder, PASSWORD)
        (folder / name).write_bytes(original)
