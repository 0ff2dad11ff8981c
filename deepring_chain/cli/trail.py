"""`deepring trail`: who signed what, when, for how much."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any

import typer

from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.clients import member_names, open_reader
from deepring_chain.cli.console import OUT, print_line
from deepring_chain.cli.tables import Sheet, print_sheet
from deepring_chain.cli.timing import print_timing
from deepring_chain.errors import ConfigError
from deepring_chain.explorer.rows import (
    QueryRow,
    arrangement_of,
    arrangement_remarks,
    delays,
    gas_summary,
    query_ids,
    query_rows,
    seat_rows,
    shared_gas,
    total_gas,
)
from deepring_chain.explorer.text import Names, short, utc
from deepring_chain.follow.history import HistoryEntry, read_history
from deepring_chain.protocol.events import RingArranged, query_of
from deepring_chain.ring.folder import RingFolder
from deepring_chain.types import QueryId

DIGITS = 6
"""Hex digits of a digest in a query's table."""


def trail(
    query: Annotated[int | None, typer.Argument(min=1, help="Show this query only, hop by hop.")] = None,
    ring: RingOption = DEFAULT_RING,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Show only the newest so many arrangements and queries.")
    ] = None,
    as_json: JsonOption = False,
    timing: Annotated[
        bool, typer.Option("--timing", help="Also show where the query's time went, from the actors that run here.")
    ] = False,
) -> None:
    """Show the public trail: arrangements with their block hashes, queries with every signed hop, and gas.

    Digests are shortened in tables; --json has them whole, with every signature.
    """
    if timing and (query is None or as_json):
        raise ConfigError("--timing: name one query, without --json: `deepring trail 1 --timing`")
    if last is not None and query is not None:
        raise ConfigError("--last: of all queries; leave it out, or the query's id")
    folder = RingFolder(ring)
    deployment = folder.load_deployment()
    entries = read_history(open_reader(deployment), deployment.first_block)
    if query is not None and not any(query_of(entry.event) == query for entry in entries):
        raise ConfigError(f"query {query}: the ledger {deployment.ledger} has no such query")
    chosen = [entry for entry in entries if query is None or query_of(entry.event) == query]
    if last is not None:
        chosen = newest(chosen, last)
    if as_json:
        OUT.print_json(json.dumps([plain(entry) for entry in chosen]))
    else:
        print_trail(chosen, member_names(folder))
    if timing and query is not None:
        print_timing(folder, QueryId(query))


def print_trail(entries: Sequence[HistoryEntry], names: Names) -> None:
    """Print tables: one per arrangement and one per query, in their order of appearance."""
    if not entries:
        print_line("the ledger is empty")
    for arranged in [entry for entry in entries if isinstance(entry.event, RingArranged)]:
        number = arrangement_of(arranged.event)
        print_sheet(arrangement_sheet(arranged, [e for e in entries if arrangement_of(e.event) == number], names))
    for query in query_ids(entries):
        print_sheet(query_sheet(query, [e for e in entries if query_of(e.event) == query], names))


def newest(entries: Sequence[HistoryEntry], count: int) -> list[HistoryEntry]:
    """What belongs to the last `count` arrangements and to the last `count` queries."""
    numbers = [arrangement_of(entry.event) for entry in entries if isinstance(entry.event, RingArranged)]
    arrangements, queries = set(numbers[-count:]), set(query_ids(entries)[-count:])
    return [e for e in entries if arrangement_of(e.event) in arrangements or query_of(e.event) in queries]


def arrangement_sheet(arranged: HistoryEntry, entries: Sequence[HistoryEntry], names: Names) -> Sheet:
    """Seats of one arrangement: leaf, block hash (eq. 1-2), and the flag that the ledger derived."""
    title = ""
    if isinstance(arranged.event, RingArranged):
        title = f"arrangement {arranged.event.arrangement}: gas {arranged.gas:,}, notes {short(arranged.event.notes)}"
    rows = []
    for row in seat_rows(entries, names):
        derived = short(row.block_hash) if row.block_hash else "-"
        rows.append([str(row.position), *_place(row.entry), row.worker, short(row.leaf), derived, _gas(row.gas)])
    columns = ("seat", "block", "UTC", "attested by", "leaf", "block hash", "gas")
    return Sheet(columns, rows, title, arrangement_remarks(entries, names), ("UTC", "block"))


def query_sheet(query: QueryId, entries: Sequence[HistoryEntry], names: Names) -> Sheet:
    """One query's hops: signer, pointer to the blob, commitments O and H (eq. 6, 8), trail hash after it, gas."""
    columns = ("hop", "block", "UTC", "signed by", "pointer", "output", "next", "trail", "gas")
    rows = [_query_cells(row) for row in query_rows(entries, names) if row is not None]
    remarks = [gas_summary(total_gas(entries), shared_gas(entries)), *delays(entries)]
    return Sheet(columns, rows, f"query {query}", remarks, ("UTC", "pointer", "trail", "block", "gas"))


def _query_cells(row: QueryRow) -> list[str]:
    found = [row.output.show(DIGITS), row.next_output.show(DIGITS)]
    pointer, after = (short(digest, DIGITS) if digest else "" for digest in (row.pointer, row.trail))
    return [row.place, *_place(row.entry), row.signer, pointer, *found, after, _gas(row.gas)]


def _place(entry: HistoryEntry) -> list[str]:
    return [str(entry.logged.block_number), utc(entry.time)]


def _gas(gas: int | None) -> str:
    return "" if gas is None else f"{gas:,}"


def plain(value: Any) -> Any:
    """Dataclasses, bytes and enums as JSON values; records carry their kind."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__, **{f.name: plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value
