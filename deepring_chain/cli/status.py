"""`deepring status`: how a ring is, from whatever the operator has of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from deepring_chain.chain.connection import shown_url
from deepring_chain.chain.probe import CodeFacts
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption
from deepring_chain.cli.console import OUT, print_line
from deepring_chain.cli.tables import Sheet, print_sheet
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
from deepring_chain.health.snapshot import ActorFacts, Life, Role, Snapshot
from deepring_chain.health.words import ago, awaited_in_words, ether

SECRET_FIELDS = frozenset({"rpc_url", "store_url"})
"""Addresses may hold passwords and keys."""


def status(
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
    """Show how the ring is: node, mode, seats, who is alive, funds, nonces, waiting queries, store, clocks.

    Works whether the ring runs or not, with a ring's folder, with one actor's (--actor), or with addresses alone
    (--rpc, --ledger, --store); it shows what can be known from what it is given. `deepring doctor` says what is wrong.
    """
    target = find_target(ring, actor, deployment, rpc, ledger, store, first_block)
    snapshot = Collector(target, timeout).collect()
    if as_json:
        OUT.print_json(json.dumps({**plain(snapshot), "clock_skew": snapshot.clock_skew}))
    else:
        print_status(snapshot)


def plain(value: Any) -> Any:
    """A snapshot or a part of it as JSON has it: names of enumerations in lower case, digests in hex."""
    if is_dataclass(value):
        shown = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {name: shown_url(text) if name in SECRET_FIELDS and text else text for name, text in shown.items()}
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_status(snapshot: Snapshot) -> None:
    """Prints a snapshot for people."""
    for line in (*_node(snapshot), *_ledger(snapshot), *_store(snapshot)):
        print_line(line)
    if snapshot.actors:
        print_sheet(_actors(snapshot))
    for line in (*_troubles(snapshot), *_queries(snapshot)):
        print_line(line)


def _node(snapshot: Snapshot) -> Iterator[str]:
    node = snapshot.node
    if node is None:
        yield "node     not known: the ring is not deployed; --rpc names one"
        return
    if node.trouble is not None:
        yield f"node     DOWN  {node.trouble}"
        return
    took = f", answers in {1000 * node.seconds:.0f} ms" if node.seconds is not None else ""
    yield f"node     ok    {node.url}, chain {node.chain_id}, block {node.head}{took}"
    skew = snapshot.clock_skew
    if skew is not None:
        verdict = "ok   " if abs(skew) <= 1 else "skew "
        yield f"clocks   {verdict} the chain's is {round(skew):+d} s against this machine's"


def _ledger(snapshot: Snapshot) -> Iterator[str]:
    target, code, ring = snapshot.target, snapshot.code, snapshot.ring
    if target.ledger is not None and code is not None:
        yield f"ledger   {_verdict_on(code)} {target.ledger}"
    if snapshot.ring_trouble is not None:
        yield f"ledger   DOWN  {snapshot.ring_trouble}"
    if ring is None:
        return
    version = "no model yet" if ring.model_version is None else f"model version {ring.model_version}"
    seated = "not arranged yet" if ring.arrangement is None else f"arrangement {ring.arrangement}"
    yield f"ring     mode {ring.mode.name}, {seated}, {version}"
    counted = ", ".join(f"{number} {phase.name.lower()}" for phase, number in sorted(ring.queries.items()))
    yield f"queries  {counted or 'none yet'}"


def _verdict_on(code: CodeFacts) -> str:
    if not code.has_code:
        return "GONE  no contract at"
    if not code.is_shipped:
        return "OTHER not the ledger of this release at"
    return "ok   " if code.is_same_chain is not False else "OTHER another chain of the same id has one at"


def _store(snapshot: Snapshot) -> Iterator[str]:
    store = snapshot.store
    if store is None:
        return
    if store.trouble is not None:
        yield f"store    DOWN  {store.trouble}"
        return
    older = f" ({store.left_out} older ones not looked up)" if store.left_out else ""
    lost = f"; LOST: {len(store.lost)}, such as {store.lost[0].what}" if store.lost else ""
    yield f"store    ok    {store.url}, {store.checked} blobs looked up{older}{lost}"


def _actors(snapshot: Snapshot) -> Sheet:
    columns = ("actor", "layer", "seat", "process", "saw chain", "balance", "nonce", "last entry", "files")
    rows = [_row(snapshot, actor) for actor in snapshot.actors]
    spare = ("last entry", "nonce", "layer", "saw chain", "seat", "balance")
    return Sheet(columns, rows, spare=spare)


def _row(snapshot: Snapshot, actor: ActorFacts) -> tuple[str, ...]:
    process, account = actor.process, actor.account
    life = "-" if actor.role is Role.QUERENT else process.life.value
    if process.life in (Life.STALLED, Life.GONE):
        life = life.upper()
    seen = "" if process.seconds_since_poll is None else f"{ago(process.seconds_since_poll)} ago"
    seen += " by polling" if process.is_announced is False else ""
    nonce = ""
    if account is not None:
        waiting = account.pending_nonce - account.nonce
        nonce = str(account.nonce) + (f" (+{waiting} pending)" if waiting else "")
    return (
        actor.name,
        "" if actor.layer is None else str(actor.layer),
        _seat(snapshot, actor),
        life + (f" {process.pid}" if process.pid else ""),
        seen + (f" ({process.doing})" if process.doing else ""),
        ether(account.balance) if account else "",
        nonce,
        _last_entry(snapshot, actor),
        "BAD" if actor.bad_files else "ok" if actor.folder else "",
    )


def _seat(snapshot: Snapshot, actor: ActorFacts) -> str:
    if actor.seat is None or snapshot.ring is None:
        return ""
    seat = snapshot.ring.seats[actor.seat]
    return f"{seat.position}" + ("" if seat.has_attested else " (to attest)")


def _last_entry(snapshot: Snapshot, actor: ActorFacts) -> str:
    clock = snapshot.node.clock if snapshot.node else None
    if actor.last_time is None or clock is None:
        return ""
    return f"block {actor.last_block}, {ago(clock - actor.last_time)} ago"


def _troubles(snapshot: Snapshot) -> Iterator[str]:
    for actor in snapshot.actors:
        for name, trouble in actor.bad_files.items():
            yield f"{actor.name}: its file {name} {trouble}"
        for trouble in actor.process.troubles:
            yield f"{actor.name} says of {trouble}"


def _queries(snapshot: Snapshot) -> Iterator[str]:
    clock = snapshot.node.clock if snapshot.node else None
    for query in snapshot.ring.waiting if snapshot.ring else ():
        line = f"query {query.query}: {query.phase.name.lower()}, waits for {awaited_in_words(snapshot, query)}"
        if clock is not None and query.since is not None:
            line += f", since {ago(clock - query.since)}"
        if clock is not None and query.deadline is not None:
            left = query.deadline - clock
            line += f"; due in {ago(left)}" if left >= 0 else f"; OVERDUE since {ago(-left)}"
        yield line
