"""`make audit-scale`: a trail of 10,000 updates on a fast devnet, audited; rate and memory are printed.

Queries of a ring of nine workers, with real signatures, routes and blobs, are mined some hundred transactions to the
block; then a process of its own audits through the node, and says how much memory it takes on the way.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.audit.auditor import audit
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.chain.raw_block import RawBlock
from deepring_chain.crypto.digest import sha256
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.trail import start_trail
from deepring_chain.store.content import ContentStore
from deepring_chain.types import (
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    QueryPhase,
    Question,
)
from tests.chain.clock import Clock
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, address_of, fund, named
from tests.chain.stored_ring import StoredQuery, StoredRing, envelope_of

WORKERS = 9
UPDATES_PER_QUERY = WORKERS + 1
QUERIES_PER_BLOCK = 10
GAS = 400_000
GAS_PRICE = 5 * 10**9
MAX_GROWTH = 24 * 2**20
"""Bytes by which memory may grow from a quarter of the way to its end: less than 2 kB for each update."""


@dataclass
class Batch:
    """Signed transactions of one account that wait for the next block."""

    web3: Web3
    account: LocalAccount
    ledger: Address
    nonce: int
    waiting: list[bytes] = field(default_factory=list)

    def add(self, data: str) -> None:
        """Signs a call of the ledger."""
        transaction: dict[str, Any] = {
            "to": self.ledger,
            "data": data,
            "nonce": self.nonce,
            "gas": GAS,
            "gasPrice": GAS_PRICE,
            "value": 0,
            "chainId": 31337,
        }
        self.waiting.append(bytes(self.account.sign_transaction(transaction).raw_transaction))
        self.nonce += 1

    def mine(self, node: NodeBlocks) -> None:
        """Puts all that waits into one block.

        Raises:
            RuntimeError: the node left one out.
        """
        for raw in self.waiting:
            node.request("eth_sendRawTransaction", f"0x{raw.hex()}")
        node.request("evm_mine")
        mined = node.request("eth_getBlockTransactionCountByNumber", "latest")
        if int(mined, 16) != len(self.waiting):
            raise RuntimeError(f"{len(self.waiting)} transactions sent, {int(mined, 16)} mined")
        self.waiting.clear()


class BatchClient(LedgerClient):
    """Adds calls to a batch instead of waiting for each; anyone may carry what others signed."""

    batch: Batch

    def _send(self, function: str, *arguments: object, extra_gas: int = 0, fixed_gas: int | None = None) -> Any:
        del extra_gas, fixed_gas
        self.batch.add(self._contract.encode_abi(function, list(arguments)))


class BatchLedger(Ledger):
    """Gives everyone the same batching client."""

    client: BatchClient

    def by(self, account: LocalAccount) -> LedgerClient:
        """The client with which `account` sends."""
        del account
        return self.client


class FastStore(ContentStore):
    """Writes without waiting for the disk."""

    def put(self, data: bytes) -> Pointer:
        """Stores bytes."""
        digest = Pointer(sha256(data))
        path = Path(self.url) / digest.hex()[:2] / digest.hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest


@dataclass
class FastQuery(StoredQuery):
    """A query that follows its state without asking the ledger: the clock stands still."""

    now: int = field(kw_only=True)
    is_open: bool = field(default=False, kw_only=True)

    @property
    def state(self) -> QueryState:
        """As the script goes."""
        if not self.is_open:
            submitted = QueryPhase.SUBMITTED
            return QueryState(submitted, Attempt(0), Hop(0), 0, 0, self.now, NO_ROUTE, NO_OUTPUT, self.trail)
        is_computed = self.hop == len(self.signers)
        phase, touched = (QueryPhase.COMPUTED, 0) if is_computed else (QueryPhase.ROUTED, self.now)
        expected = self.output(self.hop) if self.hop else ZERO
        link, items = self.links[self.hop], self.items
        return QueryState(
            phase,
            self.attempt,
            self.hop,
            items,
            1,
            touched,
            link,
            OutputCommitment(expected),
            self.trail,
        )

    def open_route(self) -> FastQuery:
        """Commits the route."""
        super().open_route()
        self.is_open = True
        return self


@dataclass
class FastRing(StoredRing):
    """A ring that stores fast and submits without asking the ledger.

    Attributes:
        now: Unix time of every block.
        queries: how many were asked.
    """

    now: int = 0
    queries: int = 0

    @property
    def store(self) -> ContentStore:
        """The store."""
        return FastStore(str(self.folder))

    def ask(self) -> FastQuery:
        """Opens the next query."""
        self.queries += 1
        pointer, key = self.put("input", envelope_of(f"input {self.queries}")), named("querent's key")
        self.ring.owner_client._send("submitQuery", pointer, key)
        question = Question(pointer, key, self.now)
        trail = start_trail(QueryId(self.queries), address_of(self.ring.owner), question)
        return FastQuery(self.ring, QueryId(self.queries), trail, self.ring.owner, stored=self, now=self.now)


def make_trail(devnet: Devnet, folder: Path, queries: int) -> Ledger:
    """Mines so many whole queries.

    Returns:
        The ledger.
    """
    owner, querent = account_named("owner"), account_named("querent")
    workers = tuple(account_named(f"worker {layer}") for layer in range(1, WORKERS + 1))
    web3 = connect(devnet.url)
    fund(web3, [owner, *workers, querent])
    fund(web3, [owner] * 10)
    ledger = Ledger.deploy(web3, devnet.url, owner)
    StoredRing(ScriptedRing(ledger, owner, workers), folder, querent).register().arrange().ring.attest(
        *range(4, WORKERS + 1)
    )
    fast = BatchLedger(web3, devnet.url, ledger.address, ledger.first_block)
    fast.client = BatchClient.open(devnet.url, ledger.address, owner)  # type: ignore[assignment]
    fast.client.batch = Batch(web3, owner, ledger.address, web3.eth.get_transaction_count(owner.address))
    clock = Clock(web3)
    clock.stop()
    ring = FastRing(ScriptedRing(fast, owner, workers), folder, querent, now=clock.now)
    node = NodeBlocks(web3, devnet.url, ledger.address)
    node.request("evm_setAutomine", False)
    for number in range(1, queries + 1):
        ring.ask().compute().deliver()
        if number % QUERIES_PER_BLOCK == 0 or number == queries:
            fast.client.batch.mine(node)
    return ledger


# ---------------------------------------------------------------------- the audit, in a process of its own
class Watched(NodeBlocks):
    """A node's blocks; tells memory and time a quarter, half and all the way."""

    def watch(self, first: int, last: int) -> None:
        """Asks for marks on the way from block `first` to block `last`."""
        self.marks = [first + (last - first) * part // 4 for part in (1, 2, 3, 4)]
        self.sizes: list[int] = []

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """All blocks."""
        for block in super().blocks(first):
            yield block
            if block.number in self.marks:
                self.sizes.append(resident_bytes())
                print(f"  block {block.number:6}: {self.sizes[-1] / 2**20:6.1f} MiB resident", flush=True)


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def audit_watched(url: str, address: str, first: int, store: str) -> int:
    """Audits, prints rate and memory; exit code 1 if it fails or memory grows."""
    client = LedgerClient.open(url, Address(address))
    source = Watched(client.web3, url, client.domain.ledger, whole_at=first)
    source.watch(first, source.newest())
    began, used = time.perf_counter(), time.process_time()
    report = audit(client, ContentStore(store), first, source=source)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    if report.failure is not None:
        print(f"the audit failed: {report.failure}")
        return 1
    updates = report.trail.events["UpdatePosted"]
    events = sum(report.trail.events.values())
    growth, peak = source.sizes[-1] - source.sizes[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{updates} updates, {events} events, {sum(report.blobs.values())} blobs, {report.blocks} blocks passed")
    print(f"{seconds:.1f} s, of which {cpu:.1f} s on the CPU: {updates / seconds:.0f} updates/s")
    print(f"memory from a quarter of the way to the end: {growth / 2**20:+.1f} MiB; peak {peak:.1f} MiB")
    return 0 if growth <= MAX_GROWTH else 1


def main(arguments: list[str] | None = None) -> int:
    """Makes the trail and has it audited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--audit", nargs=4, metavar=("URL", "LEDGER", "FIRST", "STORE"))
    given = parser.parse_args(arguments)
    if given.audit:
        url, address, first, store = given.audit
        return audit_watched(url, address, int(first), store)
    with tempfile.TemporaryDirectory() as folder, Devnet() as devnet:
        began = time.perf_counter()
        ledger = make_trail(devnet, Path(folder) / "store", -(-given.updates // UPDATES_PER_QUERY))
        print(f"trail made in {time.perf_counter() - began:.1f} s", flush=True)
        place = [devnet.url, ledger.address, str(ledger.first_block), str(Path(folder) / "store")]
        command = [sys.executable, "-m", "tests.chain.audit_scale", "--audit", *place]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
