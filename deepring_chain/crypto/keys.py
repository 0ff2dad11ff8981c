"""An actor's keys on disk: an Ethereum V3 keystore and X25519 keys as encrypted PKCS#8 PEM, under one password."""

from __future__ import annotations

import binascii
import json
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.keyfile import normalize_keys
from eth_utils import to_checksum_address

from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.types import Address, SealingKey

ACCOUNT_FILE = "account.json"
SEALING_FILE = "sealing.pem"

# The work factor of geth's "light" keystores is of this order: 16 MB and tens of milliseconds, so that a ring of 20
# workers starts in seconds. The passwords that `deepring init` makes have 256 bits and need no stretching at all.
SCRYPT_N = 1 << 14

MAX_PASSWORD_BYTES = 1023
"""OpenSSL's limit for PEM keys."""

MAX_WORK = 1 << 22
"""Most work that a key file may ask for to be opened: scrypt's N * r * p (N * r of 2**22 takes 512 MiB; geth's standard
keystores have 2**21), or PBKDF2's iterations times the numbers beside them. A damaged file could ask for hours."""

MAX_SCRYPT_LANES = 64
"""Most of scrypt's r * p; geth's keystores have 8 or 48."""

PUBLIC_LABEL = b"X25519 public key: "
"""Begins a sealing key's file (explanatory text, RFC 7468). PKCS#8 encryption has no checksum: after a flipped bit the
right password can open another key; the public key in this line tells."""


class KeyMissing(ConfigError):
    """There is no key file at the expected place."""


class KeyDamaged(ConfigError):
    """A key file cannot be read as what it should be."""


class WrongPassword(ConfigError):
    """The password does not open a key file."""


@dataclass(frozen=True)
class ActorKeys:
    """The two key pairs of an actor; never printed."""

    account: LocalAccount
    sealing: X25519PrivateKey

    @property
    def address(self) -> Address:
        """The account's checksummed address."""
        return Address(self.account.address)

    @property
    def sealing_public(self) -> SealingKey:
        """The long-term X25519 public key."""
        return public_bytes(self.sealing)

    def __repr__(self) -> str:
        return f"ActorKeys({self.address})"


def create_keys(folder: Path, password: str) -> ActorKeys:
    """Makes both key pairs and writes them to `folder`, readable by the owner only.

    Raises:
        ConfigError: a key is there already, the folder is not writable, or the password is empty or too long.
    """
    if not 0 < len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise ConfigError(f"{folder}: password empty or too long; choose one of 1 to {MAX_PASSWORD_BYTES} bytes")
    if any((folder / name).exists() for name in (ACCOUNT_FILE, SEALING_FILE)):
        raise ConfigError(f"{folder}: holds keys already; they are never overwritten")
    keys = ActorKeys(Account.create(), create_sealing(folder, password))
    keystore = Account.encrypt(keys.account.key, password, kdf="scrypt", iterations=SCRYPT_N)
    write_atomic(folder / ACCOUNT_FILE, json.dumps(keystore).encode(), 0o600)
    return keys


def create_sealing(folder: Path, password: str) -> X25519PrivateKey:
    """Makes an X25519 key and writes it to `folder`, readable by the owner only: all that an auditor needs.

    Raises:
        ConfigError: as `create_keys`.
    """
    if not 0 < len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise ConfigError(f"{folder}: password empty or too long; choose one of 1 to {MAX_PASSWORD_BYTES} bytes")
    if (folder / SEALING_FILE).exists():
        raise ConfigError(f"{folder}: holds keys already; they are never overwritten")
    key = X25519PrivateKey.generate()
    named = PUBLIC_LABEL + public_bytes(key).hex().encode() + b"\n"
    write_atomic(folder / SEALING_FILE, named + sealing_pem(key, password), 0o600)
    return key


def load_keys(folder: Path, password: str) -> ActorKeys:
    """Reads what `create_keys` wrote.

    Raises:
        KeyMissing, KeyDamaged, WrongPassword: naming the file.
    """
    return ActorKeys(_load_account(folder / ACCOUNT_FILE, password), load_sealing(folder / SEALING_FILE, password))


def read_address(folder: Path) -> Address:
    """The account's address, without the password.

    Raises:
        KeyMissing, KeyDamaged: naming the file.
    """
    path = folder / ACCOUNT_FILE
    try:
        raw = bytes.fromhex(json.loads(_read(path))["address"].removeprefix("0x"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KeyDamaged(f"{path}: not an Ethereum keystore ({str(error)[:200]}); restore it from a backup") from None
    if len(raw) != 20:
        raise KeyDamaged(f"{path}: the address has {len(raw)} bytes; restore it from a backup")
    return Address(to_checksum_address(raw))


def sealing_pem(key: X25519PrivateKey, password: str) -> bytes:
    """`key` as encrypted PKCS#8 PEM (RFC 5958)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))


def load_sealing(path: Path, password: str) -> X25519PrivateKey:
    """Reads an encrypted X25519 key.

    Raises:
        KeyMissing, KeyDamaged, WrongPassword: naming the file.
    """
    data = _read(path)
    try:
        _check_pem_work(data)
        key = load_pem_private_key(data, password.encode())
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        # Under one wrong password in some hundred the padding fits by chance, and what it opens to is no key.
        is_opened = "password" in str(error).lower() or "deserialize key data" in str(error).lower()
        if b"BEGIN ENCRYPTED PRIVATE KEY" in data and is_opened:
            raise WrongPassword(f"{path}: wrong password") from None
        raise KeyDamaged(f"{path}: not an encrypted PEM key; restore it from a backup") from None
    except (UnsupportedAlgorithm, InternalError):
        raise KeyDamaged(f"{path}: encrypted or encoded in an unknown way; restore it from a backup") from None
    if not isinstance(key, X25519PrivateKey):
        raise KeyDamaged(f"{path}: holds another kind of key than X25519; restore it from a backup")
    if not data.startswith(PUBLIC_LABEL + public_bytes(key).hex().encode() + b"\n"):
        raise KeyDamaged(f"{path}: the key is not that of the public key in its first line; restore it from a backup")
    return key


def _load_account(path: Path, password: str) -> LocalAccount:
    text = _read(path)
    try:
        keystore = json.loads(text)
        if not isinstance(keystore, dict) or "crypto" not in {key.lower() for key in keystore}:
            raise KeyDamaged(f"{path}: not an Ethereum keystore; restore it from a backup")
        _check_keystore_work(keystore)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)[:200]
        raise KeyDamaged(f"{path}: not an Ethereum keystore ({reason}); restore it from a backup") from None
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise WrongPassword(f"{path}: wrong password") from None
        raise KeyDamaged(f"{path}: unusable keystore ({str(error)[:200]}); restore it from a backup") from None
    except (
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RuntimeError,
        AssertionError,
    ) as error:
        raise KeyDamaged(f"{path}: unusable keystore ({str(error)[:200]}); restore it from a backup") from None
    # The keystore's checksum leaves out the initialization vector: a change there opens to another account.
    held, named = Address(account.address), read_address(path.parent)
    if held != named:
        raise KeyDamaged(f"{path}: holds the key of {held}, but names {named}; restore it from a backup")
    return account


def _check_keystore_work(keystore: dict[str, Any]) -> None:
    """Raises ValueError if opening it would take minutes or gigabytes: the file itself says how much."""
    held = normalize_keys(keystore)
    crypto = held["crypto"]
    params = crypto["kdfparams"]
    numbers = [params[name] for name in (("n", "r", "p") if crypto["kdf"] == "scrypt" else ("c",))]
    if any(type(number) is not int or number < 1 for number in numbers):
        raise ValueError("its key derivation has no numbers")
    if prod(numbers) > MAX_WORK or prod(numbers[1:]) > MAX_SCRYPT_LANES:
        raise ValueError("its key derivation takes too much work")
    if held["version"] != 3 or params["dklen"] != 32:
        raise ValueError("it is not of version 3, or derives a key of another length than 32 bytes")


def _check_pem_work(data: bytes) -> None:
    """The same for encrypted PKCS#8 keys (RFC 5958); what is no such key is left to the library."""
    for armored in re.findall(rb"BEGIN ENCRYPTED PRIVATE KEY-----(.*?)-----END", data, re.DOTALL):
        ((_, whole), *_) = _split_der(binascii.a2b_base64(armored))
        algorithm = _split_der(whole)[0][1]
        if prod(_integers(algorithm)) > MAX_WORK:
            raise ValueError("its key derivation takes too much work")


def _integers(der: bytes) -> list[int]:
    """All integers within some DER."""
    found: list[int] = []
    for kind, content in _split_der(der):
        if kind == _DER_INTEGER:
            found.append(int.from_bytes(content, "big"))
        elif kind & _DER_CONSTRUCTED:
            found += _integers(content)
    return found


_DER_INTEGER, _DER_CONSTRUCTED = 0x02, 0x20


def _split_der(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of each of the values that follow one another (X.690, 8.1)."""
    found = []
    while der:
        size, start = der[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(der[2:start], "big")
        found.append((der[0], der[start : start + size]))
        der = der[start + size :]
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeyMissing(f"{path}: no such key file; `deepring init` makes one") from None
    except OSError as error:
        raise KeyDamaged(f"{path}: cannot be read ({error.strerror})") from None
