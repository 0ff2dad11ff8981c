"""One account's transactions on a real Anvil: side by side, lost, stuck, and with nonces that nobody uses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.types import RPCEndpoint, TxReceipt

from deepring_chain.chain import pending
from deepring_chain.chain import sender as module
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import NoHeads, connect
from deepring_chain.chain.deployment import deploy_ledger
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.pending import PendingTransactions
from deepring_chain.chain.subscription import follow_heads
from tests.chain.names import account_named, address_of, named
from tests.chain.ring_driver import fund
from tests.waiting import FOREVER, wait_until

GWEI = 10**9


class Pool:
    """A node of our own, with the transactions that wait on it."""

    def __init__(self, url: str) -> None:
        self.web3: Web3 = connect(url)
        self.url = url
        self.account = account_named("sender")
        fund(self.web3, [self.account])
        self.ledger, _ = deploy_ledger(self.web3, url, self.account, address_of(self.account))
        self.client().register_model(named("root"), named("card"), 3)

    def call(self, method: str, *parameters: Any) -> Any:
        return self.web3.provider.make_request(RPCEndpoint(method), list(parameters))["result"]

    def stop_mining(self) -> None:
        self.call("evm_setAutomine", False)

    def go_on(self) -> None:
        self.call("evm_setAutomine", True)
        self.mine()

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.call("evm_mine")

    def drop(self, transaction: HexBytes) -> None:
        assert self.call("anvil_dropTransaction", transaction.to_0x_hex()) is not None

    def nonce(self, block: str = "latest") -> int:
        return self.web3.eth.get_transaction_count(self.account.address, block)  # type: ignore[arg-type]

    def waiting(self) -> int:
        """How many transactions are in the node's pool."""
        status = self.call("txpool_status")
        return int(status["pending"], 16) + int(status["queued"], 16)

    def client(self, account: LocalAccount | None = None) -> LedgerClient:
        """A process of its own, as far as the sender is concerned."""
        return LedgerClient.over(connect(self.url), self.url, self.ledger, account or self.account)

    def pending(self) -> PendingTransactions:
        return PendingTransactions(connect(self.url), self.account)

    def transfer(self) -> dict[str, Any]:
        return {"to": self.account.address, "value": 0, "data": "0x", "gas": 21_000}


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Devnet() as devnet:
        yield Pool(devnet.url)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEND_SECONDS", 0.2)
    monkeypatch.setattr(module, "LONGEST_MEND", 0.2)


def submit(client: LedgerClient, number: int) -> TxReceipt:
    return client.submit_query(named(f"input {number}"), named(f"key {number}"))[1]


def submit_many(pool: Pool, threads: ThreadPoolExecutor, count: int) -> list[Future[TxReceipt]]:
    client = pool.client()
    return [threads.submit(submit, client, number) for number in range(count)]


def nonces(pool: Pool, receipts: list[TxReceipt]) -> list[int]:
    return sorted(pool.web3.eth.get_transaction(receipt["transactionHash"])["nonce"] for receipt in receipts)


@pytest.mark.parametrize("is_announced", [True, False], ids=["subscription", "polling"])
def test_transactions_do_not_wait_for_each_other(pool: Pool, is_announced: bool) -> None:
    """Eight are in the pool before the first is mined, and one block takes them all."""
    first = pool.nonce()
    client = pool.client()
    pool.stop_mining()
    with ThreadPoolExecutor(8) as threads, follow_heads(client.web3) as heads:
        wait_until(lambda: heads.is_live)
        if not is_announced:
            client.web3.heads = NoHeads()  # type: ignore[attr-defined]
        sent = [threads.submit(submit, client, number) for number in range(8)]
        wait_until(lambda: pool.waiting() == 8)
        pool.mine()
        receipts = [each.result() for each in sent]
    assert len({receipt["blockNumber"] for receipt in receipts}) == 1
    assert nonces(pool, receipts) == list(range(first, first + 8))


@pytest.mark.usefixtures("_impatient")
def test_dropped_transaction_is_sent_again_and_holds_up_none(pool: Pool) -> None:
    first = pool.nonce()
    pool.stop_mining()
    with ThreadPoolExecutor(3) as threads:
        sent = submit_many(pool, threads, 3)
        wait_until(lambda: pool.waiting() == 3)
        waiting = pool.call("txpool_content")["pending"][pool.account.address.lower()]
        pool.drop(HexBytes(waiting[str(first)]["hash"]))
        assert pool.waiting() == 0  # Anvil drops what comes after it, too
        pool.go_on()
        receipts = [each.result() for each in sent]
    assert nonces(pool, receipts) == [first, first + 1, first + 2]


def test_nonce_that_nobody_uses_any_more_is_filled(pool: Pool) -> None:
    """Its sender gave up, and the node lost it: the one after it would wait for ever."""
    pending, first = pool.pending(), pool.nonce()
    pool.stop_mining()
    lost, later = (pending.submit(pool.transfer()) for _ in range(2))
    pending.close(lost)
    pool.drop(lost.hashes[0])
    pool.go_on()
    pending.mend(later)  # sent again, and queued
    assert pending.receipt(later) is None
    pending.mend(later)
    wait_until(lambda: pending.receipt(later) is not None)
    assert pool.nonce() == first + 2


def test_nonce_that_another_waits_for_is_left_to_it(pool: Pool) -> None:
    pending, first = pool.pending(), pool.nonce()
    pool.stop_mining()
    lost, later = (pending.submit(pool.transfer()) for _ in range(2))
    pool.drop(lost.hashes[0])
    pending.mend(later)
    assert pool.nonce("pending") == first
    pending.mend(lost)
    pool.go_on()
    wait_until(lambda: pending.receipt(later) is not None)
    assert pending.receipt(lost) is not None


def test_transaction_that_offers_too_little_is_replaced(pool: Pool) -> None:
    pending = pool.pending()
    pool.stop_mining()
    sent = pending.submit(pool.transfer())
    for _ in range(3):
        pool.call("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
        pool.mine()
    assert pending.receipt(sent) is None
    pending.mend(sent)
    pool.mine()
    wait_until(lambda: pending.receipt(sent) is not None)
    assert len(sent.hashes) == 2


def test_transaction_that_only_has_to_wait_is_left_alone(pool: Pool) -> None:
    """No block has come: a higher fee would buy nothing."""
    pending = pool.pending()
    pool.stop_mining()
    sent = pending.submit(pool.transfer())
    for _ in range(5):
        pending.mend(sent)
    assert len(sent.hashes) == 1
    assert pool.waiting() == 1


def test_either_version_of_a_replaced_transaction_counts(pool: Pool) -> None:
    pending = pool.pending()
    pool.stop_mining()
    sent = pending.submit(pool.transfer())
    first = sent.hashes[0]
    sent.hashes.insert(0, HexBytes(b"\7" * 32))
    pool.go_on()
    wait_until(lambda: pending.receipt(sent) is not None)
    receipt = pending.receipt(sent)
    assert receipt is not None
    assert receipt["transactionHash"] == first


@pytest.mark.usefixtures("_impatient")
def test_nonce_that_another_process_took_is_no_loss(pool: Pool) -> None:
    """Both saw the same pool; the other's transaction replaced this one, which is sent anew."""
    client = pool.client()
    pool.stop_mining()
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(submit, client, 1)
        wait_until(lambda: pool.waiting() == 1)
        taken = pool.transfer() | {"nonce": pool.nonce(), "chainId": pool.web3.eth.chain_id}
        offer = {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": 10 * GWEI, "type": 2}
        pool.web3.eth.send_raw_transaction(pool.account.sign_transaction(taken | offer).raw_transaction)
        pool.go_on()
        receipt = sent.result()
    assert receipt["status"] == 1
    assert nonces(pool, [receipt]) == [taken["nonce"] + 1]


def test_several_processes_of_one_account_get_in_each_others_way_without_harm(pool: Pool) -> None:
    first, begun = pool.nonce(), threading.Barrier(3)

    def run(process: int) -> list[TxReceipt]:
        client = pool.client()
        begun.wait()
        return [submit(client, 10 * process + number) for number in range(5)]

    with ThreadPoolExecutor(3) as threads:
        receipts = [receipt for found in threads.map(run, range(3)) for receipt in found]
    assert nonces(pool, receipts) == list(range(first, first + 15))


def test_gap_from_before_a_restart_is_closed_by_what_is_sent_next(pool: Pool) -> None:
    """The process died with two transactions under way, and the node lost the first of them."""
    before, first = pool.pending(), pool.nonce()
    queued = before._send(pool.transfer(), first + 1, 10 * GWEI, GWEI)
    client = pool.client()
    receipts = [submit(client, number) for number in range(3)]
    assert nonces(pool, receipts) == [first, first + 2, first + 3]
    assert before.receipt(queued) is not None


def test_chain_that_was_set_back_is_no_gap(pool: Pool) -> None:
    client = pool.client()
    snapshot = pool.call("evm_snapshot")
    submit(client, 1)
    submit(client, 2)
    assert pool.call("evm_revert", snapshot) is True
    nonce = pool.nonce()
    assert nonces(pool, [submit(client, 3)]) == [nonce]


def test_three_requests_take_a_transaction_from_its_estimate_to_its_receipt(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the nonce is a fourth one where no other transaction is under way."""
    for name in ("QUIET_SECONDS", "MEND_SECONDS", "LONGEST_MEND"):
        monkeypatch.setattr(module, name, FOREVER)  # nobody asks a second time because the machine is busy
    monkeypatch.setattr(pending, "FEE_SECONDS", FOREVER)
    client = pool.client()
    submit(client, 1)
    asked: list[str] = []
    provider: Any = client.web3.provider
    ask = provider._make_request

    def count(method: str, request: bytes) -> Any:
        asked.append(method)
        return ask(method, request)

    with follow_heads(client.web3) as heads:
        wait_until(lambda: heads.is_live)
        monkeypatch.setattr(provider, "_make_request", count)
        submit(client, 2)
    assert asked == [
        "eth_estimateGas",
        "eth_getTransactionCount",
        "eth_sendRawTransaction",
        "eth_getTransactionReceipt",
    ]
