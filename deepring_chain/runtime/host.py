"""Host of a ring's processes, the body of `python -m deepring_chain.runtime`; `actors.runtime` starts and speaks to it.

It imports torch and web3 once, stays single-threaded, and forks one process per actor, so that a ring of twenty starts
in seconds. It reads one JSON object per line: first the plan, then commands; it writes one JSON object per change of an
actor's state. The end of its input means that nobody waits for it any more: it stops the actors and ends.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from deepring_chain.errors import DeepRingError
from deepring_chain.files import write_atomic
from deepring_chain.ring.folder import Deployment
from deepring_chain.ring.folder_lock import FolderLock, locked
from deepring_chain.ring.options import ActorOptions
from deepring_chain.ring.running import HostRecord, process_start, remove_run_file, run_file
from deepring_chain.runtime.actor import WorkerFactory, load_actor
from deepring_chain.telemetry.logs import LogFormat, open_log
from deepring_chain.telemetry.metrics_endpoint import published

FORK = multiprocessing.get_context("fork")
STOP_SECONDS = 5.0
RESTART_SECONDS = 0.5
"""Pause before an actor that vanished is started again; doubled each time it vanishes soon after."""
LONGEST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""An actor that ran so long did not vanish for what it does at its start."""
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What the host is to run. `lock` is the descriptor of the ring's lock, which its parent holds too."""

    deployment: Deployment
    folders: dict[str, Path]
    passwords: dict[str, str]
    options: ActorOptions
    ring: Path
    logs: Path
    restarts: bool
    lock: int

    @classmethod
    def parse(cls, line: str) -> Plan:
        """Reads the first line of input."""
        data = json.loads(line)
        return cls(
            Deployment(**data["deployment"]),
            {name: Path(folder) for name, folder in data["folders"].items()},
            data["passwords"],
            ActorOptions(**data["options"]),
            Path(data["ring"]),
            Path(data["logs"]),
            data["restarts"],
            data["lock"],
        )

    def options_of(self, name: str) -> ActorOptions:
        """How one actor runs: a port that was asked for is the first one's, and the next ones follow."""
        base = self.options.metrics_port
        return replace(self.options, metrics_port=base + list(self.folders).index(name)) if base else self.options


def run_process(plan: Plan, name: str, told: Connection, make_worker: WorkerFactory) -> None:
    """Body of one actor's process."""
    # The ring is its host's: an actor that outlives it holds its own folder alone.
    os.close(plan.lock)
    host = os.getppid()
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = plan.options_of(name)
    open_log(LogFormat(options.log_format), name, plan.logs / f"{name}.log")
    try:
        with locked(plan.folders[name]):
            actor = load_actor(plan.folders[name], plan.deployment, plan.passwords[name], options, make_worker)
            with published(actor.member.metrics, actor.identity(name), plan.ring, options):
                LOG.info("ready as %s", actor.member.keys.address)
                told.send({"state": "ready"})
                # An orphan would go on alone and unseen: it ends with its host.
                actor.run(options, lambda: not stopping and os.getppid() == host)
    except DeepRingError as error:
        LOG.error("%s", error)  # noqa: TRY400 - one line is the point
        told.send({"state": "failed", "error": str(error)})


class Host:
    """The actors' processes and what is known of each."""

    def __init__(self, plan: Plan, make_worker: WorkerFactory) -> None:
        self._plan = plan
        self._make_worker = make_worker
        self._processes: dict[str, BaseProcess] = {}
        self._told: dict[str, Connection] = {}
        self._restart_at: dict[str, float] = {}
        self._started_at: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._failed: set[str] = set()
        self._proven: set[str] = set()

    def start(self, name: str) -> None:
        """Forks one actor."""
        receiving, sending = FORK.Pipe(duplex=False)
        process = FORK.Process(target=run_process, args=(self._plan, name, sending, self._make_worker), name=name)
        process.start()
        sending.close()
        self._processes[name], self._told[name] = process, receiving
        self._failed.discard(name)
        self._started_at[name] = time.monotonic()
        self._note_pid(name, process)
        report(name, state="started", pid=process.pid)

    def run(self) -> None:
        """Starts all, then serves commands and events until the input ends."""
        self._record().write(self._plan.ring)
        for name in self._plan.folders:
            self.start(name)
        while True:
            waiting: list[Any] = [sys.stdin.fileno(), *self._told.values()]
            waiting += [process.sentinel for process in self._processes.values()]
            ready = wait(waiting, timeout=0.2)
            if sys.stdin.fileno() in ready and not self._obey(os.read(sys.stdin.fileno(), 65536)):
                return
            self._hear()
            self._reap()
            self._restart_due()

    def stop(self) -> None:
        """Ends all processes, gently first."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        for name, process in self._processes.items():
            self._forget(name, process)
        HostRecord.remove(self._plan.ring)

    def _record(self) -> HostRecord:
        pid = os.getpid()
        return HostRecord(pid, process_start(pid) or "", tuple(self._plan.folders), self._plan.restarts)

    def _forget(self, name: str, process: BaseProcess) -> None:
        """Takes away the files that say that this process of ours runs an actor."""
        self._pid_file(name).unlink(missing_ok=True)
        remove_run_file(run_file(self._plan.ring, name), process.pid or 0)

    def _note_pid(self, name: str, process: BaseProcess) -> None:
        """Writes an actor's number for `deepring kill`; where that cannot be, the ring does not end for it."""
        try:
            write_atomic(self._pid_file(name), str(process.pid).encode())
        except (OSError, DeepRingError) as error:
            report(name, state="started", pid=process.pid, error=f"{self._pid_file(name)}: not written ({error})")

    def _pid_file(self, name: str) -> Path:
        return self._plan.logs / f"{name}.pid"

    def _obey(self, data: bytes) -> bool:
        for line in data.splitlines():
            name = json.loads(line)["start"]
            if name not in self._processes:
                self.start(name)
        return bool(data)

    def _hear(self) -> None:
        for name, connection in list(self._told.items()):
            try:
                while connection.poll():
                    message = connection.recv()
                    if message["state"] == "failed":
                        self._failed.add(name)
                    elif message["state"] == "ready":
                        self._proven.add(name)
                    report(name, pid=self._processes[name].pid, **message)
            except (EOFError, OSError):
                connection.close()
                del self._told[name]

    def _reap(self) -> None:
        for name, process in list(self._processes.items()):
            if process.is_alive() or name in self._told:
                continue
            process.join()
            del self._processes[name]
            self._forget(name, process)
            report(name, state="exited", code=process.exitcode)
            # An actor that never ran and said what is wrong would say it again. One that ran is started again whatever
            # it says: what it misses, such as its node or space on the disk, may come back.
            if self._plan.restarts and (name in self._proven or name not in self._failed):
                self._restart_at[name] = time.monotonic() + self._next_pause(name)

    def _next_pause(self, name: str) -> float:
        steady = time.monotonic() - self._started_at[name] > STEADY_SECONDS
        before = 0.0 if steady else self._pauses.get(name, 0.0)
        self._pauses[name] = min(max(RESTART_SECONDS, 2 * before), LONGEST_RESTART_SECONDS)
        return self._pauses[name]

    def _restart_due(self) -> None:
        for name, due in list(self._restart_at.items()):
            if time.monotonic() >= due:
                del self._restart_at[name]
                self.start(name)


def report(actor: str, **state: object) -> None:
    """Tells the parent."""
    sys.stdout.write(json.dumps({"actor": actor, **state}) + "\n")
    sys.stdout.flush()


def main(make_worker: WorkerFactory) -> None:
    """Runs the host until its input ends or it is told to stop.

    Args:
        make_worker: `Worker`, or what an attack puts in its place.
    """
    plan = Plan.parse(sys.stdin.readline())
    FolderLock(plan.lock).sign()
    host = Host(plan, make_worker)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        host.run()
    finally:
        host.stop()
