"""Gas of every kind of transaction, for a ring of five layers as in the paper; `make gas` writes gas_snapshot.json.

Keys, names and the ledger's address are the same in every run, and so is every byte of calldata: the figures are exact.
"""

from __future__ import annotations

import json
from pathlib import Path

from web3 import Web3
from web3.types import RPCEndpoint, TxReceipt

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.types import MAX_LAYERS
from tests.chain.query_driver import deliver_all, settle, settle_whole
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, fund, named

PATH = Path(__file__).with_name("gas_snapshot.json")
LAYERS = 5
BATCHES = (1, 4, 16, 64)
BEGINNING = 1_800_000_000
"""Unix time of the first block: times are on the trail, so that they count for the calldata's zeros."""


CODE_LIMIT = 24_576
"""Bytes of code that an account may have (EIP-170)."""

KEPT_FREE = 1_024
"""Bytes that stay free for mending; whatever is new goes into a contract of its own."""

TRANSACTION_GAS = 2**24
"""Gas that a transaction may have at most (EIP-7825)."""


def code_size() -> int:
    """Bytes of the ledger's code on the chain."""
    return len(load_artifact().deployed_bytecode)


def measure_largest() -> dict[str, int]:
    """Gas of what has to be one transaction, for the largest ring that the ledger takes."""
    with Devnet() as node:
        web3, owner = connect(node.url), account_named("owner")
        workers = tuple(account_named(f"worker {layer}") for layer in range(1, MAX_LAYERS + 1))
        fund(web3, [owner])
        ring = ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, workers)
        ring.register_model()
        receipts = {
            "admit all": ring.admit(),
            "arrange": ring.arrange(),
            "attest, all leaves": ring.attest(*range(MAX_LAYERS + 1)),
        }
        ring.tamper(1)
        receipts["order a restore"] = ring.order_restore(1)
        again = ring.attestation(1)
        signatures = [ring.sign_attestation(again)]
        receipts["attest, all folded again"] = ring.owner_client.attest([again], signatures, MAX_LAYERS + 1)
        hashes = {name: receipt["transactionHash"] for name, receipt in receipts.items()}
        return {name: web3.eth.get_transaction(digest)["gas"] for name, digest in hashes.items()}


def measure() -> dict[str, int]:
    """Gas used, by what was done, in the order of a ring's life."""
    with Devnet() as node:
        web3 = connect(node.url)
        _stop_the_clock(web3)
        owner, querent = account_named("owner"), account_named("querent")
        workers = tuple(account_named(f"worker {layer}") for layer in range(1, LAYERS + 1))
        fund(web3, [owner, querent, *workers])
        ring = ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, workers)
        receipts = {**_setting_up(ring), **_queries(ring), **_disputes(ring), **_liveness(ring)}
        receipts |= _batches(ring) | _restores(ring)
        gas = {"deploy the ledger": _deployment_gas(web3, ring.ledger)}
        gas.update({name: receipt["gasUsed"] for name, receipt in receipts.items()})
    asked = gas["submit a query"] + gas["open a route"]
    gas["a whole query of 5 layers, posted hop by hop"] = asked + _hops(gas) + gas["deliver"]
    for count in BATCHES:
        updates = count * (LAYERS + 1)
        gas[f"each update, {count} queries settled together"] = gas[f"settle the hops of {count} queries"] // updates
        settled = gas[f"settle {count} queries, hops and answers"] // count
        gas[f"a whole query of 5 layers, {count} settled together"] = asked + settled
    return gas


def _stop_the_clock(web3: Web3) -> None:
    """Every block has the time of the one before, from the same second on in every run."""
    web3.provider.make_request(RPCEndpoint("evm_setNextBlockTimestamp"), [BEGINNING])
    web3.provider.make_request(RPCEndpoint("anvil_setBlockTimestampInterval"), [0])


def _deployment_gas(web3: Web3, ledger: Ledger) -> int:
    (transaction,) = web3.eth.get_block(ledger.first_block)["transactions"]
    return web3.eth.get_transaction_receipt(transaction)["gasUsed"]  # type: ignore[arg-type]


def _hops(gas: dict[str, int]) -> int:
    return gas["post update, hop 0"] + (LAYERS - 1) * gas["post update, middle hop"] + gas["post update, last hop"]


def _setting_up(ring: ScriptedRing) -> dict[str, TxReceipt]:
    receipts = {
        "register a model": ring.register_model(),
        "admit 6 accounts": ring.admit(),
        "arrange 6 seats, first time": ring.arrange(),
        "attest, leaf that is next in the ring": ring.attest(0),
        "attest, leaf that waits for another": ring.attest(2),
    }
    ring.attest(3, 4, 5)
    receipts["attest, leaf that folds 5 seats"] = ring.attest(1)
    receipts["arrange 6 seats, again"] = ring.arrange()
    receipts["attest, 6 leaves in one transaction"] = ring.attest(*range(6))
    return receipts


def _queries(ring: ScriptedRing) -> dict[str, TxReceipt]:
    querent = account_named("querent")
    client = ring.ledger.by(querent)
    receipts = {"submit the first query": client.submit_query(named("first"), named("key"))[1]}
    query = ring.submit(querent)
    receipts["submit a query"] = client.submit_query(named("third"), named("key"))[1]
    receipts["open a route"] = ring.owner_client.open_route(
        query.query, query.state, query.links[0], named("notes"), query.items
    )
    receipts["post update, hop 0"] = query.post()
    query.advance(2)
    receipts["post update, middle hop"] = query.post()
    query.advance(LAYERS)
    receipts["post update, last hop"] = query.post()
    receipts["deliver"] = query.deliver()
    receipts["reject a query"] = ring.submit(querent).reject()
    return receipts


def _batches(ring: ScriptedRing) -> dict[str, TxReceipt]:
    """Each query's hops as one run, and several queries in one transaction; then with the answers."""
    querent, receipts = account_named("querent"), {}
    for count in BATCHES:
        queries = [ring.submit(querent).open_route() for _ in range(count)]
        receipts[f"settle the hops of {count} queries"] = settle(*queries)
        receipts[f"deliver {count} answers"] = deliver_all(*queries)
        queries = [ring.submit(querent).open_route() for _ in range(count)]
        receipts[f"settle {count} queries, hops and answers"] = settle_whole(*queries)
    return receipts


def _disputes(ring: ScriptedRing) -> dict[str, TxReceipt]:
    querent = account_named("querent")
    query, delivered = ring.submit(querent).open_route().advance(2), ring.submit(querent).compute()
    receipts = {
        "post update, other output than expected": query.contradict(),
        "deliver, other output than expected": delivered.deliver(output=named("another output")),
        "judge": query.judge(),
        "resume a route, 2 entries later": query.resume(2),
    }
    query.advance(3)
    receipts["complain, as a layer"] = query.complain()
    query.judge()
    receipts["resume a route, 6 entries later"] = query.resume(1)
    receipts["complain, as the ouroboros"] = query.advance(LAYERS + 1).complain()
    query.judge()
    receipts["open a route again"] = query.reopen()
    return receipts


def _liveness(ring: ScriptedRing) -> dict[str, TxReceipt]:
    overdue, unanswered = (ring.submit(account_named("querent")).open_route() for _ in range(2))
    return {
        "time out": overdue.advance(1).let_time_out(),
        "withdraw a query": unanswered.wait_and_withdraw(),
    }


def _restores(ring: ScriptedRing) -> dict[str, TxReceipt]:
    ring.tamper(1, 5)
    return {
        "order a restore, seat 1 of 6": ring.order_restore(1),
        "attest after it, 5 seats are folded again": ring.attest(1),
        "order a restore, seat 5 of 6": ring.order_restore(5),
        "report a restore": ring.report(5),
        "attest after it, 1 seat is folded again": ring.attest(5),
    }


def main() -> None:
    """Writes the snapshot and prints it."""
    gas = measure()
    PATH.write_text(json.dumps(gas, indent=1) + "\n", encoding="utf-8")
    for name, used in gas.items():
        print(f"{used:>12,}  {name}")
    print(f"the largest ring, {MAX_LAYERS} layers: gas limit of each transaction, {TRANSACTION_GAS:,} at most")
    for name, limit in measure_largest().items():
        print(f"{limit:>12,}  {name}")
    size = code_size()
    print(f"the ledger's code: {size:,} of {CODE_LIMIT:,} bytes, {CODE_LIMIT - size:,} free ({KEPT_FREE:,} stay free)")


if __name__ == "__main__":
    main()
