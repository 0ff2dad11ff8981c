"""Records from scripted trails: no node, no store, every kind of event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.pages import Context
from deepring_chain.explorer.record import Record
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.protocol.audit_step import Witness
from deepring_chain.protocol.events import query_of
from deepring_chain.types import Address, Digest, QueryId
from tests.unit.protocol.full_trail import full_trail
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_names import OWNER, QUERENT, SEATS, TERMS, WORKERS, Call, place_events
from tests.unit.protocol.trail_script import ScriptedTrail

__all__ = [
    "NAMES", "QUERENT", "SEATS", "TERMS", "WORKERS", "ScriptedQuery", "ScriptedTrail", "changed", "context",
    "entries_of", "full_trail", "record_of", "ring",
]  # fmt: skip

NAMES = {
    Address(OWNER.address): "ouroboros",
    **{Address(worker.address): f"worker-{layer}" for layer, worker in enumerate(WORKERS, 1)},
}

GAS = 70_000


def record_of(script: ScriptedTrail | Sequence[Call]) -> Record:
    """What an explorer that read this trail knows."""
    calls = script.calls if isinstance(script, ScriptedTrail) else script
    record = Record(TERMS)
    for entry, witness in entries_of(calls):
        record.add(entry, witness)
    return record


def entries_of(calls: Sequence[Call]) -> list[tuple[HistoryEntry, Witness]]:
    """A trail as the history has it: each transaction takes the same gas."""
    placed = place_events(calls)
    about: dict[Digest, set[QueryId | None]] = {}
    for logged, _ in placed:
        about.setdefault(logged.transaction_hash, set()).add(query_of(logged.event))
    return [
        (HistoryEntry(logged, witness.time, GAS, len(about[logged.transaction_hash])), witness)
        for logged, witness in placed
    ]


def ring() -> ScriptedTrail:
    """A ring in query mode."""
    return ScriptedTrail().make_authentic()


def context(record: Record, blobs: BlobLooker | None = None) -> Context:
    """What a page shows of a record."""
    return Context(record, NAMES, blobs or BlobLooker(None), where="node 127.0.0.1:8545", version="1")


def changed(record: Record, **changes: object) -> Context:
    """The same with other names, remarks, ..."""
    return replace(context(record), **changes)  # type: ignore[arg-type]
