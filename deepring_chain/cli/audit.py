"""`deepring audit`: everything that public data allow to check, without a key."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from eth_utils import is_address, to_checksum_address

from deepring_chain.actors.auditor import AuditReport
from deepring_chain.actors.auditor import audit as run_audit
from deepring_chain.actors.ring_folder import RingFolder
from deepring_chain.chain.client import LedgerClient
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.clients import open_reader
from deepring_chain.cli.console import OUT
from deepring_chain.errors import ConfigError
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address


def audit(
    ring: RingOption = DEFAULT_RING,
    rpc: Annotated[str | None, typer.Option(help="Audit through the node at this http(s) address.")] = None,
    store: Annotated[str | None, typer.Option(help="Read blobs from this store (any fsspec URL).")] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Audit this ledger, without a ring's folder; needs the other three options.")
    ] = None,
    first_block: Annotated[
        int | None, typer.Option(min=0, help="The block that the ledger was deployed in, or an earlier one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole public record without a key: signatures, route links, hashes, flags, deadlines, pointers.

    Says what was checked, and what cannot be without keys and who can. Exits with 0 only if all of it holds; otherwise
    the first wrong thing is the error.
    """
    if ledger is None and first_block is None:
        report = _audit_ring(RingFolder(ring), rpc, store)
    else:
        report = _audit_ledger(rpc, ledger, store, first_block)
    conclude(report, as_json=as_json)


def conclude(report: AuditReport, *, as_json: bool = False) -> None:
    """Prints the report.

    Raises:
        AuditFailure: the first wrong thing.
    """
    if as_json:
        OUT.print_json(json.dumps(_plain(report)))
    else:
        _print_report(report)
    if report.failure is not None:
        raise report.failure


def _audit_ring(folder: RingFolder, rpc: str | None, store: str | None) -> AuditReport:
    known = folder.load_deployment()
    client = open_reader(known)
    if rpc is not None:
        client = LedgerClient.open(rpc, known.ledger, None, known.chain_id)
    return run_audit(client, ContentStore(store or known.store_url), known.first_block)


def _audit_ledger(rpc: str | None, ledger: str | None, store: str | None, first_block: int | None) -> AuditReport:
    if rpc is None or ledger is None or store is None or first_block is None:
        raise ConfigError("--rpc, --ledger, --store and --first-block: without a ring's folder, give all four")
    if not is_address(ledger):
        raise ConfigError(f"--ledger {ledger}: not an address; it is 0x and 40 hex digits")
    client = LedgerClient.open(rpc, Address(to_checksum_address(ledger)))
    return run_audit(client, ContentStore(store), first_block)


# ---------------------------------------------------------------------- printing


def _print_report(report: AuditReport) -> None:
    for line in (*_where(report), *_checked(report), *_left(report)):
        OUT.print(line, markup=False, soft_wrap=True)
    if report.passed:
        OUT.print("the audit passed")


def _where(report: AuditReport) -> list[str]:
    last = report.last_block
    until = f" to {last.number} (0x{last.block_hash.hex()})" if last else ""
    return [
        f"ledger {report.domain.ledger} on chain {report.domain.chain_id}, ouroboros {report.ouroboros}",
        f"{report.blocks} blocks, {report.first_block}{until}",
    ]


def _checked(report: AuditReport) -> list[str]:
    lines = ["events:", *(f"  {number:7} {name}" for name, number in report.trail.events.items())]
    lines += ["checked:", *(f"  {number:7} {check.value}" for check, number in report.trail.checks.items())]
    lines += [f"  {number:7} {kind.value} in the store" for kind, number in report.blobs.items()]
    lines.append(f"  {report.input_values:7} values of transactions' input")
    lines.append(f"  {report.stored_values:7} values of the ledger's storage")
    ended = ", ".join(f"{number} {phase.name.lower()}" for phase, number in report.trail.ended.items())
    return [*lines, f"queries: {ended or 'none ended'}; ring in mode {report.trail.mode.name.lower()}"]


def _left(report: AuditReport) -> list[str]:
    waiting = [
        f"waiting: query {query.query} ({query.phase.name.lower()}, hop {query.next_hop})"
        for query in report.trail.open_queries
    ]
    remarks = [f"remark: {remark}" for remark in report.remarks]
    return [*waiting, *remarks, *(f"not checked: {item.what} (can be by {item.who})" for item in report.not_checked)]


def _plain(report: AuditReport) -> dict[str, Any]:
    last = report.last_block
    return {
        "passed": report.passed,
        "failure": _plain_failure(report.failure) if report.failure else None,
        "ledger": report.domain.ledger,
        "chain_id": report.domain.chain_id,
        "ouroboros": report.ouroboros,
        "first_block": report.first_block,
        "last_block": last.number if last else None,
        "last_block_hash": f"0x{last.block_hash.hex()}" if last else None,
        "events": dict(report.trail.events),
        "checks": {check.name: number for check, number in report.trail.checks.items()},
        "blobs": {kind.name: number for kind, number in report.blobs.items()},
        "disputed_blobs": report.disputed_blobs,
        "blob_bytes": report.blob_bytes,
        "input_values": report.input_values,
        "stored_values": report.stored_values,
        "mode": report.trail.mode.name,
        "ended": {phase.name: number for phase, number in report.trail.ended.items()},
        "open": [{"query": q.query, "phase": q.phase.name, "hop": q.next_hop} for q in report.trail.open_queries],
        "remarks": list(report.remarks),
        "not_checked": [{"what": item.what, "who": item.who} for item in report.not_checked],
    }


def _plain_failure(failure: AuditFailure) -> dict[str, str]:
    return {
        "subject": failure.subject,
        "field": failure.field,
        "expected": failure.expected,
        "found": failure.found,
        "place": str(failure.place),
    }
