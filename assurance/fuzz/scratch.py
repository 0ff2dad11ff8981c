"""Files for parsers that read files: one folder for the process, gone at its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
    return tempfile.TemporaryDirectory(prefix="deepring-fuzz-", dir=memory if memory.is_dir() else None)


def scratch(name: str) -> Path:
    """A path in the folder."""
    return Path(_folder().name) / name


def from_file(name: str, read: Callable[[Path], T]) -> Callable[[bytes], T]:
    """A parser of bytes out of one of files: the bytes are written under that name."""

    def parse(data: bytes) -> T:
        path = scratch(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return parse
