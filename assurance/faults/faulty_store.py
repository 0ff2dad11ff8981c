"""The local file system as fsspec gives it to an actor, and as a failing or slow disk would.

What shall go wrong for an actor stands in a file `<actor>.store` in the folder that DEEPRING_TEST_FAULTS names: `slow`
and seconds, or `fail` and the name of an error of the operating system.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

FAULTS = "DEEPRING_TEST_FAULTS"


def control_file(folder: Path, actor: str) -> Path:
    """Where the trouble of one actor's store is written."""
    return folder / f"{actor}.store"


def suffer() -> None:
    """Waits or fails as this process's control file says."""
    try:
        word, value = control_file(Path(os.environ[FAULTS]), multiprocessing.current_process().name).read_text().split()
    except FileNotFoundError:
        return
    if word == "slow":
        time.sleep(float(value))
        return
    raise OSError(getattr(errno, value), os.strerror(getattr(errno, value)))


class FaultyFileSystem(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The local file system with the troubles of its control file."""

    def info(self, path: Any, **options: Any) -> Any:
        """Size and kind of a file."""
        suffer()
        return super().info(path, **options)

    def cat_file(self, path: Any, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        """A file's bytes."""
        suffer()
        return super().cat_file(path, start=start, end=end, **options)

    def _open(self, path: Any, mode: str = "rb", block_size: Any = None, **options: Any) -> Any:
        suffer()
        return super()._open(path, mode=mode, block_size=block_size, **options)


def install() -> None:
    """Has fsspec give this file system out for `file://`."""
    fsspec.register_implementation("file", FaultyFileSystem, clobber=True)
