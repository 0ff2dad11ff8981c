"""What a running actor, and the host of a ring's processes, leave on disk so that others can find them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.files import write_atomic

RUN_FOLDER = "run"
HOST_FILE = "host.status"

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a damaged file can raise: JSON knows Infinity, and lists within lists without end."""


@dataclass(frozen=True)
class RunningActor:
    """What the file of a running actor says.

    Attributes:
        name: the actor.
        host, port: of its endpoint.
        pid, started: its process, and the kernel's word for when that began (`process_start`).
    """

    name: str
    host: str
    port: int
    pid: int
    started: str

    def encode(self) -> bytes:
        """JSON that Prometheus's `file_sd_configs` takes as it is; it drops the labels that begin with `__`."""
        meta = {"__meta_deepring_pid": str(self.pid), "__meta_deepring_started": self.started}
        host = f"[{self.host}]" if ":" in self.host else self.host
        return json.dumps([{"targets": [f"{host}:{self.port}"], "labels": {"actor": self.name, **meta}}]).encode()

    @classmethod
    def read(cls, path: Path) -> RunningActor | None:
        """What the file says; None if it is absent or damaged."""
        try:
            (group,) = json.loads(path.read_bytes())
            host, _, port = group["targets"][0].rpartition(":")
            labels = group["labels"]
            pid, started = int(labels["__meta_deepring_pid"]), str(labels["__meta_deepring_started"])
            return cls(str(labels["actor"]), host.strip("[]"), int(port), pid, started)
        except UNREADABLE:
            return None

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return process_start(self.pid) == self.started


@dataclass(frozen=True)
class HostRecord:
    """What the host of a ring's processes leaves in the ring's folder while it runs.

    Attributes:
        pid, started: its process, as in `RunningActor`.
        actors: whom it runs.
        restarts: whether it starts an actor again that vanished.
    """

    pid: int
    started: str
    actors: tuple[str, ...]
    restarts: bool

    def write(self, ring: Path) -> None:
        """Writes the file. Its name does not end in `.json`, so that Prometheus passes it over."""
        fields = {"pid": self.pid, "started": self.started, "actors": self.actors, "restarts": self.restarts}
        write_atomic(ring / RUN_FOLDER / HOST_FILE, json.dumps(fields).encode())

    @classmethod
    def read(cls, ring: Path) -> HostRecord | None:
        """What the file says; None if it is absent or damaged."""
        try:
            fields = json.loads((ring / RUN_FOLDER / HOST_FILE).read_bytes())
            return cls(
                int(fields["pid"]), str(fields["started"]), tuple(map(str, fields["actors"])), bool(fields["restarts"])
            )
        except UNREADABLE:
            return None

    @classmethod
    def remove(cls, ring: Path) -> None:
        """Removes the file of this very process; another one's stays."""
        known = cls.read(ring)
        if known is not None and known.pid == os.getpid():
            (ring / RUN_FOLDER / HOST_FILE).unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return process_start(self.pid) == self.started


def process_start(pid: int) -> str | None:
    """When a process began, in the kernel's words, which tell it from a later one with its number; None if it is gone.

    proc(5): field 22 of /proc/PID/stat, in clock ticks since boot. A system without /proc only says "unknown".
    """
    if not Path("/proc/self/stat").exists():
        return _probe(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _probe(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def remove_run_file(path: Path, pid: int) -> None:
    """Removes the file of a process that runs an actor no more; another one's stays."""
    known = RunningActor.read(path)
    if known is not None and known.pid == pid:
        path.unlink(missing_ok=True)


def run_file(folder: Path, name: str) -> Path:
    """The file of an actor in a ring's or an actor's own folder."""
    return folder / RUN_FOLDER / f"{name}.json"
