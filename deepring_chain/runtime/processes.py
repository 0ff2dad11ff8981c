"""Starting, watching and stopping a ring's processes from a command, a script or a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from types import TracebackType

from deepring_chain.errors import ConfigError
from deepring_chain.ring.folder import OUROBOROS, Deployment, RingFolder
from deepring_chain.ring.folder_lock import FolderLock, locked, refuse_if_owned
from deepring_chain.ring.options import ActorOptions

READY_SECONDS = 120.0
STOP_SECONDS = 10.0
HONEST_HOST = "deepring_chain.runtime"


@dataclass(frozen=True)
class ActorStatus:
    """What the host last said of an actor: "started", "ready", "failed" or "exited"."""

    state: str
    pid: int | None = None
    error: str | None = None
    code: int | None = None


@contextmanager
def owning(folder: RingFolder) -> Iterator[FolderLock]:
    """Holds a ring's folder as long as the block runs.

    Raises:
        ConfigError: another process runs the ring, or one of its actors.
    """
    with locked(folder.path) as lock:
        for name in actor_names(folder):
            refuse_if_owned(folder.path / name)
        yield lock


def actor_names(folder: RingFolder) -> list[str]:
    """The ouroboros and all workers, standbys included."""
    return [OUROBOROS, *(entry.name for entry in folder.load_config().workers)]


class RingProcesses:
    """The ouroboros and one process per worker, as a context manager.

    Args:
        folder: the ring.
        deployment: where it runs.
        password: of all key files.
        options: how the actors run.
        restarts: whether an actor that vanishes is started again.
        host_module: what `python -m` runs; an experiment may put its own workers in place.
        on_status: told each change, from another thread.
        lock: the ring's, if the caller holds it; else it is taken for as long as the processes run.
    """

    def __init__(
        self,
        folder: RingFolder,
        deployment: Deployment,
        password: str,
        options: ActorOptions,
        *,
        restarts: bool = True,
        host_module: str = HONEST_HOST,
        on_status: Callable[[str, ActorStatus], None] = lambda _name, _status: None,
        lock: FolderLock | None = None,
    ) -> None:
        names = actor_names(folder)
        self._plan = {
            "deployment": asdict(deployment),
            "folders": {name: str((folder.path / name).absolute()) for name in names},
            "passwords": dict.fromkeys(names, password),
            "options": asdict(options),
            "ring": str(folder.path.absolute()),
            "logs": str(folder.logs.absolute()),
            "restarts": restarts,
        }
        self._names = names
        self._folder = folder
        self._lock = lock
        self._owned = ExitStack()
        self._log = folder.log_file("host")
        self._on_status = on_status
        self._host_module = host_module
        self._statuses: dict[str, ActorStatus] = {}
        self._changed = threading.Condition()
        self._host: subprocess.Popen[str] | None = None

    def __enter__(self) -> RingProcesses:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def statuses(self) -> Mapping[str, ActorStatus]:
        """The last known state of every actor."""
        with self._changed:
            return dict(self._statuses)

    def start(self) -> None:
        """Starts the host, which forks the actors, and waits until all are ready.

        Raises:
            ConfigError: somebody else runs the ring; an actor failed, in its own words, or did not get ready in time.
        """
        lock = self._lock or self._owned.enter_context(owning(self._folder))
        try:
            self._start_host(lock)
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _start_host(self, lock: FolderLock) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal reaches the parent alone, which then stops all in order.
            self._host = subprocess.Popen(
                [sys.executable, "-m", self._host_module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=(lock.handle,),
                start_new_session=True,
                # Kernels' idle threads sleep: many workers share a machine, and spinning ones starve each other.
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
            )
        threading.Thread(target=self._listen, args=(self._host,), daemon=True).start()
        # The passwords go through the pipe: argv and the environment can be read by others.
        self._tell({**self._plan, "lock": lock.handle})

    def stop(self) -> None:
        """Stops all actors and the host."""
        host, self._host = self._host, None
        with self._owned:
            if host is None or host.stdin is None:
                return
            host.stdin.close()
            try:
                host.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                host.kill()
                host.wait()

    def start_actor(self, name: str) -> None:
        """Starts an actor that ended."""
        self._tell({"start": name})

    def await_state(self, name: str, state: str, timeout: float = READY_SECONDS) -> ActorStatus:
        """Waits until an actor is in `state`.

        Raises:
            ConfigError: not within `timeout` seconds.
        """
        with self._changed:
            reached = self._changed.wait_for(lambda: self._state_of(name) == state, timeout)
            if not reached:
                raise ConfigError(f"{name}: not {state} within {timeout:.0f} s; see {self._log.parent}")
            return self._statuses[name]

    def is_alive(self) -> bool:
        """Whether the host runs."""
        return self._host is not None and self._host.poll() is None

    def _state_of(self, name: str) -> str | None:
        status = self._statuses.get(name)
        return status.state if status else None

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with self._changed:
            while {self._state_of(name) for name in self._names} != {"ready"}:
                for name, status in self._statuses.items():
                    if status.state in ("failed", "exited"):
                        reason = status.error or f"ended with code {status.code}; see {self._log.parent}"
                        raise ConfigError(f"{name}: {reason}")
                if not self.is_alive():
                    raise ConfigError(f"the host of the actors ended; see {self._log}")
                if time.monotonic() > deadline:
                    raise ConfigError(f"the actors were not ready within {READY_SECONDS:.0f} s; see {self._log.parent}")
                self._changed.wait(0.2)

    def _tell(self, message: object) -> None:
        if self._host is None or self._host.stdin is None:
            raise ConfigError("the ring's processes do not run")
        try:
            self._host.stdin.write(json.dumps(message) + "\n")
            self._host.stdin.flush()
        except OSError:
            raise ConfigError(f"the host of the actors ended; see {self._log}") from None

    def _listen(self, host: subprocess.Popen[str]) -> None:
        if host.stdout is None:
            return
        for line in host.stdout:
            fields = json.loads(line)
            name = fields.pop("actor")
            status = ActorStatus(**fields)
            with self._changed:
                before = self._statuses.get(name)
                if status.state == "exited" and before is not None:
                    # What it said last is the reason; whoever waits may see only this newer state.
                    status = replace(status, error=before.error)
                self._statuses[name] = status
                self._changed.notify_all()
            self._on_status(name, status)
