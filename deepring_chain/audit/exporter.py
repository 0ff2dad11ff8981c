"""Writing a ledger's raw history to a file, so that it can be audited when the node is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.audit.chain import LinkedBlock, LinkedBlocks
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.export_file import ExportedBlock, ExportPlace, ExportWriter
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.chain.raw_block import RawBlock, parse_header
from deepring_chain.errors import ChainError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    Event,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RingArranged,
    WorkerAdmitted,
)
from deepring_chain.types import Address, Digest, QueryId

CONSTANTS = ("ouroboros", "hopSeconds", "withdrawSeconds")


@dataclass(frozen=True)
class Exported:
    """What was written: the range, how many events, and the last block's hash, by which a copy can be known."""

    first_block: int
    last_block: int
    last_hash: Digest
    events: int


def export(client: LedgerClient, first_block: int, path: Path, on_block: Callable[[int], None]) -> Exported:
    """Writes all blocks from the ledger's deployment to the newest one.

    Args:
        client: the ledger, through a node.
        first_block: the block of its deployment.
        path: the file; it appears when it is whole.
        on_block: told the number of each block that was written.

    Raises:
        ChainError: the node fails, its blocks are not one chain, or the file cannot be written.
    """
    return _Export(client, first_block).write(path, on_block)


class _Export:
    def __init__(self, client: LedgerClient, first_block: int) -> None:
        self._client = client
        self._blocks = NodeBlocks(client.web3, client.url, client.domain.ledger, whole_at=first_block)
        self._first, self._last = first_block, self._blocks.newest()
        if not 0 <= first_block <= self._last:
            raise ChainError(
                f"{client.url}: no block {first_block}, the newest is {self._last}; name the deployment's block"
            )
        contract = client.web3.eth.contract(abi=load_artifact().abi)
        self._encode = contract.encode_abi
        self._open: set[QueryId] = set()
        self._workers: set[Address] = set()
        self._seats = 0
        self._events = 0

    def write(self, path: Path, on_block: Callable[[int], None]) -> Exported:
        place = self._place()
        writer = ExportWriter(path, place)
        try:
            linked = LinkedBlocks(self._client, _Until(self._blocks, self._last), self._first)
            for block in linked.read():
                writer.add(ExportedBlock(block.raw, self._reads_after(linked, block)))
                on_block(block.header.number)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        return Exported(self._first, self._last, place.last_hash, self._events)

    def _place(self) -> ExportPlace:
        ledger = self._client.domain.ledger
        code = self._blocks.request("eth_getCode", ledger, hex(self._last))
        last = parse_header(self._blocks.block(self._last).header).block_hash
        reads = dict(self._read(name) for name in CONSTANTS)
        chain_id = self._client.domain.chain_id
        return ExportPlace(chain_id, ledger, self._first, self._last, last, bytes.fromhex(code[2:]), reads)

    def _reads_after(self, linked: LinkedBlocks, block: LinkedBlock) -> dict[str, str]:
        """What the audit asks for after this block: a query that ended in it; after the last block all that is open."""
        ended: set[QueryId] = set()
        for logged in linked.events(block):
            self._events += 1
            self._observe(logged.event, ended)
        self._open -= ended
        reads = dict(self._read("stateOf", query) for query in sorted(ended))
        if block.header.number == self._last:
            reads |= dict(self._final())
        return reads

    def _observe(self, event: Event, ended: set[QueryId]) -> None:
        match event:
            case QuerySubmitted():
                self._open.add(event.query)
            case AnswerDelivered() | QueryRejected() | QueryWithdrawn():
                ended.add(event.query)
            case OutputDisputed():
                ended.discard(event.query)
            case WorkerAdmitted():
                self._workers.add(event.worker)
            case RingArranged():
                self._seats = len(event.seats)

    def _final(self) -> Iterator[tuple[str, str]]:
        for name in ("queryCount", "mode", "model", "arrangement"):
            yield self._read(name)
        for position in range(self._seats):
            yield self._read("seatAt", position)
        for worker in sorted(self._workers):
            yield self._read("sealingKeyOf", worker)
        for query in sorted(self._open):
            yield self._read("stateOf", query)

    def _read(self, name: str, *arguments: object) -> tuple[str, str]:
        """A view's call data, and what it returns at the last block."""
        with node_errors(self._client.url):
            data = str(self._encode(name, list(arguments)))
        call = {"to": self._client.domain.ledger, "data": data}
        return data, str(self._blocks.request("eth_call", call, hex(self._last)))


class _Until:
    """A source that ends with a given block, though the chain goes on."""

    def __init__(self, source: NodeBlocks, last: int) -> None:
        self._source = source
        self.head = last

    def blocks(self, first: int) -> Iterator[RawBlock]:
        for raw in self._source.blocks(first):
            if raw.number > self.head:
                return
            yield raw
            if raw.number == self.head:
                return

    def hash_of(self, number: int) -> Digest | None:
        return self._source.hash_of(number)
