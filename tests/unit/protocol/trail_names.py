"""Who is in a scripted ring, and where the events of a scripted trail stand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.audit_step import Terms, Witness
from deepring_chain.protocol.events import (
    Event,
    LoggedEvent,
    UpdatePosted,
    query_of,
)
from deepring_chain.types import Address, Attempt, Digest, Domain, Leaf

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
LAYERS = 3
FIRST = Attempt(1)
ITEMS = 2
"""In a query's batch, unless a test says otherwise."""


def named(label: object) -> Any:
    """32 bytes that look random and are the same in every run."""
    return Digest(hashlib.sha256(str(label).encode()).digest())


def account_named(label: str) -> LocalAccount:
    """An account whose key follows from its name."""
    account: LocalAccount = Account.from_key(named(f"account {label}"))
    return account


OWNER = account_named("owner")
WORKERS = tuple(account_named(f"worker {layer}") for layer in range(1, LAYERS + 1))
QUERENT = account_named("querent")
STRANGER = account_named("stranger")
SEATS = (OWNER, *reversed(WORKERS))
OUROBOROS = Address(OWNER.address)
TERMS = Terms(DOMAIN, OUROBOROS, hop_seconds=60, withdraw_seconds=600)


@dataclass(frozen=True)
class Sent:
    """A call, which is a transaction here: where and when it was mined, and the evidence in its input."""

    number: int
    block: int
    time: int
    leaves: tuple[Leaf, ...] = ()
    is_repeated: bool = False
    is_run: bool = False


Call = tuple[Sent, Event]
"""An event and the call that emitted it."""

Placed = tuple[LoggedEvent, Witness]
"""An event at its place, and what the chain tells beside it."""


def place_events(calls: Sequence[Call]) -> list[Placed]:
    """Gives events their places: logs without a gap in each block."""
    placed: list[Placed] = []
    index, part = -1, 0
    for number, (sent, event) in enumerate(calls):
        is_first = not placed or placed[-1][0].block_number != sent.block
        is_same_log = number > 0 and _is_one_log(calls[number - 1], (sent, event))
        index, part = (index, part + 1) if is_same_log else (0 if is_first else index + 1, 0)
        transaction = named(f"transaction {sent.number} {sent.is_repeated}")
        logged = LoggedEvent(event, sent.block, named(f"block {sent.block}"), transaction, index, part)
        placed.append((logged, Witness(sent.time, sent.leaves)))
    return placed


def _is_one_log(before: Call, call: Call) -> bool:
    (sent_before, event_before), (sent, event) = before, call
    are_updates = isinstance(event_before, UpdatePosted) and isinstance(event, UpdatePosted)
    return sent.is_run and sent_before == sent and are_updates and query_of(event_before) == query_of(event)
