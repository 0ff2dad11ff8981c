"""Signatures are made by libsecp256k1: eth-keys falls back to pure Python, ten times slower, without a word."""

from __future__ import annotations

import coincurve
from eth_account import Account
from eth_keys import KeyAPI
from eth_keys.backends import get_backend
from eth_keys.backends.coincurve import CoinCurveECCBackend


def test_default_backend_is_the_native_one() -> None:
    assert isinstance(get_backend(), CoinCurveECCBackend)
    assert isinstance(KeyAPI().backend, CoinCurveECCBackend)


def test_accounts_sign_with_it() -> None:
    assert isinstance(Account._keys.backend, CoinCurveECCBackend)
    account = Account.from_key(b"\x07" * 32)
    hashed = b"\x01" * 32
    native = coincurve.PrivateKey(b"\x07" * 32).sign_recoverable(hashed, hasher=None)
    signed = account.unsafe_sign_hash(hashed)
    assert (signed.r, signed.s) == (int.from_bytes(native[:32], "big"), int.from_bytes(native[32:64], "big"))
