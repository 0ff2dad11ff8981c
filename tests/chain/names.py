"""Made-up values that follow from a name, so that two runs send the same bytes."""

from __future__ import annotations

import hashlib
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from deepring_chain.types import Address, Digest, SealingKey


def named(label: str) -> Any:
    """32 bytes that look random and are the same in every run."""
    return Digest(hashlib.sha256(label.encode()).digest())


def account_named(label: str) -> LocalAccount:
    """An account whose key follows from its name."""
    account: LocalAccount = Account.from_key(named(f"account {label}"))
    return account


def address_of(account: LocalAccount) -> Address:
    """The account's checksummed address."""
    return Address(account.address)


def sealing_key_of(account: LocalAccount, arrangement: int = 0) -> SealingKey:
    """A made-up X25519 key: the long-term one, or that of an arrangement."""
    return SealingKey(named(f"sealing key of {account.address} in arrangement {arrangement}"))
