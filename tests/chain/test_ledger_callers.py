"""The ledger judges by who calls it: a contract is not whoever signed the transaction that reached it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import QuerySubmitted, QueryWithdrawn
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import ZERO, Address, Position, QueryPhase, Question, RejectReason, SealingKey
from tests.chain.clock import Clock
from tests.chain.expect import refused
from tests.chain.indirect import deploy_forwarder, redirect
from tests.chain.names import address_of, named, sealing_key_of
from tests.chain.query_driver import ITEMS
from tests.chain.ring_driver import Ledger, ScriptedQuery, ScriptedRing

OwnersCall = Callable[[ScriptedRing, LedgerClient, ScriptedQuery], object]

OWNERS: dict[str, OwnersCall] = {
    "registerModel": lambda _ring, client, _query: client.register_model(named("root"), named("card"), 3),
    "admitWorkers": lambda ring, client, _query: client.admit_workers(
        [ring.seat_addresses[1]], [sealing_key_of(ring.seats[1])]
    ),
    "arrange": lambda ring, client, _query: client.arrange(ring.seat_addresses, named("hash"), named("notes")),
    "openRoute": lambda _ring, client, query: client.open_route(
        query.query, query.state, query.links[0], named("notes"), ITEMS
    ),
    "rejectQuery": lambda _ring, client, query: client.reject_query(query.query, query.state, RejectReason.RING_FAULTY),
    "orderRestore": lambda ring, client, _query: client.order_restore(
        Position(1), ring.leaves(1)[1:], named("renewed"), named("parameters")
    ),
}
"""What only the ouroboros may do, as its own account would call it."""


@pytest.fixture
def forwarder(chain: Web3) -> Address:
    """A contract that anyone may send through."""
    return deploy_forwarder(chain)


def through(forwarder: Address, ledger: Ledger, account: LocalAccount) -> LedgerClient:
    """A client whose transactions `account` signs and the contract carries out."""
    client = LedgerClient.over(ledger.web3, ledger.url, ledger.address, account)
    redirect(client, forwarder)
    return client


@pytest.mark.parametrize("function", OWNERS)
def test_contract_that_the_owner_calls_is_not_the_owner(
    ring: ScriptedRing, querent: LocalAccount, forwarder: Address, function: str
) -> None:
    """Attack: a contract that the owner uses for something else calls the ledger, too (phishing by tx.origin)."""
    query = ring.submit(querent)
    client = through(forwarder, ring.ledger, ring.owner)
    with refused("NotOuroboros", ouroboros=ring.owner.address, caller=forwarder):
        OWNERS[function](ring, client, query)


def test_contract_that_a_worker_calls_cannot_report_for_it(ring: ScriptedRing, forwarder: Address) -> None:
    """Attack: it would use the worker's only report on the restore up."""
    ring.tamper(2).order_restore(2)
    worker = ring.seats[2]
    with refused("NotSeated", arrangement=2, position=2, expected=worker.address, caller=forwarder):
        through(forwarder, ring.ledger, worker).report_restore(Position(2), "nothing")
    ring.report(2)


def test_contract_that_a_querent_calls_cannot_withdraw_its_query(
    query: ScriptedQuery, forwarder: Address, clock: Clock
) -> None:
    """Attack: a contract that the querent uses for something else gives up its query."""
    ledger = query.ring.ledger
    clock.advance(ledger.read("withdrawSeconds") + 1)
    trail = start_trail(query.query, forwarder, query.question)
    with refused("UnexpectedTrail", query=query.query, expected=query.state.trail, actual=trail):
        through(forwarder, ledger, query.querent).withdraw_query(
            query.query, query.state, query.question, query.history
        )
    query.withdraw()


def test_contract_asks_and_withdraws_in_its_own_name(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount, forwarder: Address, clock: Clock
) -> None:
    """A wallet that is a contract is a querent like others; who signed its transactions is not."""
    ledger = ring.ledger
    client = through(forwarder, ledger, querent)
    query, receipt = client.submit_query(named("input"), named("key"))
    (submitted,) = ledger.events(receipt)
    question = Question(named("input"), named("key"), ledger.time_of(receipt))
    assert isinstance(submitted, QuerySubmitted)
    assert (submitted.querent, submitted.trail) == (forwarder, start_trail(query, forwarder, question))
    clock.advance(ledger.read("withdrawSeconds") + 1)
    state = ledger.query(query)
    with refused(
        "UnexpectedTrail",
        query=query,
        expected=submitted.trail,
        actual=start_trail(query, address_of(querent), question),
    ):
        ledger.by(querent).withdraw_query(query, state, question, [])
    events = ledger.events(through(forwarder, ledger, mallory).withdraw_query(query, state, question, []))
    assert events == [QueryWithdrawn(query)]
    assert ledger.query(query).phase is QueryPhase.WITHDRAWN


def test_contract_without_a_key_is_told_by_its_own_name(
    ring: ScriptedRing, querent: LocalAccount, forwarder: Address
) -> None:
    with refused("ZeroSealingKey", worker=forwarder):
        through(forwarder, ring.ledger, querent).submit_query(named("input"), SealingKey(ZERO))
