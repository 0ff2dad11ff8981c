"""One history on two implementations of the EVM: the raw transactions of an Anvil, sent to a Ganache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3

from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.protocol.events import AnswerDelivered, Event, OutputDisputed, UpdatePosted
from deepring_chain.types import QueryPhase
from tests.chain.expect import refused
from tests.chain.ring_driver import Ledger, ScriptedRing, fund, named

pytestmark = pytest.mark.ganache


def live(ring: ScriptedRing, querent: LocalAccount) -> None:
    """Every kind of transaction: one query answered, one disputed, one rejected."""
    ring.make_authentic()
    ring.submit(querent).compute().deliver()
    ring.arrange()
    ring.attest(2, 0)
    ring.attest(3, 1)
    ring.submit(querent).dispute()
    ring.submit(querent).reject()
    ring.arrange(recorded_hash=named("not what the leaves give"))
    ring.attest(0, 1, 2, 3)


def raw_transactions(web3: Web3, first_block: int) -> Iterator[HexBytes]:
    for number in range(first_block, web3.eth.block_number + 1):
        for transaction in web3.eth.get_block(number)["transactions"]:
            yield web3.eth.get_raw_transaction(transaction)  # type: ignore[arg-type]


def replay(web3: Web3, transactions: list[HexBytes]) -> None:
    for transaction in transactions:
        receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(transaction), 20, 0.005)
        assert receipt["status"] == 1


def events_of(client: LedgerClient) -> list[Event]:
    return [logged.event for logged in client.events(0, client.head().number)]


def raw_logs(web3: Web3, ledger: Ledger) -> list[tuple[Sequence[HexBytes], HexBytes]]:
    return [(log["topics"], log["data"]) for log in web3.eth.get_logs({"address": ledger.address, "fromBlock": 0})]  # type: ignore[typeddict-item]


def test_history_of_an_anvil_gives_the_same_ledger_on_a_ganache(
    owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount
) -> None:
    with Devnet("anvil") as anvil, Devnet("ganache", chain_id=anvil.chain_id) as ganache:
        here, there = connect(anvil.url), connect(ganache.url)
        for web3 in (here, there):
            fund(web3, [owner, *workers, querent])
        ledger = Ledger.deploy(here, anvil.url, owner)
        live(ScriptedRing(ledger, owner, workers), querent)
        replay(there, list(raw_transactions(here, ledger.first_block)))
        again = Ledger(there, ganache.url, ledger.address, ledger.first_block)
        assert raw_logs(there, again) == raw_logs(here, ledger)
        events = events_of(again.by(querent))
        assert events == events_of(ledger.by(querent))
        assert {UpdatePosted, AnswerDelivered, OutputDisputed} <= {type(event) for event in events}
        states = [again.read("queryAt", query) for query in (1, 2, 3)]
        assert [state.phase for state in states] == [QueryPhase.DELIVERED, QueryPhase.DISPUTED, QueryPhase.REJECTED]
        assert states == [ledger.read("queryAt", query) for query in (1, 2, 3)]


def test_ring_lives_on_a_ganache_and_its_refusals_are_decoded(
    owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount, mallory: LocalAccount
) -> None:
    with Devnet("ganache") as node:
        web3 = connect(node.url)
        fund(web3, [owner, *workers, querent, mallory])
        ring = ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, workers)
        live(ring, querent)
        with refused("NotOuroboros", ouroboros=owner.address, caller=mallory.address):
            ring.ledger.by(mallory).arrange(ring.seat_addresses, named("recorded"), named("notes"))
