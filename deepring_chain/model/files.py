"""Reading with a size limit and writing atomically."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deepring_chain.errors import ModelError


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """Reads a whole file.

    Args:
        path: the file.
        limit: largest size in bytes that is read.
        what: name of the contents, for the error message.

    Raises:
        ModelError: the file is missing, unreadable or larger than `limit`.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{what} {path}: cannot be read ({error.strerror or error})") from None
    if len(data) > limit:
        raise ModelError(f"{what} {path}: larger than {limit} bytes")
    return data


def write_atomic(path: Path, data: bytes, what: str) -> None:
    """Writes a file so that a crash leaves either the old or the new contents, never a part.

    Raises:
        ModelError: the folder is missing or not writable, or the disk is full.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        _write_synced(handle, data)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise ModelError(f"{what} {path}: cannot be written ({error.strerror or error})") from None


def _write_synced(handle: int, data: bytes) -> None:
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
