"""The auditor's view of the chain: blocks linked by hashes that it computes, and roots that bind what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from eth_typing import ChecksumAddress, HexStr
from hexbytes import HexBytes
from web3.types import LogReceipt

from deepring_chain.audit.names import subject_of
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.events import EventDecoder
from deepring_chain.chain.raw_block import (
    Header,
    MalformedBlock,
    RawBlock,
    RawLog,
    RawTransaction,
    ordered_root,
    parse_header,
    parse_logs,
    parse_transaction,
)
from deepring_chain.errors import ChainError
from deepring_chain.protocol.audit_step import AuditFailure, Place, show
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.types import Digest

NAMED_SUBJECTS = 4
"""So many queries or seats are named when a block's root is wrong, and nothing tells which of them it is."""


class BlockSource(Protocol):
    """Where blocks come from: a node or a file."""

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """All blocks from `first` on; those that can hold a log of the ledger with transactions and receipts."""

    def hash_of(self, number: int) -> Digest | None:
        """Hash of a block, computed from its header; None if there is no such block."""

    @property
    def head(self) -> int:
        """The newest block, as far as known: what no longer changes is read there."""


@dataclass(frozen=True)
class LinkedBlock:
    """A block whose header is the one that its hash names and whose parent is the block before.

    Attributes:
        header: parsed.
        raw: its bytes.
        transactions: by index; empty where nobody needed them.
        logs: of the ledger.
    """

    header: Header
    raw: RawBlock
    transactions: tuple[RawTransaction, ...]
    logs: tuple[RawLog, ...]

    @property
    def place(self) -> BlockPlace:
        """Number and hash."""
        return BlockPlace(self.header.number, self.header.block_hash)

    def by_hash(self) -> Mapping[Digest, RawTransaction]:
        """The transactions by their hashes."""
        return {transaction.transaction_hash: transaction for transaction in self.transactions}


class LinkedBlocks:
    """Reads blocks, and checks that they are one chain.

    Args:
        client: the ledger.
        source: where the blocks come from.
        first_block: number of the first one.
        last: the block before it, if that was read already.

    Attributes:
        last: the last block that was read.
        count: how many were read.
    """

    def __init__(
        self, client: LedgerClient, source: BlockSource, first_block: int, last: BlockPlace | None = None
    ) -> None:
        self._ledger = client.domain.ledger
        self._source = source
        self._first_block = first_block
        self._decoder = event_decoder(client)
        self.last = last
        self.count = 0

    def read(self) -> Iterator[LinkedBlock]:
        """All blocks, in order.

        Raises:
            AuditFailure: a block is not the one that its hash names, or does not name its predecessor.
            ChainError: the source fails, or has no such block.
        """
        first = self._first_block if self.last is None else self.last.number + 1
        for raw in self._source.blocks(first):
            header = self._link(raw, first + self.count)
            self.last = BlockPlace(header.number, header.block_hash)
            self.count += 1
            yield self._open(raw, header)

    def events(self, block: LinkedBlock) -> Iterator[LoggedEvent]:
        """The ledger's events in a block, in order.

        Raises:
            AuditFailure: a log of the ledger is none of its events, or malformed.
        """
        for log in block.logs:
            place = Place(block.header.number, _transaction_hash(block, log), log.log_index)
            try:
                logged = self._decoder.decode(_receipt(block, log))
            except ChainError as error:
                name = f"log {log.log_index}"
                raise AuditFailure(f"block {place.block_number}", name, "an event", str(error), place) from None
            yield from logged

    def _link(self, raw: RawBlock, expected: int) -> Header:
        subject, place = f"block {expected}", Place(expected)
        try:
            header = parse_header(raw.header)
        except MalformedBlock as error:
            raise AuditFailure(subject, "header", "a header in RLP", str(error), place) from None
        if header.block_hash != raw.claimed_hash:
            computed, claimed = show(header.block_hash), show(raw.claimed_hash)
            raise AuditFailure(subject, "hash", f"{computed}, the hash of its header", claimed, place)
        if (header.number, raw.number) != (expected, expected):
            raise AuditFailure(subject, "number", str(expected), str(header.number), place)
        if self.last is not None and header.parent_hash != self.last.block_hash:
            found = show(header.parent_hash)
            raise AuditFailure(subject, "parentHash", show(self.last.block_hash), found, place)
        return header

    def _open(self, raw: RawBlock, header: Header) -> LinkedBlock:
        if raw.transactions is None or raw.receipts is None:
            if header.may_log(self._ledger):
                wanted = "those of a block whose bloom filter has the ledger"
                raise AuditFailure(f"block {raw.number}", "receipts", wanted, "none", Place(raw.number))
            return LinkedBlock(header, raw, (), ())
        try:
            transactions = tuple(parse_transaction(item) for item in raw.transactions)
            logs = tuple(log for log in parse_logs(raw.receipts) if log.address == self._ledger)
        except MalformedBlock as error:
            raise AuditFailure(
                f"block {raw.number}",
                "transactions or receipts",
                "as its header has them",
                str(error),
                Place(raw.number),
            ) from None
        return LinkedBlock(header, raw, transactions, logs)


def event_decoder(client: LedgerClient) -> EventDecoder:
    """Decodes the ledger's logs."""
    address = cast(ChecksumAddress, client.domain.ledger)
    return EventDecoder(client.web3.eth.contract(address=address, abi=load_artifact().abi), client.domain)


def check_roots(block: LinkedBlock, events: list[LoggedEvent]) -> int:
    """Compares a block's transactions and receipts with what its header, and so its hash, says of them.

    Args:
        block: the block.
        events: the ledger's in it: they name the subject when it fails.

    Returns:
        How many roots were compared.

    Raises:
        AuditFailure: something in the block is not what was mined.
    """
    raw, header = block.raw, block.header
    if raw.transactions is None or raw.receipts is None:
        return 0
    subject = _subjects(block, events)
    for name, items, expected in (
        ("transactionsRoot", raw.transactions, header.transactions_root),
        ("receiptsRoot", raw.receipts, header.receipts_root),
    ):
        found = ordered_root(items)
        if found != expected:
            kinds = ", ".join(dict.fromkeys(type(logged.event).__name__ for logged in events)) or "no event"
            field = f"{kinds} ({name} of block {header.number})"
            raise AuditFailure(subject, field, show(expected), show(found), Place(header.number))
    return 2


def _subjects(block: LinkedBlock, events: list[LoggedEvent]) -> str:
    names = list(dict.fromkeys(subject_of(logged.event) for logged in events))
    shown = " or ".join(names[:NAMED_SUBJECTS]) or f"block {block.header.number}"
    return shown if len(names) <= NAMED_SUBJECTS else f"{shown} or {len(names) - NAMED_SUBJECTS} more"


def _transaction_hash(block: LinkedBlock, log: RawLog) -> Digest | None:
    if log.transaction < len(block.transactions):
        return block.transactions[log.transaction].transaction_hash
    return None


def _receipt(block: LinkedBlock, log: RawLog) -> LogReceipt:
    """The log in the form of a node's answer."""
    transaction = _transaction_hash(block, log)
    if transaction is None:
        raise ChainError("a receipt without a transaction")
    return cast(
        LogReceipt,
        {
            "address": HexStr(log.address),
            "topics": [HexBytes(topic) for topic in log.topics],
            "data": HexBytes(log.data),
            "blockNumber": block.header.number,
            "blockHash": HexBytes(block.header.block_hash),
            "transactionHash": HexBytes(transaction),
            "transactionIndex": log.transaction,
            "logIndex": log.log_index,
            "removed": False,
        },
    )
