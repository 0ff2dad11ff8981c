"""What this machine knows of a ring's actors: their files, their processes, and what those say of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from deepring_chain.crypto.keys import ACCOUNT_FILE, PUBLIC_LABEL, SEALING_FILE, read_address
from deepring_chain.errors import ConfigError
from deepring_chain.health.snapshot import ActorFacts, HostFacts, Life, ProcessFacts, Role, Target, short_address
from deepring_chain.ring.folder import (
    DEPLOYMENT_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    OUROBOROS,
    PARAMS_FILE,
    QUERENT,
    RingFolder,
    WorkerEntry,
)
from deepring_chain.ring.folder_lock import owners as lock_owners
from deepring_chain.ring.running import HostRecord, RunningActor, process_start, run_file
from deepring_chain.telemetry.metrics_endpoint import STALE_SECONDS
from deepring_chain.types import Address, SealingKey

MAX_ANSWER_BYTES = 1 << 20
MOST_AT_ONCE = 32
EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - to connect to, not to listen on


@dataclass(frozen=True)
class Expected:
    """What the owner's list says of an actor, as far as there is a list."""

    name: str
    role: Role
    layer: int | None = None
    address: Address | None = None
    sealing_key: SealingKey | None = None


def look_at_actors(target: Target, timeout: float) -> tuple[ActorFacts, ...]:
    """The actors of a ring's folder, or the one of an actor's own folder; the querent last.

    Raises:
        ConfigError: the ring's list is damaged.
    """
    if target.ring is not None:
        ring = RingFolder(target.ring)
        host, members = HostRecord.read(ring.path), list(_members(ring))
        # Side by side: a ring of twenty that hangs is not asked for twenty times as long.
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            looks = [pool.submit(_look, ring.path / m.name, m, ring.path, host, timeout) for m in members]
        return tuple(look.result() for look in looks)
    if target.folder is not None:
        known = Expected(target.folder.resolve().name, _role_of(target.folder))
        return (_look(target.folder, known, target.folder, None, timeout),)
    return ()


def _members(ring: RingFolder) -> Iterator[Expected]:
    config = ring.load_config()
    yield Expected(OUROBOROS, Role.OUROBOROS, 0, config.ouroboros, config.ouroboros_key)
    yield from (_worker(entry) for entry in config.workers)
    if ring.querent.exists():
        yield Expected(QUERENT, Role.QUERENT)


def _worker(entry: WorkerEntry) -> Expected:
    return Expected(entry.name, Role.WORKER, entry.layer, entry.address, entry.sealing_key)


def _role_of(folder: Path) -> Role:
    if (folder / MODEL_FILE).exists():
        return Role.OUROBOROS
    return Role.WORKER if any((folder / name).exists() for name in (PARAMS_FILE, MANIFEST_FILE)) else Role.QUERENT


def _look(folder: Path, known: Expected, ring: Path, host: HostRecord | None, timeout: float) -> ActorFacts:
    here = folder if folder.is_dir() else None
    bad = _bad_files(folder, known) if here else {}
    address = known.address
    if address is None and here and ACCOUNT_FILE not in bad:
        address = read_address(folder)
    process = ProcessFacts()
    if known.role is not Role.QUERENT:
        process = _process(known.name, folder, ring, host, address, timeout)
    return ActorFacts(
        known.name or short_address(address or Address("?")), known.role, address, known.layer, None, here, bad, process
    )


# ---------------------------------------------------------------------- files


def _bad_files(folder: Path, known: Expected) -> dict[str, str]:
    """What is missing or visibly not this actor's, by file name. What needs the password is not looked at."""
    bad: dict[str, str] = {}
    needed = {Role.OUROBOROS: [MODEL_FILE], Role.WORKER: [PARAMS_FILE, MANIFEST_FILE], Role.QUERENT: []}
    for name in [ACCOUNT_FILE, SEALING_FILE, *needed[known.role]]:
        if not (folder / name).is_file():
            bad[name] = "is missing"
    if ACCOUNT_FILE not in bad:
        bad |= _check_account(folder, known.address)
    if SEALING_FILE not in bad:
        bad |= _check_sealing(folder, known.sealing_key)
    return bad


def _check_account(folder: Path, expected: Address | None) -> dict[str, str]:
    try:
        held = read_address(folder)
    except ConfigError:
        return {ACCOUNT_FILE: "is no Ethereum keystore"}
    if expected is not None and held != expected:
        return {ACCOUNT_FILE: f"is the key of {held}, and the ring knows {expected}"}
    return {}


def _check_sealing(folder: Path, expected: SealingKey | None) -> dict[str, str]:
    try:
        first = (folder / SEALING_FILE).read_bytes().partition(b"\n")[0]
    except OSError as error:
        return {SEALING_FILE: f"cannot be read ({error.strerror})"}
    if not first.startswith(PUBLIC_LABEL):
        return {SEALING_FILE: "is no sealing key"}
    if expected is not None and first != PUBLIC_LABEL + expected.hex().encode():
        return {SEALING_FILE: "is another key than the one that the ring knows"}
    return {}


# ---------------------------------------------------------------------- processes


def _process(
    name: str, folder: Path, ring: Path, host: HostRecord | None, address: Address | None, timeout: float
) -> ProcessFacts:
    """What is known of an actor's process: its own word first, then what was left on disk."""
    left = [found for place in (ring, folder) if (found := RunningActor.read(run_file(place, name))) is not None]
    holding = [owner.pid for owner in lock_owners(folder) if owner.is_here]
    told = [record for record in left if record.is_alive()]
    pids = tuple(sorted({*holding, *(record.pid for record in told)}))
    if told:
        return replace(_ask(told[0], address, timeout), owners=pids)
    starting = _starting(ring, name) or next(iter(holding), None)
    if starting is not None:
        return ProcessFacts(Life.STARTING, starting, owners=pids)
    is_expected = bool(left) or (host is not None and name in host.actors)
    return ProcessFacts(Life.GONE if is_expected else Life.ELSEWHERE)


def _starting(ring: Path, name: str) -> int | None:
    """The process of an actor that its host has started, and that is not ready."""
    try:
        pid = int((RingFolder(ring).logs / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if process_start(pid) is not None else None


def _ask(running: RunningActor, address: Address | None, timeout: float) -> ProcessFacts:
    """What the actor says of itself; one that does not answer is stalled."""
    try:
        said = _fetch(running, timeout)
        if address is not None and said["address"] != address:
            return ProcessFacts(Life.GONE)
        since = said["seconds_since_poll"]
        is_fresh = since is not None and float(since) < STALE_SECONDS
        troubles = tuple(f"{subject}: {text}" for subject, text in dict(said["troubles"]).items())
        doing = None if said["doing"] is None else str(said["doing"])
        is_announced = said["follows"] == "subscription"
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError):
        return ProcessFacts(Life.STALLED, running.pid)
    life = Life.RUNNING if is_fresh else Life.STALLED
    return ProcessFacts(life, running.pid, since, doing, troubles, is_announced)


def _fetch(running: RunningActor, timeout: float) -> dict[str, Any]:
    fields = fetch_page(running, "health", timeout)
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    return fields


def fetch_page(running: RunningActor, page: str, timeout: float, max_bytes: int = MAX_ANSWER_BYTES) -> Any:
    """The JSON that an actor answers with; raises what goes wrong, such as `requests.RequestException`."""
    host = EVERY_INTERFACE.get(running.host, running.host)
    shown = f"[{host}]" if ":" in host else host
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands between two processes of one machine
        url = f"http://{shown}:{running.port}/{page}"
        with session.get(url, timeout=timeout, allow_redirects=False, stream=True) as answer:
            return json.loads(answer.raw.read(max_bytes, decode_content=True))


def look_at_host(target: Target) -> HostFacts | None:
    """The host of a ring's processes; None if it left no trace."""
    record = HostRecord.read(target.ring) if target.ring is not None else None
    return None if record is None else HostFacts(record.is_alive(), record.restarts)


def deployment_file(target: Target) -> Path | None:
    """The deployment that belongs to a folder, if it is there."""
    if target.deployment is not None:
        return target.deployment
    if target.ring is not None:
        return target.ring / DEPLOYMENT_FILE
    if target.folder is None:
        return None
    places = [target.folder / DEPLOYMENT_FILE, target.folder.resolve().parent / DEPLOYMENT_FILE]
    return next((place for place in places if place.exists()), None)
