"""What an audit prints, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

from deepring_chain.audit.report import AuditReport
from deepring_chain.cli.console import OUT, print_line
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.audit_step import AuditFailure


def conclude(report: AuditReport, *, as_json: bool = False) -> None:
    """Prints the report.

    Raises:
        ProtocolError: the audit failed; names the first wrong thing, and says how many there are.
    """
    if as_json:
        OUT.print_json(json.dumps(_plain(report)))
    else:
        for line in (*_where(report), *_checked(report), *_left(report)):
            print_line(line)
        if report.passed:
            print_line("the audit passed")
    raise_failure(report)


def raise_failure(report: AuditReport) -> None:
    """Ends the command with exit code 1, unless the audit passed.

    Raises:
        ProtocolError: it did not.
    """
    if report.failure is None:
        return
    total = len(report.faults) + sum(report.more_faults.values()) + (report.stopped is not None)
    if total == 1:
        raise report.failure
    raise ProtocolError(f"{total} faults, the first: {report.failure}")


def _where(report: AuditReport) -> list[str]:
    last, resumed = report.last_block, report.resumed_after
    until = f" to {last.number} (0x{last.block_hash.hex()})" if last else ""
    went_on = [f"gone on after block {resumed.number}, up to which an earlier run checked all"] if resumed else []
    return [
        f"ledger {report.domain.ledger} on chain {report.domain.chain_id}, ouroboros {report.ouroboros}",
        f"{report.blocks} blocks, {report.first_block}{until}",
        *went_on,
    ]


def _checked(report: AuditReport) -> list[str]:
    counts = report.counts
    lines = ["events:", *(f"  {number:7} {name}" for name, number in report.trail.events.items())]
    lines.append("checked:")
    lines += [f"  {counts.blocks:7} block headers, hashed and linked"]
    lines += [f"  {counts.roots:7} roots of blocks' transactions and receipts"]
    deployment = ", and the transaction that sent it" if counts.found_deployment else ""
    lines += [f"  {counts.code_values:7} immutable values in the ledger's code, which is this release's{deployment}"]
    lines += [f"  {number:7} {check.value}" for check, number in report.trail.checks.items()]
    lines += [f"  {number:7} {kind.value} in the store" for kind, number in report.blobs.items()]
    lines.append(f"  {counts.input_values:7} values of transactions' input")
    lines.append(f"  {counts.stored_values:7} values of the ledger's storage")
    if report.verdicts.admitted:
        verdicts = report.verdicts
        lines.append(f"  {verdicts.replayed:7} of {verdicts.verdicts} verdicts, from their evidence")
        lines.append(f"  {verdicts.recomputed:7} of these by running the layers")
    ended = ", ".join(f"{number} {phase.name.lower()}" for phase, number in report.trail.ended.items())
    return [*lines, f"queries: {ended or 'none ended'}; ring in mode {report.trail.mode.name.lower()}"]


def _left(report: AuditReport) -> list[str]:
    waiting = [
        f"waiting: query {query.query} ({query.phase.name.lower()}, hop {query.next_hop})"
        for query in report.trail.open_queries
    ]
    remarks = [f"remark: {remark}" for remark in report.remarks]
    faults = [f"fault: {fault}" for fault in report.faults]
    faults += [f"fault: {count} more of {name}" for name, count in report.more_faults.items()]
    if report.stopped is not None:
        faults.append(f"the audit ended here: {report.stopped}")
    return [
        *waiting,
        *remarks,
        *faults,
        *(f"not checked: {item.what} (can be by {item.who})" for item in report.not_checked),
    ]


def _plain(report: AuditReport) -> dict[str, Any]:
    last, counts, verdicts = report.last_block, report.counts, report.verdicts
    return {
        "passed": report.passed,
        "failure": _plain_failure(report.failure) if report.failure else None,
        "faults": [_plain_failure(fault) for fault in report.faults],
        "more_faults": dict(report.more_faults),
        "stopped": _plain_failure(report.stopped) if report.stopped else None,
        "ledger": report.domain.ledger,
        "chain_id": report.domain.chain_id,
        "ouroboros": report.ouroboros,
        "first_block": report.first_block,
        "last_block": last.number if last else None,
        "last_block_hash": f"0x{last.block_hash.hex()}" if last else None,
        "resumed_after": report.resumed_after.number if report.resumed_after else None,
        "blocks": counts.blocks,
        "roots": counts.roots,
        "code_values": counts.code_values,
        "found_deployment": counts.found_deployment,
        "events": dict(report.trail.events),
        "checks": {check.name: number for check, number in report.trail.checks.items()},
        "blobs": {kind.name: number for kind, number in report.blobs.items()},
        "disputed_blobs": report.disputed_blobs,
        "blob_bytes": report.blob_bytes,
        "input_values": counts.input_values,
        "indirect_calls": counts.indirect_calls,
        "stored_values": counts.stored_values,
        "verdicts": {
            "admitted": verdicts.admitted,
            "seen": verdicts.verdicts,
            "replayed": verdicts.replayed,
            "recomputed": verdicts.recomputed,
        },
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
