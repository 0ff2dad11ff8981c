"""A chain in memory with the events of one ledger; it can be set back as by a reorganization."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.protocol.events import (
    Event,
    LoggedEvent,
    ModelRegistered,
    RestoreOrdered,
    RingArranged,
    WorkerAdmitted,
)
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.types import Address, ArrangementId, BlockHash, Digest, Domain, ModelRoot, Pointer, SealingKey

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))

START = 1_700_000_000
"""Unix time of the block before the first one."""


@dataclass
class FakeLedger:
    """Blocks with one call and a second each; `fork` tells the chains apart that a reorganization leaves behind."""

    ouroboros: Address
    logged: list[LoggedEvent] = field(default_factory=list)
    hashes: list[Digest] = field(default_factory=lambda: [Digest(bytes(32))])
    times: list[int] = field(default_factory=lambda: [START])
    now: int = START
    fork: int = 0

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    @property
    def state(self) -> LedgerState:
        found = LedgerState()
        found.apply_all(self.logged)
        return found

    def recorded_last(self, arrangement: ArrangementId) -> BlockHash:
        """The hash that the ring must end with, after the restores so far."""
        found = BlockHash(Digest(bytes(32)))
        for entry in self.logged:
            if isinstance(entry.event, RingArranged) and entry.event.arrangement == arrangement:
                found = entry.event.recorded_hash
            if isinstance(entry.event, RestoreOrdered) and entry.event.arrangement == arrangement:
                found = entry.event.recorded_last
        return found

    def emit(self, *events: Event) -> None:
        """A new block with these events, each in a log of its own."""
        self.emit_logs(*((event,) for event in events))

    def emit_logs(self, *logs: Sequence[Event]) -> None:
        """A new block with these logs; that of a run makes several events."""
        number = self.height + 1
        self.now += 1
        self.times.append(self.now)
        self.hashes.append(Digest(hashlib.sha256(f"{self.fork}/{number}".encode()).digest()))
        for place, events in enumerate(logs):
            for part, event in enumerate(events):
                self.logged.append(LoggedEvent(event, number, self.hashes[-1], self.hashes[-1], place, part))

    def announcement(self, number: int) -> BlockPlace:
        """What a node announces of a block."""
        return BlockPlace(number, self.hashes[number], self.hashes[number - 1], self.times[number])

    def set_back(self, height: int) -> None:
        """Drops the blocks above `height`; those that follow have other hashes."""
        self.fork += 1
        del self.hashes[height + 1 :], self.times[height + 1 :]
        self.logged = [entry for entry in self.logged if entry.block_number <= height]

    def set_up(self, card: Pointer, layers: int, keys: dict[Address, SealingKey]) -> None:
        """Registers a model and admits members."""
        self.emit(ModelRegistered(1, ModelRoot(Digest(bytes(32))), card, layers))
        self.emit(*(WorkerAdmitted(address, key) for address, key in keys.items()))
