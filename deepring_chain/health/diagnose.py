"""Why nothing happens: from a snapshot of a ring to findings, each with its cause and the command that mends it.

Pure: the same snapshot gives the same findings. `collect` takes the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from deepring_chain.crypto.keys import ACCOUNT_FILE, SEALING_FILE
from deepring_chain.health.races import Races
from deepring_chain.health.snapshot import ActorFacts, Awaited, Life, QueryFacts, Role, Snapshot
from deepring_chain.health.words import Commands, ago, arrangements_were, awaited_in_words, ether
from deepring_chain.types import RingMode

SKEW_SECONDS = 30.0
"""A chain's clock that is further off makes deadlines pass early or late for those who watch them."""

SLOW_SECONDS = 10.0
"""A seat that has not attested for so long is waited for; in order it takes a second or two."""

ENTRY_GAS = 250_000
SEAT_GAS = 45_000
"""An entry's gas limit, and what each seat adds to an attestation's (`chain.client`): funds must cover the limit."""

AMPLE_ENTRIES = 50
"""Whoever can pay for fewer entries is warned of."""


class Severity(Enum):
    """Whether the ring stands still for it, or will some day."""

    ERROR = "error"
    WARNING = "warning"


class Cause(Enum):
    """What is wrong."""

    NOT_DEPLOYED = "not deployed"
    NODE_DOWN = "node down"
    NODE_HUNG = "node hung"
    WRONG_CHAIN = "wrong chain"
    CONTRACT_MISSING = "contract missing"
    CODE_DIFFERS = "code differs"
    LEDGER_UNREADABLE = "ledger unreadable"
    TWO_OWNERS = "two owners"
    RACING_ARRANGEMENTS = "racing arrangements"
    ACTOR_DOWN = "actor down"
    ACTOR_STALLED = "actor stalled"
    ACTOR_IN_TROUBLE = "actor in trouble"
    OUT_OF_FUNDS = "out of funds"
    STUCK_TRANSACTION = "stuck transaction"
    STORE_UNREACHABLE = "store unreachable"
    BLOB_LOST = "blob lost"
    KEY_MISSING = "key missing"
    FILE_MISSING = "file missing"
    TRACKING = "ring in tracking mode"
    DEADLINE_PASSED = "deadline passed"
    CLOCK_SKEW = "clock skew"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        cause: what kind of thing.
        severity: how bad it is.
        sentence: what is wrong, for people.
        mend: the command that mends it, or that shows more.
    """

    cause: Cause
    severity: Severity
    sentence: str
    mend: str


def diagnose(snapshot: Snapshot) -> list[Finding]:
    """All findings, errors first, otherwise from the ground up: a lower cause often explains the ones after it."""
    commands = Commands(snapshot)
    rules: list[Callable[[Snapshot, Commands], Iterator[Finding]]] = [
        _node,
        _code,
        _files,
        _store,
        _owners,
        _processes,
        _funds,
        _races,
        _mode,
        _deadlines,
        _clock,
        _own_words,
    ]
    findings = [finding for rule in rules for finding in rule(snapshot, commands)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)


def _error(cause: Cause, sentence: str, mend: str) -> Finding:
    return Finding(cause, Severity.ERROR, sentence, mend)


def _warning(cause: Cause, sentence: str, mend: str) -> Finding:
    return Finding(cause, Severity.WARNING, sentence, mend)


# ---------------------------------------------------------------------- node and ledger


def _node(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    target, node = snapshot.target, snapshot.node
    if target.rpc_url is None:
        if target.ring is not None or target.folder is not None:
            yield _error(
                Cause.NOT_DEPLOYED, "The ring has no deployment: it was never brought onto a chain.", commands.up
            )
        return
    if node is None or node.trouble is None:
        return
    if node.is_silent:
        yield _error(Cause.NODE_HUNG, f"The node takes connections and does not answer: {node.trouble}.", commands.node)
    else:
        yield _error(Cause.NODE_DOWN, f"The node is down: {node.trouble}.", commands.node)


def _code(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    target, node, code = snapshot.target, snapshot.node, snapshot.code
    if node is None or node.trouble is not None:
        return
    if target.chain_id is not None and node.chain_id != target.chain_id:
        told = f"The node {node.url} is on chain {node.chain_id}, and the ring is deployed on chain {target.chain_id}."
        yield _error(Cause.WRONG_CHAIN, told, commands.right_node)
    elif code is not None and not code.has_code:
        other = (
            " It is another chain of the same id, such as a devnet that was started anew." if _is_anew(snapshot) else ""
        )
        told = f"There is no contract at {target.ledger} on chain {node.chain_id}.{other}"
        yield _error(Cause.CONTRACT_MISSING, told, commands.deploy_anew)
    elif code is not None and not code.is_shipped:
        told = f"The code at {target.ledger} is not the ledger of this release."
        yield _error(Cause.CODE_DIFFERS, told, commands.release)
    elif _is_anew(snapshot):
        told = (
            f"The node {node.url} is on another chain of id {node.chain_id} than the ring: the block that the ledger "
            "was deployed in has another hash there."
        )
        yield _error(Cause.WRONG_CHAIN, told, commands.right_node)
    elif snapshot.ring_trouble is not None:
        yield _error(Cause.LEDGER_UNREADABLE, f"The ledger cannot be read: {snapshot.ring_trouble}.", commands.node)


def _is_anew(snapshot: Snapshot) -> bool:
    return snapshot.code is not None and snapshot.code.is_same_chain is False


# ---------------------------------------------------------------------- files and store


def _files(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    for actor in snapshot.actors:
        for name, trouble in actor.bad_files.items():
            cause = Cause.KEY_MISSING if name in (ACCOUNT_FILE, SEALING_FILE) else Cause.FILE_MISSING
            told = f"{actor.name}: its {'key' if cause is Cause.KEY_MISSING else 'file'} {name} {trouble}."
            yield _error(cause, told, commands.restore_file(actor, name))


def _store(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    store = snapshot.store
    if store is None:
        return
    if store.trouble is not None:
        yield _error(Cause.STORE_UNREACHABLE, f"The store cannot be used: {store.trouble}.", commands.store)
        return
    for blob in store.lost:
        if blob.is_needed:
            told = f"{_capital(blob.what)} in the store (blob {blob.digest.hex()[:16]}), and it is needed."
            yield _error(Cause.BLOB_LOST, told, commands.restore_blob(blob.digest))
    past = [blob for blob in store.lost if not blob.is_needed]
    if past:
        more = f", and {len(past) - 1} more" if len(past) > 1 else ""
        told = f"{_capital(past[0].what)} in the store{more}: nobody waits for it, but an audit of the past will fail."
        yield _warning(Cause.BLOB_LOST, told, commands.restore_blob(past[0].digest))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------------- actors


def _owners(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    for actor in snapshot.actors:
        if len(actor.process.owners) > 1:
            pids = " and ".join(map(str, actor.process.owners))
            told = f"{actor.name} is run by processes {pids} at once: they act against each other."
            yield _error(Cause.TWO_OWNERS, told, commands.one_owner(actor))


def _processes(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    members = [actor for actor in snapshot.actors if actor.role is not Role.QUERENT]
    gone = [actor for actor in members if actor.process.life is Life.GONE]
    if gone and len(gone) == len(members) and len(members) > 1:
        yield _error(Cause.ACTOR_DOWN, "All of the ring's processes are gone; they ended without a word.", commands.up)
        return
    for actor in members:
        if actor.process.life is Life.GONE:
            yield _error(Cause.ACTOR_DOWN, _why_down(snapshot, actor), commands.bring_back(actor))
        elif actor.process.life is Life.STALLED:
            yield _error(Cause.ACTOR_STALLED, _why_stalled(actor), commands.restart(actor))
        elif actor.process.life is Life.ELSEWHERE and _is_overdue(snapshot, actor):
            told = f"{actor.name} does not run here, and the ring waits for it{_since(snapshot, actor)}."
            yield _error(Cause.ACTOR_DOWN, told, commands.start(actor))
    is_deployed_ring = snapshot.target.ring is not None and snapshot.target.rpc_url is not None
    if members and is_deployed_ring and all(actor.process.life is Life.ELSEWHERE for actor in members):
        told = "None of the ring's processes runs on this machine."
        yield _warning(Cause.ACTOR_DOWN, told, commands.up)


def _why_down(snapshot: Snapshot, actor: ActorFacts) -> str:
    host = ", while the host of the ring's processes does" if snapshot.host and snapshot.host.is_alive else ""
    return f"{actor.name} does not run{host}{_since(snapshot, actor)}."


def _since(snapshot: Snapshot, actor: ActorFacts) -> str:
    if actor.last_time is None or snapshot.node is None or snapshot.node.clock is None:
        return ""
    return f"; its last entry on the ledger is {ago(snapshot.node.clock - actor.last_time)} old"


def _why_stalled(actor: ActorFacts) -> str:
    process = actor.process
    if process.seconds_since_poll is None:
        return f"{actor.name} (process {process.pid}) runs and does not answer: it is stopped, or hangs."
    doing = f", busy with phase {process.doing}" if process.doing else ""
    since = ago(process.seconds_since_poll)
    return f"{actor.name} (process {process.pid}) runs, and has not seen the chain for {since}{doing}."


def _is_overdue(snapshot: Snapshot, actor: ActorFacts) -> bool:
    """Whether the ring has waited for an actor for too long."""
    ring, clock = snapshot.ring, snapshot.node.clock if snapshot.node else None
    if ring is None or clock is None or actor.address is None:
        return False
    missing = any(seat.address == actor.address and not seat.has_attested for seat in ring.seats)
    if missing and ring.since is not None and clock - ring.since > SLOW_SECONDS:
        return True
    waits = [query for query in ring.waiting if actor.address in query.whom]
    return any(query.since is not None and clock - query.since > SLOW_SECONDS for query in waits)


def _funds(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    if snapshot.gas_price is None:
        return
    seats = len(snapshot.ring.seats) if snapshot.ring else 0
    for actor in snapshot.actors:
        if actor.account is None:
            continue
        gas = ENTRY_GAS + (0 if actor.role is Role.QUERENT else seats * SEAT_GAS)
        need, has = gas * snapshot.gas_price, actor.account.balance
        told = f"{actor.name} ({actor.address}) has {ether(has)}"
        if has < need:
            told += f", and an entry may take {ether(need)} at the present price of gas."
            yield _error(Cause.OUT_OF_FUNDS, told, commands.fund(actor))
        elif has < AMPLE_ENTRIES * need:
            told += f", enough for about {has // need} entries."
            yield _warning(Cause.OUT_OF_FUNDS, told, commands.fund(actor))
        waiting = actor.account.pending_nonce - actor.account.nonce
        if waiting > 0:
            told = f"{actor.name} has {waiting} transaction{'s' * (waiting > 1)} in the node's pool, not mined yet."
            yield _warning(Cause.STUCK_TRANSACTION, told, commands.again)


# ---------------------------------------------------------------------- ring and queries


def _races(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """Arrangements that one ouroboros alone would not have made, in one sentence."""
    races = snapshot.ring.races if snapshot.ring else Races()
    # Where the ouroboros runs on another machine its journal is there too, and what lies here may be old.
    is_here = any(actor.process.owners for actor in snapshot.actors if actor.role is Role.OUROBOROS)
    if races.foreign and is_here:
        told = f"{arrangements_were(races.foreign)} not drawn by the ouroboros that runs here: its folder or its key is"
        yield _error(
            Cause.RACING_ARRANGEMENTS, f"{told} in use elsewhere, or its journal was set back.", commands.one_ouroboros
        )
    elif len(races.hasty) > 1:
        told = f"{arrangements_were(races.hasty)} made while the one before was being attested: two ouroboroi arrange"
        yield _error(Cause.RACING_ARRANGEMENTS, f"{told} the ring against each other.", commands.one_ouroboros)


def _mode(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    ring = snapshot.ring
    if ring is None or not ring.is_restoring:
        return
    waiting = [seat for seat in ring.seats if not seat.has_attested]
    if ring.mode is RingMode.TRACKING or not waiting:
        next_step = "the ouroboros must order a restore"
    else:
        names = ", ".join(f"seat {seat.position} ({snapshot.name_of(seat.address)})" for seat in waiting)
        next_step = f"the restore of {names} is ordered, and its attestation awaited"
    told = f"The ring is in tracking mode: a block does not hold its parameters, so no query moves; {next_step}."
    yield _error(Cause.TRACKING, told, commands.tracking)


def _deadlines(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    ring, clock = snapshot.ring, snapshot.node.clock if snapshot.node else None
    if ring is None or clock is None:
        return
    for query in ring.waiting:
        if query.deadline is not None and clock > query.deadline:
            told = f"Query {query.query}: {_whose_hop(snapshot, query)} was due {ago(clock - query.deadline)} ago."
            yield _error(Cause.DEADLINE_PASSED, told, commands.overdue(query))
        if query.withdraw_after is not None and clock > query.withdraw_after:
            told = (
                f"Query {query.query} is still waiting for {awaited_in_words(snapshot, query)}, "
                f"{ago(clock - query.withdraw_after)} after its querent could first give it up."
            )
            yield _error(Cause.DEADLINE_PASSED, told, commands.withdraw(query))


def _whose_hop(snapshot: Snapshot, query: QueryFacts) -> str:
    names = " or ".join(snapshot.name_of(address) for address in query.whom)
    return f"hop {query.next_hop}" + (f" ({names})" if names and query.awaits is Awaited.HOP else "")


def _clock(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    skew = snapshot.clock_skew
    if skew is None or abs(skew) <= SKEW_SECONDS:
        return
    side = "ahead of" if skew > 0 else "behind"
    told = f"The chain's clock is {ago(abs(skew))} {side} this machine's: deadlines go by the chain's."
    yield _warning(Cause.CLOCK_SKEW, told, commands.clock)


def _own_words(snapshot: Snapshot, commands: Commands) -> Iterator[Finding]:
    """What running actors say is wrong, unless node or store explain it."""
    is_grounded = snapshot.node is not None and snapshot.node.trouble is None
    if not is_grounded or (snapshot.store is not None and snapshot.store.trouble is not None):
        return
    for actor in snapshot.actors:
        for trouble in actor.process.troubles:
            yield _warning(Cause.ACTOR_IN_TROUBLE, f"{actor.name} says of {trouble}.", commands.log(actor))
