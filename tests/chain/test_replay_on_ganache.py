"""One history on two implementations of the EVM: the raw transactions of an Anvil, sent to a Ganache.

A query's state binds the times of its steps, so every block is mined with the time that it had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import pytest
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.types import RPCEndpoint

from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.protocol.events import Event, HopTimedOut, QueryWithdrawn
from deepring_chain.types import QueryPhase
from tests.chain.expect import refused
from tests.chain.query_driver import settle_whole
from tests.chain.ring_driver import Ledger, ScriptedRing, fund, named
from tests.waiting import FOREVER

pytestmark = pytest.mark.ganache


def live(ring: ScriptedRing, querent: LocalAccount) -> None:
    """Every kind of transaction that needs no waiting: queries answered, judged, rejected; a block restored."""
    ring.make_authentic()
    ring.submit(querent).compute().deliver()
    ring.arrange()
    ring.attest(2, 0)
    ring.attest(3, 1)
    ring.submit(querent).dispute().judge()
    ring.submit(querent).reject()
    resumed = ring.submit(querent).open_route().advance(3)
    resumed.complain()
    resumed.judge()
    resumed.resume(2)
    resumed.advance(4).deliver()
    settle_whole(*(ring.submit(querent).open_route() for _ in range(2)))
    ring.tamper(1, 3)
    ring.order_restore(1)
    ring.report(1)
    ring.attest(1)


def raw_transactions(web3: Web3, first_block: int) -> Iterator[tuple[int, HexBytes]]:
    """Each with the time of its block."""
    for number in range(first_block, web3.eth.block_number + 1):
        block = web3.eth.get_block(number)
        for transaction in block["transactions"]:
            yield block["timestamp"], web3.eth.get_raw_transaction(transaction)  # type: ignore[arg-type]


def pass_time(web3: Web3, seconds: int) -> None:
    for method, arguments in (("evm_increaseTime", [seconds]), ("evm_mine", [])):
        web3.provider.make_request(RPCEndpoint(method), arguments)


def replay(web3: Web3, transactions: list[tuple[int, HexBytes]]) -> None:
    """Mines each in a block of its own."""
    web3.provider.make_request(RPCEndpoint("miner_stop"), [])
    for time, transaction in transactions:
        sent = web3.eth.send_raw_transaction(transaction)
        web3.provider.make_request(RPCEndpoint("evm_mine"), [time])
        receipt = web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)
        assert receipt["status"] == 1
        assert web3.eth.get_block(receipt["blockNumber"])["timestamp"] == time


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
        assert {type(event) for event in events} == set(get_args(Event)) - {HopTimedOut, QueryWithdrawn}
        states = [again.query(query) for query in range(1, 7)]
        phases = [QueryPhase.DELIVERED, QueryPhase.INTERRUPTED, QueryPhase.REJECTED, *[QueryPhase.DELIVERED] * 3]
        assert [state.phase for state in states] == phases
        assert states == [ledger.query(query) for query in range(1, 7)]
        assert [again.word(query) for query in range(1, 7)] == [ledger.word(query) for query in range(1, 7)]


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
        query = ring.submit(querent)
        ring.arrange()
        ring.attest(0, 1, 2, 3)
        query.open_route().advance(1)
        pass_time(web3, 61)
        assert [type(event) for event in ring.ledger.events(query.time_out())] == [HopTimedOut]
        pass_time(web3, 601)
        assert [type(event) for event in ring.ledger.events(query.withdraw())] == [QueryWithdrawn]
