"""An actor's keys on disk: an Ethereum V3 keystore and X25519 keys as encrypted PKCS#8 PEM, under one password."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

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
from eth_utils import to_checksum_address

from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.types import Address, Digest

ACCOUNT_FILE = "account.json"
SEALING_FILE = "sealing.pem"

# The work factor of geth's "light" keystores is of this order: 16 MB and tens of milliseconds, so that a ring of 20
# workers starts in seconds. The passwords that `deepring init` makes have 256 bits and need no stretching at all.
SCRYPT_N = 1 << 14

MAX_PASSWORD_BYTES = 1023
"""OpenSSL's limit for PEM keys."""

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
    def sealing_public(self) -> Digest:
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyDamaged(f"{path}: not an Ethereum keystore ({error}); restore it from a backup") from None
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
        key = load_pem_private_key(data, password.encode())
    except (ValueError, TypeError) as error:
        if b"BEGIN ENCRYPTED PRIVATE KEY" in data and "password" in str(error).lower():
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
    except ValueError:
        raise KeyDamaged(f"{path}: not an Ethereum keystore; restore it from a backup") from None
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise WrongPassword(f"{path}: wrong password") from None
        raise KeyDamaged(f"{path}: unusable keystore ({error}); restore it from a backup") from None
    except (LookupError, TypeError, AttributeError, ArithmeticError, MemoryError, NotImplementedError) as error:
        raise KeyDamaged(f"{path}: unusable keystore ({error}); restore it from a backup") from None
    # The keystore's checksum leaves out the initialization vector: a change there opens to another account.
    held, named = Address(account.address), read_address(path.parent)
    if held != named:
        raise KeyDamaged(f"{path}: holds the key of {held}, but names {named}; restore it from a backup")
    return account


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeyMissing(f"{path}: no such key file; `deepring init` makes one") from None
    except OSError as error:
        raise KeyDamaged(f"{path}: cannot be read ({error.strerror})") from None
