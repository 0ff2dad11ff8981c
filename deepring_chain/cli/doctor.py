"""`deepring doctor`: why nothing happens, and the command that mends it."""

from __future__ import annotations

import json

import typer

from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.console import OUT, print_command, print_line
from deepring_chain.cli.status import plain
from deepring_chain.cli.targets import (
    ActorOption,
    AnswerOption,
    DeploymentOption,
    FirstBlockOption,
    LedgerOption,
    RpcOption,
    StorePlaceOption,
    find_target,
)
from deepring_chain.health.collect import ANSWER_SECONDS, Collector
from deepring_chain.health.diagnose import Finding, Severity, diagnose
from deepring_chain.health.snapshot import Snapshot


def doctor(
    ring: RingOption = DEFAULT_RING,
    actor: ActorOption = None,
    deployment: DeploymentOption = None,
    rpc: RpcOption = None,
    ledger: LedgerOption = None,
    store: StorePlaceOption = None,
    first_block: FirstBlockOption = None,
    timeout: AnswerOption = ANSWER_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with the ring, each finding in a sentence with the command that mends it.

    Looks at what `deepring status` looks at, takes no password and changes nothing. Exits with 1 if a finding makes the
    ring stand still (an error), with 0 if there are only warnings or nothing at all.
    """
    target = find_target(ring, actor, deployment, rpc, ledger, store, first_block)
    snapshot = Collector(target, timeout).collect()
    findings = diagnose(snapshot)
    is_healthy = not any(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        OUT.print_json(json.dumps({"is_healthy": is_healthy, "findings": plain(findings)}))
    else:
        _print(snapshot, findings)
    if not is_healthy:
        raise typer.Exit(1)


def _print(snapshot: Snapshot, findings: list[Finding]) -> None:
    for finding in findings:
        is_error = finding.severity is Severity.ERROR
        OUT.print(f"{finding.severity.value}: {finding.cause.value}", style="bold red" if is_error else "bold yellow")
        print_line(f"  {finding.sentence}")
        print_command(f"  mend: {finding.mend}")
    if not findings:
        print_line("nothing wrong is found")
    for line in _how_followed(snapshot):
        print_line(line)
    for line in _not_looked_at(snapshot):
        print_line(f"not looked at: {line}")


def _how_followed(snapshot: Snapshot) -> list[str]:
    """How the actors here notice new blocks, if any tells."""
    told = [actor.process.is_announced for actor in snapshot.actors if actor.process.is_announced is not None]
    if not told:
        return []
    if all(told):
        return [f"new blocks: the node announces them to all {len(told)} actors here"]
    return [f"new blocks: {told.count(False)} of {len(told)} actors here poll the node; it announces none to them"]


def _not_looked_at(snapshot: Snapshot) -> list[str]:
    """What the operator did not name, or what could not be reached: no news of it is no good news."""
    missing = []
    if snapshot.node is None:
        missing.append("node and ledger (--rpc, --ledger)")
    elif snapshot.ring is None:
        missing.append("ring and queries" + ("" if snapshot.target.ledger else " (--ledger)"))
    if snapshot.store is None:
        missing.append("store (--store)")
    if not any(actor.folder for actor in snapshot.actors):
        missing.append("the actors' processes and files (--ring, --actor)")
    return missing
