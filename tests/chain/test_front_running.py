"""Mallory copies a signed update out of the pool and gets it mined before its worker's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.types import RPCEndpoint, TxData

from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.types import QueryPhase
from tests.chain.ring_driver import ScriptedQuery
from tests.waiting import FOREVER, wait_until


@pytest.fixture
def pool(chain: Web3) -> Iterator[Callable[[], list[TxData]]]:
    """Transactions wait until `evm_mine`; gives those that wait."""
    chain.provider.make_request(RPCEndpoint("evm_setAutomine"), [False])
    yield lambda: list(chain.eth.get_block("pending", full_transactions=True)["transactions"])  # type: ignore[arg-type]
    chain.provider.make_request(RPCEndpoint("evm_setAutomine"), [True])


def wait_for_one(pool: Callable[[], list[TxData]]) -> TxData:
    return wait_until(pool, "a transaction in the pool")[0]


def copy_with_higher_fee(web3: Web3, seen: TxData, mallory: LocalAccount) -> HexBytes:
    tip = 10 * seen["maxPriorityFeePerGas"]
    transaction: dict[str, Any] = {
        "to": seen["to"],
        "gas": seen["gas"],
        "data": seen["input"],
        "nonce": web3.eth.get_transaction_count(mallory.address),
        "chainId": web3.eth.chain_id,
        "maxFeePerGas": seen["maxFeePerGas"] + tip,
        "maxPriorityFeePerGas": tip,
    }
    return web3.eth.send_raw_transaction(mallory.sign_transaction(transaction).raw_transaction)


def test_worker_is_told_that_its_hop_is_taken_and_the_query_goes_on(
    query: ScriptedQuery, pool: Callable[[], list[TxData]], chain: Web3, mallory: LocalAccount
) -> None:
    client, signed, state = query.ring.ledger.by(query.signer), query.sign(query.update()), query.state
    with ThreadPoolExecutor(1) as thread:
        own = thread.submit(client.post, state, signed)
        copied = copy_with_higher_fee(chain, wait_for_one(pool), mallory)
        chain.provider.make_request(RPCEndpoint("evm_mine"), [])
        assert chain.eth.wait_for_transaction_receipt(copied, FOREVER, 0.01)["status"] == 1
        with pytest.raises(LedgerReverted, match="UnexpectedState") as caught:
            own.result()
        assert caught.value.arguments["expected"] == query.ring.ledger.word(1)
    assert query.state.phase == QueryPhase.ROUTED
    assert query.state.hop == 1
