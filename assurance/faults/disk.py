"""A small disk of a ring's own, which can be filled; and what stands in for it where no file system can be mounted."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NAMESPACE = "DEEPRING_TEST_NAMESPACE"
"""Set in a process that has a mount namespace of its own."""

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")
MOUNT, UNMOUNT = "/bin/mount", "/bin/umount"
BALLAST = ".ballast"
BLOCK = 2**16


def enter_namespace(module: str) -> None:
    """Runs this program anew in a mount namespace of its own, where the system lets it; else goes on as it is.

    Mounts in such a namespace need no privileges, and end with its last process, however that dies.
    """
    if NAMESPACE in os.environ or shutil.which(UNSHARE[0]) is None:
        return
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0:
        command = [*UNSHARE, sys.executable, "-m", module, *sys.argv[1:]]
        os.execvpe(UNSHARE[0], command, {**os.environ, NAMESPACE: "1"})  # noqa: S606 - this program once more


class Disk:
    """A folder on a file system of its own, as a context manager.

    Attributes:
        reason: why it has none; "" where it has.
    """

    def __init__(self, folder: Path, megabytes: int = 96) -> None:
        self._folder = folder
        self._megabytes = megabytes
        self.reason = ""

    def __enter__(self) -> Disk:
        self._folder.mkdir(parents=True, exist_ok=True)
        if NAMESPACE not in os.environ:
            self.reason = "this system allows no mount namespace"
            return self
        options = ["-t", "tmpfs", "-o", f"size={self._megabytes}m", "deepring-faults", str(self._folder)]
        done = subprocess.run([MOUNT, *options], capture_output=True, text=True, check=False)
        self.reason = " ".join(done.stderr.split()) if done.returncode else ""
        return self

    def __exit__(self, *_error: object) -> None:
        if not self.reason:
            subprocess.run([UNMOUNT, "--lazy", str(self._folder)], capture_output=True, check=False)

    def fill(self) -> int:
        """Writes until there is no space; returns how many bytes went in."""
        with (self._folder / BALLAST).open("ab", buffering=0) as ballast:
            for size in (2**20, BLOCK, 4096, 1):
                _write_all(ballast.fileno(), bytes(size))
            return ballast.tell()

    def free(self) -> None:
        """Gives the space back."""
        (self._folder / BALLAST).unlink(missing_ok=True)


def _write_all(file: int, block: bytes) -> None:
    try:
        while True:
            os.write(file, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def forbid_writing(processes: Iterable[int]) -> None:
    """Lets no file of these processes grow any more: the limit on a file's size is 0, and writing gives EFBIG."""
    _limit_files(processes, 0)


def allow_writing(processes: Iterable[int]) -> None:
    """Takes `forbid_writing` back."""
    _limit_files(processes, resource.RLIM_INFINITY)


def _limit_files(processes: Iterable[int], size: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))
