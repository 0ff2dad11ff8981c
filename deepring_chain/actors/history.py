"""The ledger's events with their times and gas, for people who want to see what happened."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import Event, LoggedEvent
from deepring_chain.types import Digest


@dataclass(frozen=True)
class HistoryEntry:
    """An event, when it was mined (Unix seconds), and the gas of its whole transaction."""

    logged: LoggedEvent
    time: int
    gas: int

    @property
    def event(self) -> Event:
        """The record."""
        return self.logged.event


def read_history(client: LedgerClient, first_block: int) -> list[HistoryEntry]:
    """All events so far, oldest first."""
    times: dict[int, int] = {}
    gas: dict[Digest, int] = {}
    entries = []
    for logged in client.events(first_block, client.head().number):
        if logged.block_number not in times:
            times[logged.block_number] = client.block_time(logged.block_number)
        if logged.transaction_hash not in gas:
            gas[logged.transaction_hash] = client.gas_used(logged.transaction_hash)
        entries.append(HistoryEntry(logged, times[logged.block_number], gas[logged.transaction_hash]))
    return entries
