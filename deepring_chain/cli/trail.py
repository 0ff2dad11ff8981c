"""`deepring trail`: who signed what, when, for how much."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from deepring_chain.actors.history import HistoryEntry, read_history
from deepring_chain.actors.ring_folder import RingFolder
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.clients import member_names, open_reader
from deepring_chain.cli.console import OUT
from deepring_chain.cli.tables import new_table
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
from deepring_chain.protocol.events import RingArranged, query_of
from deepring_chain.types import QueryId

DIGITS = 6
"""Hex digits of a digest in a query's table."""


def trail(
    query: Annotated[int | None, typer.Argument(min=1, help="Show this query only, hop by hop.")] = None,
    ring: RingOption = DEFAULT_RING,
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
    folder = RingFolder(ring)
    deployment = folder.load_deployment()
    entries = read_history(open_reader(deployment), deployment.first_block)
    if query is not None and not any(query_of(entry.event) == query for entry in entries):
        raise ConfigError(f"query {query}: the ledger {deployment.ledger} has no such query")
    chosen = [entry for entry in entries if query is None or query_of(entry.event) == query]
    if as_json:
        OUT.print_json(json.dumps([plain(entry) for entry in chosen]))
    else:
        print_trail(chosen, member_names(folder))
    if timing and query is not None:
        print_timing(folder, QueryId(query))


def print_trail(entries: Sequence[HistoryEntry], names: Names) -> None:
    """Prints tables: one per arrangement and one per query, in their order of appearance."""
    if not entries:
        OUT.print("the ledger is empty")
    for arranged in [entry for entry in entries if isinstance(entry.event, RingArranged)]:
        number = arrangement_of(arranged.event)
        OUT.print(arrangement_table(arranged, [e for e in entries if arrangement_of(e.event) == number], names))
    for query in query_ids(entries):
        OUT.print(query_table(query, [e for e in entries if query_of(e.event) == query], names))


def arrangement_table(arranged: HistoryEntry, entries: Sequence[HistoryEntry], names: Names) -> Table:
    """Seats of one arrangement: leaf, block hash (eq. 1-2), and the flag that the ledger derived."""
    table = new_table("", "seat", "block", "UTC", "attested by", "leaf", "block hash", "gas")
    if isinstance(arranged.event, RingArranged):
        notes = short(arranged.event.notes)
        table.title = f"\narrangement {arranged.event.arrangement}: gas {arranged.gas:,}, notes {notes}"
    for row in seat_rows(entries, names):
        derived = short(row.block_hash) if row.block_hash else "-"
        cells = [str(row.position), *_place(row.entry), row.worker, short(row.leaf), derived, _gas(row.gas)]
        table.add_row(*cells)
    table.caption = escape("\n".join(arrangement_remarks(entries, names)))
    return table


def query_table(query: QueryId, entries: Sequence[HistoryEntry], names: Names) -> Table:
    """One query's hops: signer, pointer to the blob, commitments O and H (eq. 6, 8), trail hash after it, gas."""
    names_of_columns = ("hop", "block", "UTC", "signed by", "pointer", "output", "next", "trail", "gas")
    table = new_table(f"\nquery {query}", *names_of_columns)
    for row in query_rows(entries, names):
        if row is not None:
            table.add_row(*_query_cells(row))
    table.caption = "\n".join([gas_summary(total_gas(entries), shared_gas(entries)), *delays(entries)])
    return table


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
