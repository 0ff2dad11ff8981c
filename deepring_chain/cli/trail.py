"""`deepring trail`: who signed what, when, for how much."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from deepring_chain.actors.history import HistoryEntry, read_history
from deepring_chain.actors.ring_folder import RingFolder
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.clients import member_names, open_reader
from deepring_chain.cli.console import OUT, short
from deepring_chain.errors import ConfigError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    query_of,
)
from deepring_chain.types import Address, QueryId

Names = Mapping[Address, str]


def trail(
    query: Annotated[int | None, typer.Argument(min=1, help="Show this query only, hop by hop.")] = None,
    ring: RingOption = DEFAULT_RING,
    as_json: JsonOption = False,
) -> None:
    """Show the public trail: arrangements with their block hashes, queries with every signed hop, and gas.

    Digests are shortened in tables; --json has them whole, with every signature.
    """
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


def print_trail(entries: Sequence[HistoryEntry], names: Names) -> None:
    """Prints tables: one per arrangement and one per query, in their order of appearance."""
    if not entries:
        OUT.print("the ledger is empty")
    for arrangement in _in_order(entry.event.arrangement for entry in entries if isinstance(entry.event, RingArranged)):
        OUT.print(arrangement_table([e for e in entries if _arrangement_of(e) == arrangement], names))
    for query in _in_order(query_of(entry.event) for entry in entries):
        OUT.print(query_table(QueryId(query), [e for e in entries if query_of(e.event) == query], names))


def arrangement_table(entries: Sequence[HistoryEntry], names: Names) -> Table:
    """Seats of one arrangement: leaf, block hash (eq. 1-2), and the flag that the ledger derived."""
    hashes = {e.event.position: e.event.block_hash for e in entries if isinstance(e.event, BlockHashed)}
    table = _new_table("")
    for name in ("seat", "block", "UTC", "attested by", "leaf", "block hash", "gas"):
        table.add_column(name, justify="right" if name in ("seat", "block", "gas") else "left", no_wrap=True)
    for entry in entries:
        match entry.event:
            case RingArranged() as event:
                table.title = f"\narrangement {event.arrangement}: gas {entry.gas:,}, notes {short(event.notes)}"
            case BlockAttested() as event:
                seat = event.attestation.position
                derived = short(hashes[seat]) if seat in hashes else "-"
                table.add_row(
                    *_start(seat, entry, event.worker, names), short(event.attestation.leaf), derived, _gas(entry)
                )
            case AuthenticityDerived() as event:
                verdict = "ON" if event.is_authentic else "OFF"
                recorded, found = short(event.recorded_hash), short(event.recomputed_hash)
                table.caption = f"authenticity {verdict}: recorded {recorded}, derived {found}"
    return table


def query_table(query: QueryId, entries: Sequence[HistoryEntry], names: Names) -> Table:
    """One query's hops: signer, pointer to the blob, commitments O and H (eq. 6, 8), trail hash after it, gas."""
    table = _new_table(f"\nquery {query}")
    for name in ("hop", "block", "UTC", "signed by", "pointer", "output", "next", "trail", "gas"):
        table.add_column(name, justify="right" if name in ("hop", "block", "gas") else "left", no_wrap=True)
    for entry in entries:
        table.add_row(*_query_row(entry, names))
    table.caption = f"gas in all {sum({e.logged.transaction_hash: e.gas for e in entries}.values()):,}"
    return table


def _query_row(entry: HistoryEntry, names: Names) -> list[str]:
    match entry.event:
        case QuerySubmitted() as event:
            cells = [short(event.sealed_input, 6), "", "", short(event.trail, 6)]
            return [*_start("query", entry, event.querent, names, "querent"), *cells, _gas(entry)]
        case RouteOpened() as event:
            return [*_start("route", entry, None, names), short(event.notes, 6), "", "", "", _gas(entry)]
        case UpdatePosted() as event:
            update = event.signed.update
            cells = [
                short(update.envelope, 6),
                short(update.output, 6),
                short(update.next_output, 6),
                short(event.trail, 6),
            ]
            return [*_start(update.hop, entry, event.signer, names), *cells, _gas(entry)]
        case OutputDisputed() as event:
            start = _start(f"dispute {event.hop}", entry, None, names)
            return [*start, "", short(event.actual, 6), f"expected {short(event.expected, 6)}", "", ""]
        case AnswerDelivered() as event:
            cells = [short(event.answer, 6), short(event.output, 6), "", short(event.trail, 6)]
            return [*_start("answer", entry, None, names), *cells, _gas(entry)]
        case QueryRejected() as event:
            return [*_start("rejected", entry, None, names), event.reason.name, "", "", "", _gas(entry)]
    return []


def _start(place: object, entry: HistoryEntry, who: Address | None, names: Names, role: str = "") -> list[str]:
    time = datetime.fromtimestamp(entry.time, timezone.utc).strftime("%H:%M:%S")
    signer = "ouroboros" if who is None else names.get(who) or role or short(who)
    return [str(place), str(entry.logged.block_number), time, signer]


def _new_table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _gas(entry: HistoryEntry) -> str:
    return f"{entry.gas:,}"


def _arrangement_of(entry: HistoryEntry) -> int | None:
    event = entry.event
    if isinstance(event, BlockAttested):
        return event.attestation.arrangement
    return event.arrangement if isinstance(event, RingArranged | BlockHashed | AuthenticityDerived) else None


def _in_order(ids: Any) -> list[int]:
    return [key for key in dict.fromkeys(ids) if key is not None]


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
