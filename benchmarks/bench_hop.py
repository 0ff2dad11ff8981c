"""One hop of a query against one raw signed transaction on the same node."""

from __future__ import annotations

import time
from statistics import median

from eth_account import Account
from web3 import Web3

from benchmarks.harness import Page, median_ratio, ms, pick, say, take_turns
from benchmarks.rings import SETTLE, Asker, bench_ring
from benchmarks.subjects import dense
from deepring_chain.chain.connection import connect
from deepring_chain.ring.deploy import fund_actors
from deepring_chain.types import Address

POLL_SECONDS = 0.0005


class RawSender:
    """Sends transfers as anybody would: sign, send, wait for the receipt.

    Args:
        url: the node.
    """

    def __init__(self, url: str) -> None:
        self._web3: Web3 = connect(url)
        self._account = Account.create()
        fund_actors(self._web3, url, [Address(self._account.address)])
        self._nonce, self._chain_id = 0, self._web3.eth.chain_id

    def send(self) -> float:
        """Seconds of one."""
        begun = time.perf_counter()
        fields = {
            "to": self._account.address,
            "value": 1,
            "gas": 21_000,
            "nonce": self._nonce,
            "chainId": self._chain_id,
        }
        signed = self._account.sign_transaction({**fields, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9})
        self._web3.eth.wait_for_transaction_receipt(
            self._web3.eth.send_raw_transaction(signed.raw_transaction), 60, POLL_SECONDS
        )
        self._nonce += 1
        return time.perf_counter() - begun


def main() -> None:
    """Measures the dense network with one image."""
    page = Page("hop", "How long is one hop, measured in raw signed transactions on the same node?")
    rows = []
    for settle in SETTLE:
        say(f"dense network, batch 1, settled by {settle}")
        rows.append((settle, *_measure(settle)))
    page.table(
        ("settled by", "raw transaction, ms", "turn, ms", "turn and wait before it, ms", "hop / raw", "query, ms"), rows
    )
    page.text(
        "A raw transaction is a transfer: signed, sent, and its receipt waited for. A turn is what a "
        "worker does for its hop: "
        "open, check, compute two layers, seal, store, sign, post; the wait before it is how long it took to notice. "
        "Medians over all hops of all rounds; transactions and queries take turns."
    )
    page.write()


def _measure(settle: str) -> tuple[str, ...]:
    subject, rounds = dense(), pick(40, 3)
    images = subject.images(1)
    with bench_ring(subject.model, 1, settle) as ring:
        asker, raw = Asker(ring), RawSender(ring.devnet.url)
        found = take_turns({"raw": raw.send, "ring": lambda: asker.ask(images)}, rounds, warm_up=2)
        hops = [timed for timed in asker.turns(rounds) if 0 < timed.turn.hop <= subject.model.card.layers]
    turn = median(timed.turn.seconds for timed in hops)
    whole = median(timed.turn.seconds + timed.waited for timed in hops)
    once = median(found["raw"])
    per_query = subject.model.card.layers + 2
    ratio = f"{whole / once:.2f} (query / {per_query}: {median_ratio(found['ring'], found['raw']) / per_query:.2f})"
    return ms(once), ms(turn), ms(whole), ratio, ms(median(found["ring"]))


if __name__ == "__main__":
    main()
