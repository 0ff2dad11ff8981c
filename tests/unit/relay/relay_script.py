"""A routed query, and the signed updates that continue it, without a chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import QuerySubmitted, RouteOpened
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.session import Moment, Session
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import Address, ArrangementId, Attempt, Digest, Domain, Hop, QueryId, SignedUpdate, Update

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
OTHER_LEDGER = replace(DOMAIN, ledger=Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"))


def digest(number: int) -> Any:
    """32 bytes."""
    return Digest(number.to_bytes(32, "big"))


def account(number: int) -> LocalAccount:
    """An account."""
    found: LocalAccount = Account.from_key(digest(number))
    return found


def address(number: int) -> Address:
    """Its address."""
    return Address(account(number).address)


HOPS = 4
ITEMS = 2
NOW = Moment(ArrangementId(1), HOPS, 1, 7)
SALTS = [digest(500 + hop) for hop in range(HOPS)]
LINKS = build_route([address(hop + 1) for hop in range(HOPS)], SALTS)


def routed(query: int = 1, attempt: int = 1) -> Session:
    """A query whose route was opened in block 7."""
    asked = QuerySubmitted(QueryId(query), address(9), digest(10), digest(11), digest(1000 + query))
    opened = RouteOpened(QueryId(query), Attempt(attempt), Hop(0), ITEMS, LINKS[0], digest(21))
    return Session.submitted(asked, 5).apply(opened, NOW)


def signed_for(session: Session, signer: int | None = None, **changes: Any) -> SignedUpdate:
    """The honest update of the hop that is due, or one with changes, signed by whose turn it is or by another."""
    hop = session.next_hop
    honest = Update(
        session.query,
        session.attempt,
        hop,
        session.items,
        digest(900 + hop),
        digest(700 + hop),
        digest(701 + hop),
        session.trail,
    )
    by = account(hop + 1 if signer is None else signer)
    return sign_update(by, DOMAIN, replace(honest, **changes), SALTS[hop], LINKS[hop + 1])


def relayed(session: Session, hops: RelayedHops, count: int) -> Session:
    """The session after so many honest updates were taken in."""
    for _ in range(count):
        hops.add(hops.read(signed_for(hops.view(session))))
    return hops.view(session)


def state_of(*sessions: Session) -> LedgerState:
    """A ledger with these queries."""
    return LedgerState(sessions={session.query: session for session in sessions})
