"""Doing to a stage what a plan says, and taking it back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from assurance.faults.disk import allow_writing, forbid_writing
from assurance.faults.faulty_store import control_file
from assurance.faults.plan import SET_BACK, Fault, Kind
from assurance.faults.proxy import Road
from assurance.faults.stage import Stage, left_after
from deepring_chain.errors import ChainError, ConfigError

FUNDS = hex(10**19)
"""Wei; ten ether."""

NEWEST = 24
"""Blobs that are lost or spoiled are among so many newest ones: older ones nobody reads again."""

DEEPEST = 8
BLOCK_SECONDS = 1
ORPHAN_SECONDS = 2.0
STORE_DELAY = 0.3
RPC_DELAY = 0.15
ERRORS = ("EIO", "EACCES", "ETIMEDOUT", "ENOSPC")


class InVain(Exception):
    """A fault that had nothing to hit."""


Undo = Callable[[], None]


@dataclass
class _Active:
    fault: Fault
    until: float
    undo: Undo


def nothing() -> None:
    """What there is to take back after a kill."""


class Injector:
    """Faults that run on a stage.

    Args:
        stage: what they hit.
        say: told what happened, a line each.
        clock: seconds.

    Attributes:
        done: how often each kind happened.
        in_vain: how often it had nothing to hit.
    """

    def __init__(self, stage: Stage, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._stage, self._say, self._clock = stage, say, clock
        self._active: list[_Active] = []
        self.done: dict[Kind, int] = {}
        self.in_vain: dict[Kind, int] = {}

    @property
    def is_calm(self) -> bool:
        """Whether every fault is over."""
        return not self._active

    def begin(self, fault: Fault) -> None:
        """Starts a fault; one that has nothing to hit is said and counted."""
        try:
            undo = _BEGIN[fault.kind](self, fault)
        except (InVain, ChainError, ConfigError, ProcessLookupError, OSError) as error:
            self._count(self.in_vain, fault.kind)
            self._say(f"{fault.kind.value} {fault.target}: in vain ({error})")
            return
        self._count(self.done, fault.kind)
        self._stage.set_backs += fault.kind in SET_BACK
        self._say(f"{fault.kind.value} {fault.target}".rstrip())
        self._active.append(_Active(fault, self._clock() + fault.seconds, undo))

    def end_due(self) -> None:
        """Takes back what lasted long enough."""
        for active in [active for active in self._active if active.until <= self._clock()]:
            self._end(active)

    def end_all(self) -> None:
        """Takes everything back, and leaves the node as a fresh one mines."""
        for active in list(self._active):
            self._end(active)
        self._stage.node.start()
        self._mine_at_once()
        self._refill()

    def _refill(self) -> None:
        """A chain that was set back may be one on which an account was drained: whoever ends that fault has done so."""
        drained = {active.fault.target for active in self._active if active.fault.kind is Kind.DRAIN}
        for name, account in self._stage.accounts.items():
            if name not in drained and int(self._stage.node.call("eth_getBalance", account, "latest"), 16) == 0:
                self._stage.node.call("anvil_setBalance", account, FUNDS)

    def _end(self, active: _Active) -> None:
        self._active.remove(active)
        try:
            active.undo()
        except (ChainError, ProcessLookupError) as error:
            self._say(f"{active.fault.kind.value}: not taken back ({error})")

    @staticmethod
    def _count(counts: dict[Kind, int], kind: Kind) -> None:
        counts[kind] = counts.get(kind, 0) + 1

    # ------------------------------------------------------------------ processes

    def _pid(self, name: str) -> int:
        pid = self._stage.ring.running_pid(name)
        if pid is None:
            raise InVain(f"{name} does not run")
        return pid

    def _signal(self, number: signal.Signals, fault: Fault) -> Undo:
        os.kill(self._pid(fault.target), number)
        return nothing

    def _pause(self, fault: Fault) -> Undo:
        pid = self._pid(fault.target)
        os.kill(pid, signal.SIGSTOP)
        return partial(os.kill, pid, signal.SIGCONT)

    def _kill_host(self, _fault: Fault) -> Undo:
        ring = self._stage.ring
        ring.kill_host_alone()
        left_after(ring.process_ids, ORPHAN_SECONDS)  # one that is paused or waits for its node outlives this
        for active in list(self._active):  # nobody starts a ring before node, store and disk are there
            self._end(active)
        ring.restart_all(restarts=True)
        return nothing

    def _forbid_writing(self, fault: Fault) -> Undo:
        pids = [self._pid(fault.target)]
        forbid_writing(pids)
        return partial(allow_writing, pids)

    # ------------------------------------------------------------------ node and RPC

    def _kill_node(self, _fault: Fault) -> Undo:
        self._stage.node.kill()
        return self._start_node

    def _start_node(self) -> None:
        self._stage.node.start()
        self._refill()

    def _restart_node(self, _fault: Fault) -> Undo:
        self._stage.node.stop()
        return self._stage.node.start

    def _pause_node(self, _fault: Fault) -> Undo:
        self._stage.node.pause()
        return self._stage.node.wake

    def _set_road(self, road: Road, fault: Fault) -> Undo:
        proxy = self._stage.proxies[fault.target]
        proxy.set_road(road)
        return partial(proxy.set_road, Road.OPEN)

    def _slow_road(self, fault: Fault) -> Undo:
        proxy = self._stage.proxies[fault.target]
        proxy.delay = RPC_DELAY
        return partial(setattr, proxy, "delay", 0.0)

    def _refuse_while_snapshot(self) -> None:
        """Anvil loses its snapshots in a reorganization, and its logs are inconsistent after both."""
        if any(active.fault.kind is Kind.REVERT for active in self._active):
            raise InVain("the node holds a snapshot")

    def _reorg(self, fault: Fault) -> Undo:
        self._refuse_while_snapshot()
        if self._stage.node.revert_blocks(1 + fault.draw % DEEPEST) == 0:
            raise InVain("no blocks yet")
        self._refill()
        return nothing

    def _reorder(self, fault: Fault) -> Undo:
        self._refuse_while_snapshot()
        order = random.Random(fault.draw)  # noqa: S311 - it must be repeatable, not secret
        if self._stage.node.reorder_blocks(2 + fault.draw % DEEPEST, order) == 0:
            raise InVain("no blocks yet")
        self._refill()
        return nothing

    def _revert(self, _fault: Fault) -> Undo:
        self._refuse_while_snapshot()
        snapshot = self._stage.node.snapshot()
        return lambda: self._go_back(snapshot)

    def _go_back(self, snapshot: str) -> None:
        self._stage.node.go_back(snapshot)
        self._refill()
        self._stage.set_backs += 1

    def _slow_blocks(self, _fault: Fault) -> Undo:
        self._stage.node.call("evm_setAutomine", False)
        self._stage.node.call("evm_setIntervalMining", BLOCK_SECONDS)
        return self._mine_at_once

    def _mine_at_once(self) -> None:
        self._stage.node.call("evm_setIntervalMining", 0)
        self._stage.node.call("evm_setAutomine", True)
        self._stage.node.call("evm_mine")

    def _drain(self, fault: Fault) -> Undo:
        node, account = self._stage.node, self._stage.accounts[fault.target]
        before = node.call("eth_getBalance", account, "latest")
        if int(before, 16) == 0:
            raise InVain("already drained")
        node.call("anvil_setBalance", account, "0x0")
        return lambda: node.call("anvil_setBalance", account, before)

    # ------------------------------------------------------------------ store and disk

    def _control(self, words: str, fault: Fault) -> Undo:
        file = control_file(self._stage.controls, fault.target)
        new = file.with_suffix(".new")
        new.write_text(words)
        new.replace(file)
        return lambda: file.unlink(missing_ok=True)

    def _fail_store(self, fault: Fault) -> Undo:
        return self._control(f"fail {ERRORS[fault.draw % len(ERRORS)]}", fault)

    def _slow_store(self, fault: Fault) -> Undo:
        return self._control(f"slow {STORE_DELAY}", fault)

    def _hide_store(self, _fault: Fault) -> Undo:
        store, away = self._stage.store, self._stage.store.with_name("store-away")
        if away.exists():
            raise InVain("it is away already")
        store.rename(away)
        return lambda: bring_back(store, away)

    def _spoil(self, change: Callable[[bytes], bytes | None], fault: Fault) -> Undo:
        blobs = [path for path in self._stage.blobs() if path.name not in self._stage.lasting][:NEWEST]
        if not blobs:
            raise InVain("no blobs")
        path = blobs[fault.draw % len(blobs)]
        whole = path.read_bytes()
        self._stage.damaged.setdefault(path, whole)
        spoiled = change(whole)
        if spoiled is None:
            path.unlink()
        else:
            path.write_bytes(spoiled)
        return nothing

    def _fill_disk(self, _fault: Fault) -> Undo:
        disk = self._stage.disk
        if disk.reason:
            self._say(f"disk full: {disk.reason}; all actors are forbidden to write instead")
            pids = [pid for name in self._stage.ring.names if (pid := self._stage.ring.running_pid(name))]
            forbid_writing(pids)
            return partial(allow_writing, pids)
        disk.fill()
        return disk.free


def bring_back(store: Path, away: Path) -> None:
    """Brings a hidden store back, and keeps what was written meanwhile."""
    meanwhile = store.with_name("store-meanwhile")
    with suppress(FileNotFoundError):
        store.rename(meanwhile)
    away.rename(store)
    for path in meanwhile.glob("**/*"):
        if path.is_file():
            place = store / path.relative_to(meanwhile)
            place.parent.mkdir(exist_ok=True)
            path.replace(place)
    shutil.rmtree(meanwhile, ignore_errors=True)  # or the next time there is something in its way


def _flip_middle(blob: bytes) -> bytes:
    middle = len(blob) // 2
    return blob[:middle] + bytes([blob[middle] ^ 0xFF]) + blob[middle + 1 :]


_BEGIN: dict[Kind, Callable[[Injector, Fault], Undo]] = {
    Kind.KILL_ACTOR: lambda injector, fault: injector._signal(signal.SIGKILL, fault),
    Kind.STOP_ACTOR: lambda injector, fault: injector._signal(signal.SIGTERM, fault),
    Kind.PAUSE_ACTOR: Injector._pause,
    Kind.KILL_HOST: Injector._kill_host,
    Kind.KILL_NODE: Injector._kill_node,
    Kind.RESTART_NODE: Injector._restart_node,
    Kind.PAUSE_NODE: Injector._pause_node,
    Kind.CUT_RPC: lambda injector, fault: injector._set_road(Road.CUT, fault),
    Kind.HANG_RPC: lambda injector, fault: injector._set_road(Road.HUNG, fault),
    Kind.SLOW_RPC: Injector._slow_road,
    Kind.LOSE_ANSWERS: lambda injector, fault: injector._set_road(Road.LOSSY, fault),
    Kind.FAIL_STORE: Injector._fail_store,
    Kind.SLOW_STORE: Injector._slow_store,
    Kind.HIDE_STORE: Injector._hide_store,
    Kind.LOSE_BLOB: lambda injector, fault: injector._spoil(lambda _blob: None, fault),
    Kind.CORRUPT_BLOB: lambda injector, fault: injector._spoil(_flip_middle, fault),
    Kind.CUT_BLOB: lambda injector, fault: injector._spoil(lambda blob: blob[: len(blob) // 2], fault),
    Kind.FILL_DISK: Injector._fill_disk,
    Kind.FILL_QUOTA: Injector._forbid_writing,
    Kind.DRAIN: Injector._drain,
    Kind.REORG: Injector._reorg,
    Kind.REORDER: Injector._reorder,
    Kind.REVERT: Injector._revert,
    Kind.SLOW_BLOCKS: Injector._slow_blocks,
}
