"""The lock on a folder: one process at a time runs the actor, or the ring, whose folder it is.

The kernel holds the lock (`flock`) on an open file and frees it when its process ends, however that ends: no lock is
left behind that somebody has to remove. What the file says only serves to name the owner.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from deepring_chain.errors import ConfigError
from deepring_chain.ring.running import UNREADABLE, process_start

LOCK_FILE = "lock"
LARGEST_RECORD = 4096
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})
"""What a file system without locks answers, such as NFS without its lock service."""


@dataclass(frozen=True)
class Owner:
    """A process that holds a folder.

    Attributes:
        pid, started: its number, and when it began (`process_start`).
        machine: where it runs.
        file: the locked file's device and inode: a copy of the folder is not what it holds.
    """

    pid: int
    started: str
    machine: str
    file: str

    @classmethod
    def of_this_process(cls, handle: int) -> Owner:
        """The process that runs this, as owner of an open file."""
        return cls(os.getpid(), process_start(os.getpid()) or "", socket.gethostname(), _identity(handle))

    @classmethod
    def parse(cls, line: bytes) -> Owner | None:
        """One line of the file; None if it is damaged."""
        try:
            fields = json.loads(line)
            return cls(int(fields["pid"]), str(fields["started"]), str(fields["machine"]), str(fields["file"]))
        except UNREADABLE:
            return None

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.machine == socket.gethostname()

    def is_gone(self) -> bool:
        """Whether it has ended; of another machine's process nothing is known."""
        return self.is_here and process_start(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid}" + ("" if self.is_here else f" on {self.machine}")


class FolderLock:
    """A lock that is held. A child that inherits `handle` holds it too: it is free when the last one has ended."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Locks a folder for this process.

        Raises:
            ConfigError: another process holds it, or it cannot be locked.
        """
        handle = _open(folder)
        try:
            _lock(folder, handle)
            lock = cls(handle)
            lock._write(b"")
            lock.sign()
        except BaseException:
            os.close(handle)
            raise
        return lock

    def sign(self) -> None:
        """Adds this process to the owners that the file names."""
        known = os.pread(self.handle, LARGEST_RECORD, 0)
        self._write(known + json.dumps(asdict(Owner.of_this_process(self.handle))).encode() + b"\n")

    def release(self) -> None:
        """Frees the folder."""
        self._write(b"")
        os.close(self.handle)

    def _write(self, data: bytes) -> None:
        # On a full disk the lock holds all the same; only its owner has no name.
        with suppress(OSError):
            os.pwrite(self.handle, data, 0)
            os.ftruncate(self.handle, len(data))


@contextmanager
def locked(folder: Path) -> Iterator[FolderLock]:
    """Holds a folder as long as the block runs.

    Raises:
        ConfigError: another process holds it, or it cannot be locked.
    """
    lock = FolderLock.take(folder)
    try:
        yield lock
    finally:
        lock.release()


def owners(folder: Path) -> list[Owner]:
    """The processes that hold a folder, as far as its file names them."""
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            lines, identity = file.read(LARGEST_RECORD).splitlines(), _identity(file.fileno())
    except OSError:
        return []
    named = [owner for line in lines if (owner := Owner.parse(line)) is not None]
    return [owner for owner in named if owner.file == identity and not owner.is_gone()]


def refuse_if_owned(folder: Path) -> None:
    """Looks whether another process of this machine holds a folder, without taking it.

    Raises:
        ConfigError: one does.
    """
    known = [owner for owner in owners(folder) if owner.is_here]
    if known:
        raise _refusal(folder, known)


def _identity(handle: int) -> str:
    status = os.fstat(handle)
    return f"{status.st_dev}:{status.st_ino}"


def _open(folder: Path) -> int:
    path = folder / LOCK_FILE
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: there is no such folder; name a ring's, or an actor's within it") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be opened ({error.strerror}); an actor writes into its folder: choose a writable place"
        ) from None


def _lock(folder: Path, handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(folder, owners(folder)) from None
    except OSError as error:
        reason = error.strerror
        if error.errno in NO_LOCKS:
            reason = f"this file system has no locks: {reason}"
        raise ConfigError(f"{folder}: cannot be locked ({reason}); move it to a local disk") from None


def _refusal(folder: Path, known: list[Owner]) -> ConfigError:
    who = str(known[0]) if known else "another process"
    return ConfigError(f"{folder}: already run by {who}; stop that one first, or leave the work to it")
