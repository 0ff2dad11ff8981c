"""The ledger's events with their times and gas, for people who want to see what happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import Event, LoggedEvent, query_of
from deepring_chain.types import Digest, QueryId

BLOCKS_AT_ONCE = 500
"""Blocks that are read before what they hold can be shown."""


@dataclass(frozen=True)
class HistoryEntry:
    """An event, and what its block and its transaction tell.

    Attributes:
        time: when it was mined, Unix seconds.
        gas: of the whole transaction.
        queries: how many queries the transaction is about: one can settle the hops of several.
    """

    logged: LoggedEvent
    time: int
    gas: int
    queries: int

    @property
    def event(self) -> Event:
        """The record."""
        return self.logged.event


class HistoryReader:
    """Reads the history piece by piece, each event once.

    Attributes:
        cursor: the last block that was read; None before the first.
        newest: number of the newest block when it was last asked for.
    """

    def __init__(self, client: LedgerClient, first_block: int) -> None:
        self._client = client
        self._first_block = first_block
        self.cursor: BlockPlace | None = None
        self.newest = 0

    def is_gone(self) -> bool:
        """Whether the last block that was read is no longer on the chain: then all must be read anew."""
        head, cursor = self._client.head(), self.cursor
        if cursor is None or head == cursor:
            return False
        return head.number <= cursor.number or self._client.block_at(cursor.number) != cursor

    def read(self) -> Iterator[list[HistoryEntry]]:
        """What came since, in pieces of `BLOCKS_AT_ONCE` blocks, oldest first; the cursor moves with each.

        Raises:
            ChainError: the node fails; the next call goes on from the last piece.
        """
        head = self._client.head()
        self.newest = head.number
        start = self._first_block if self.cursor is None else self.cursor.number + 1
        while start <= head.number:
            end = min(start + BLOCKS_AT_ONCE - 1, head.number)
            entries = self._read_piece(start, end)
            self.cursor = head if end == head.number else self._client.block_at(end)
            yield entries
            start = end + 1

    def _read_piece(self, start: int, end: int) -> list[HistoryEntry]:
        times: dict[int, int] = {}
        gas: dict[Digest, int] = {}
        entries = []
        found = self._client.events(start, end)
        about = _queries_of(found)
        for logged in found:
            if logged.block_number not in times:
                times[logged.block_number] = self._client.block_time(logged.block_number)
            if logged.transaction_hash not in gas:
                gas[logged.transaction_hash] = self._client.gas_used(logged.transaction_hash)
            transaction = logged.transaction_hash
            entries.append(HistoryEntry(logged, times[logged.block_number], gas[transaction], len(about[transaction])))
        return entries


def _queries_of(found: Iterable[LoggedEvent]) -> dict[Digest, set[QueryId]]:
    """The queries that each transaction is about."""
    about: dict[Digest, set[QueryId]] = {}
    for logged in found:
        about.setdefault(logged.transaction_hash, set())
        query = query_of(logged.event)
        if query is not None:
            about[logged.transaction_hash].add(query)
    return about


def read_history(client: LedgerClient, first_block: int) -> list[HistoryEntry]:
    """All events so far, oldest first."""
    return [entry for piece in HistoryReader(client, first_block).read() for entry in piece]
