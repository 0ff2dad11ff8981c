"""Front-running: an outsider sees a transaction in the pool and gets another one mined before it.

Who: anybody who watches the pool; a block producer.
Wants: to take the credit for an entry, to have its author lose its turn, to make a batch of leaves fail, to carry
an entry in a way that spoils the audit.
Stopped by: DR-23, DR-14 (an entry is its signer's, whoever carries it), DR-63 (the audit reads inputs as the
ledger does), I-2.
Outcome: refused: the author's work counts, once, and the ring goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from web3.types import TxReceipt

from assurance.adversary.outcomes import refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.ring.deploy import fund_actors
from deepring_chain.types import QueryPhase, RingMode
from tests.chain.names import account_named, address_of
from tests.waiting import FOREVER

MALLORY = account_named("mallory in the pool")


class Stolen(Exception):
    """The transaction was taken before it was sent."""


def steal_next(ring: SteppedRing, name: str) -> bytes:
    """What an actor was about to send: Mallory sees it in the pool, and it never arrives."""
    client: Any = ring.member(name).client
    sender, taken = client._sender, list[bytes]()

    def take(_to: str, data: bytes, *_options: Any) -> None:
        taken.append(data)
        raise Stolen

    sender.send = take
    try:
        with pytest.raises(Stolen):
            ring.step(name)
    finally:
        del sender.send
    return taken[0]


def send(ring: SteppedRing, data: bytes, account: LocalAccount = MALLORY, to: str | None = None) -> TxReceipt:
    """Mallory's own transaction, for which she pays."""
    web3 = ring.client().web3
    fund_actors(web3, ring.devnet.url, [address_of(account)])
    transaction: Any = {
        "to": to or ring.deployment.ledger,
        "data": data,
        "gas": 5_000_000,
        "gasPrice": 2 * web3.eth.gas_price,
        "nonce": web3.eth.get_transaction_count(account.address),
        "chainId": web3.eth.chain_id,
    }
    sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    return web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)


def forwarder(ring: SteppedRing) -> str:
    """A contract of Mallory's that hands on what it is called with: calldatacopy, call, return."""
    runtime = _forwarding_code(bytes.fromhex(ring.deployment.ledger[2:]))
    init = bytes([0x60, len(runtime), 0x60, 0x0C, 0x60, 0x00, 0x39, 0x60, len(runtime), 0x60, 0x00, 0xF3]) + runtime
    web3 = ring.client().web3
    fund_actors(web3, ring.devnet.url, [address_of(MALLORY)])
    made: Any = {
        "data": init,
        "gas": 1_000_000,
        "gasPrice": 2 * web3.eth.gas_price,
        "nonce": web3.eth.get_transaction_count(MALLORY.address),
        "chainId": web3.eth.chain_id,
    }
    sent = web3.eth.send_raw_transaction(MALLORY.sign_transaction(made).raw_transaction)
    return str(web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)["contractAddress"])


def _forwarding_code(target: bytes) -> bytes:
    """EVM: memory[0..] = calldata; if call(gas, target, 0, 0, calldatasize, 0, 0) then stop else invalid."""
    copy = bytes.fromhex("36 5f 5f 37".replace(" ", ""))  # calldatasize 0 0 calldatacopy
    call = bytes.fromhex("5f5f365f5f73") + target + bytes.fromhex("5af1")
    end = len(copy) + len(call)
    return copy + call + bytes([0x60, end + 4, 0x57, 0xFE, 0x5B, 0x00])


def directly(_ring: SteppedRing, data: bytes) -> tuple[bytes, str | None]:
    return data, None


def with_a_tail(_ring: SteppedRing, data: bytes) -> tuple[bytes, str | None]:
    """Calldata that goes on after the arguments: the ledger ignores it."""
    return data + b"\xff" * 40_000, None


def through_a_contract(ring: SteppedRing, data: bytes) -> tuple[bytes, str | None]:
    return data, forwarder(ring)


WAYS = [directly, with_a_tail, through_a_contract]


@refused
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_entry_that_mallory_carries_counts_for_its_signer_and_spoils_no_audit(
    attacked: SteppedRing, way: Callable[[SteppedRing, bytes], tuple[bytes, str | None]]
) -> None:
    query = attacked.ask_up_to(2)
    data, to = way(attacked, steal_next(attacked, "worker-2"))
    assert send(attacked, data, to=to)["status"] == 1
    assert attacked.update_of(query, 2).signer == attacked.member("worker-2").keys.address
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_complaint_and_query_that_others_carry_spoil_no_audit(
    attacked: SteppedRing, way: Callable[[SteppedRing, bytes], tuple[bytes, str | None]]
) -> None:
    """Anybody may ask, in any wording of the call; the audit reads it as the ledger did."""
    selector_and_words = attacked.client()._contract.encode_abi("submitQuery", args=[b"\x01" * 32, b"\x02" * 32])
    data, to = way(attacked, bytes.fromhex(selector_and_words[2:]))
    assert send(attacked, data, to=to)["status"] == 1
    attacked.settle()
    assert attacked.audit().failure is None


@refused
def test_batch_of_leaves_is_posted_although_one_of_them_was_posted_before_it(attacked: SteppedRing) -> None:
    """The whole batch is refused for the one that is there already; the rest is posted in another one."""
    attacked.arrange()
    attacked.settle("ouroboros")
    worker = attacked.worker("worker-2")
    attacked.now += 3
    assert worker.act()
    attacked.settle()
    assert attacked.state.mode is RingMode.QUERY


@refused
def test_batch_of_leaves_that_mallory_carries_first_is_no_loss(attacked: SteppedRing) -> None:
    attacked.arrange()
    for name in attacked.names[1:]:
        attacked.step(name)
    data = steal_next(attacked, "ouroboros")
    assert send(attacked, data)["status"] == 1
    attacked.settle()
    assert attacked.state.mode is RingMode.QUERY


@refused
def test_entry_with_too_little_gas_is_mallorys_loss(attacked: SteppedRing) -> None:
    """She copies it with less gas than it takes: it reverts at her expense, and the author's own goes through."""
    query = attacked.ask_up_to(2)
    data = steal_next(attacked, "worker-2")
    web3 = attacked.client().web3
    fund_actors(web3, attacked.devnet.url, [address_of(MALLORY)])
    transaction: Any = {
        "to": attacked.deployment.ledger,
        "data": data,
        "gas": 36_000,
        "gasPrice": 2 * web3.eth.gas_price,
        "nonce": web3.eth.get_transaction_count(MALLORY.address),
        "chainId": web3.eth.chain_id,
    }
    sent = web3.eth.send_raw_transaction(MALLORY.sign_transaction(transaction).raw_transaction)
    assert web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)["status"] == 0
    assert attacked.session(query).phase is QueryPhase.ROUTED
    attacked.expect_answered(query)


@refused
def test_events_of_a_look_alike_contract_are_nobodys(attacked: SteppedRing) -> None:
    """Mallory's contract emits the ledger's own event, with its topics, in the ring's blocks."""
    model = next(logged for logged in attacked.events())
    web3 = attacked.client().web3
    (log, *_) = web3.eth.get_logs({"blockHash": bytes(model.block_hash), "address": attacked.deployment.ledger})  # type: ignore[typeddict-item]
    before = attacked.state.model
    code = _emitting_code(bytes(log["topics"][0]), bytes(log["topics"][1]), bytes(log["data"]))
    made: Any = {
        "data": code,
        "gas": 2_000_000,
        "gasPrice": 2 * web3.eth.gas_price,
        "nonce": web3.eth.get_transaction_count(MALLORY.address),
        "chainId": web3.eth.chain_id,
    }
    fund_actors(web3, attacked.devnet.url, [address_of(MALLORY)])
    sent = web3.eth.send_raw_transaction(MALLORY.sign_transaction(made).raw_transaction)
    receipt = web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)
    assert [entry["topics"][0] for entry in receipt["logs"]] == [log["topics"][0]]
    attacked.settle()
    assert attacked.state.model == before
    assert attacked.audit().failure is None


def _emitting_code(topic: bytes, indexed: bytes, data: bytes) -> bytes:
    """EVM, run once as a constructor: memory = data; log2(0, size, topic, indexed); stop."""
    words = [data[at : at + 32].ljust(32, b"\0") for at in range(0, len(data), 32)]
    stores = b"".join(
        b"\x7f" + word + b"\x61" + (32 * at).to_bytes(2, "big") + b"\x52" for at, word in enumerate(words)
    )
    return stores + b"\x7f" + indexed + b"\x7f" + topic + b"\x61" + len(data).to_bytes(2, "big") + b"\x5f\xa2\x00"
