"""Keys, digests and events for the tests of the protocol."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import Event, LoggedEvent, QuerySubmitted, RingArranged, RouteOpened, UpdatePosted
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import (
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    Digest,
    Domain,
    Hop,
    QueryId,
    RouteLink,
    SignedUpdate,
    Update,
)

ITEMS = 2
"""In every query's batch."""

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
OTHER_CHAIN = replace(DOMAIN, chain_id=1)
OTHER_LEDGER = replace(DOMAIN, ledger=Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"))


def digest(number: int) -> Any:
    return Digest(number.to_bytes(32, "big"))


def order_of(seed: int) -> random.Random:
    """A source of orders that gives the same ones in every run."""
    return random.Random(seed)  # noqa: S311 - the tests want it predictable


def sealing_key(number: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(digest(number))


def account(number: int) -> LocalAccount:
    found: LocalAccount = Account.from_key(digest(number))
    return found


def address(number: int) -> Address:
    return Address(account(number).address)


def logged(event: Event, number: int = 1) -> LoggedEvent:
    return LoggedEvent(event, number, digest(number), digest(1000 + number), 0)


def arranged(arrangement: int = 1, seats: int = 3, version: int = 1) -> RingArranged:
    members = tuple(address(number + 1) for number in range(seats))
    return RingArranged(ArrangementId(arrangement), version, members, digest(70), digest(71))


def submitted(query: int = 1) -> QuerySubmitted:
    return QuerySubmitted(QueryId(query), address(9), digest(10), digest(11), digest(12))


def opened(query: int = 1, attempt: int = 1, first_hop: int = 0) -> RouteOpened:
    return RouteOpened(QueryId(query), Attempt(attempt), Hop(first_hop), ITEMS, digest(20), digest(21))


def posted(hop: int, query: int = 1, attempt: int = 1, **changes: Any) -> UpdatePosted:
    number = 100 * hop
    words = (digest(number + place) for place in (30, 31, 32, 33))
    update = Update(QueryId(query), Attempt(attempt), Hop(hop), ITEMS, *words)
    signed = SignedUpdate(replace(update, **changes), bytes(65), digest(number + 34), digest(number + 35))
    return UpdatePosted(signed, address(hop + 1), digest(number + 36))


def signed_run(first: int = 0, count: int = 5, query: int = 7, base: int = 0) -> list[SignedUpdate]:
    """Honest updates of hops in a row, whose last is the route's last."""
    signers = [account(10 + index) for index in range(count)]
    salts = [digest(base + 40 + index) for index in range(count)]
    links = [*build_route([address(10 + index) for index in range(count)], salts), ZERO]
    found, trail = [], digest(base + 1)
    for index, signer in enumerate(signers):
        words = (digest(base + 50 + index), digest(base + 60 + index), digest(base + 61 + index))
        update = Update(QueryId(query), Attempt(2), Hop(first + index), ITEMS, *words, trail)
        found.append(sign_update(signer, DOMAIN, update, salts[index], RouteLink(links[index + 1])))
        trail = extend_trail(trail, message_digest(DOMAIN, update), address(10 + index))
    return found
