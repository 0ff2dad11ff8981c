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
    EnvelopeDisputed,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
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
    told: list[str] = []
    paid: set[bytes] = set()
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
                # Leaves that were posted together share one transaction: its gas stands at the first.
                gas = "" if entry.logged.transaction_hash in paid else _gas(entry)
                paid.add(entry.logged.transaction_hash)
                leaf = short(event.attestation.leaf)
                table.add_row(*_start(seat, entry, event.worker, names), leaf, derived, gas)
            case AuthenticityDerived() as event:
                flag = "ON" if event.is_authentic else "OFF"
                recorded, found = short(event.recorded_hash), short(event.recomputed_hash)
                told.append(f"authenticity {flag}: recorded {recorded}, derived {found}")
            case RestoreOrdered() as event:
                seated = names.get(event.worker, short(event.worker))
                hashes_told = f"recorded {short(event.recorded_hash)}, derived {short(event.recomputed_hash)}"
                told.append(f"restore ordered for seat {event.position} ({seated}): {hashes_told}; gas {entry.gas:,}")
            case RestoreReported() as event:
                seated = names.get(event.worker, short(event.worker))
                told.append(f"{seated} restored; had changed: {event.changed}")
    table.caption = "\n".join(told)
    return table


def query_table(query: QueryId, entries: Sequence[HistoryEntry], names: Names) -> Table:
    """One query's hops: signer, pointer to the blob, commitments O and H (eq. 6, 8), trail hash after it, gas."""
    table = _new_table(f"\nquery {query}")
    for name in ("hop", "block", "UTC", "signed by", "pointer", "output", "next", "trail", "gas"):
        table.add_column(name, justify="right" if name in ("hop", "block", "gas") else "left", no_wrap=True)
    for row in (_query_row(entry, names) for entry in entries):
        if row:
            table.add_row(*row)
    gas = f"gas in all {sum({e.logged.transaction_hash: e.gas for e in entries}.values()):,}"
    table.caption = "\n".join([gas, *_delays(entries)])
    return table


def _query_row(entry: HistoryEntry, names: Names) -> list[str]:
    match entry.event:
        case QuerySubmitted() as event:
            cells = [short(event.sealed_input, 6), "", "", short(event.trail, 6)]
            return [*_start("query", entry, event.querent, names, "querent"), *cells, _gas(entry)]
        case RouteOpened() as event:
            cells = [short(event.notes, 6), f"from hop {event.first_hop}", "", ""]
            return [*_start(f"route {event.attempt}", entry, None, names), *cells, _gas(entry)]
        case UpdatePosted() as event:
            update = event.signed.update
            digests = (update.envelope, update.output, update.next_output, event.trail)
            return [*_start(update.hop, entry, event.signer, names), *(short(d, 6) for d in digests), _gas(entry)]
        case AnswerDelivered() as event:
            cells = [short(event.answer, 6), short(event.output, 6), "", short(event.trail, 6)]
            return [*_start("answer", entry, None, names), *cells, _gas(entry)]
        case QueryRejected() as event:
            return [*_start("rejected", entry, None, names), "", event.reason.name.lower(), "", "", _gas(entry)]
        case QueryWithdrawn():
            return [*_start("withdrawn", entry, None, names), "", "", "", "", _gas(entry)]
        case _:
            return _trouble_row(entry, names)


def _trouble_row(entry: HistoryEntry, names: Names) -> list[str]:
    match entry.event:
        case OutputDisputed() as event:
            cells = ["", short(event.actual, 6), f"not {short(event.expected, 6)}", "", ""]
            return [*_start(f"dispute {event.hop}", entry, None, names, "the ledger"), *cells]
        case EnvelopeDisputed() as event:
            complaint = event.complaint
            cells = [short(complaint.evidence, 6), complaint.kind.name.lower(), "", short(event.trail, 6), _gas(entry)]
            return [*_start(f"complaint {complaint.hop}", entry, event.recipient, names), *cells]
        case VerdictPosted() as event:
            verdict = event.verdict
            sides = ((verdict.hop - 1, verdict.sender_guilty), (verdict.hop, verdict.receiver_guilty))
            found = [f"hop {hop} {'guilty' if guilty else 'acquitted'}" for hop, guilty in sides]
            cells = [short(verdict.evidence, 6), *found, short(event.trail, 6), _gas(entry)]
            return [*_start(f"verdict {verdict.hop}", entry, None, names), *cells]
        case HopTimedOut() as event:
            return [*_start(f"timeout {event.hop}", entry, None, names, "anyone"), "", "", "", "", _gas(entry)]
        case _:
            return []


def _delays(entries: Sequence[HistoryEntry]) -> list[str]:
    """From each lie to its verdict, by the times of their blocks."""
    posted: dict[int, HistoryEntry] = {}
    found = []
    for entry in entries:
        match entry.event:
            case UpdatePosted() as event:
                posted[event.signed.update.hop] = entry
            case EnvelopeDisputed() as event:
                posted[event.complaint.hop] = entry
            case VerdictPosted() as event:
                verdict = event.verdict
                sides = ((verdict.hop - 1, verdict.sender_guilty), (verdict.hop, verdict.receiver_guilty))
                lies = [posted[hop] for hop, guilty in sides if guilty and hop in posted]
                for lie in lies:
                    blocks = f"block {lie.logged.block_number} to {entry.logged.block_number}"
                    found.append(f"from the lie to the verdict: {entry.time - lie.time} s ({blocks})")
    return found


def _start(place: object, entry: HistoryEntry, who: Address | None, names: Names, role: str = "") -> list[str]:
    time = datetime.fromtimestamp(entry.time, timezone.utc).strftime("%H:%M:%S")
    signer = (role or "ouroboros") if who is None else names.get(who) or role or short(who)
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
    kinds = RingArranged | BlockHashed | AuthenticityDerived | RestoreOrdered | RestoreReported
    return event.arrangement if isinstance(event, kinds) else None


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
