"""Files: read with a limit of size; written so that a crash leaves the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol

from deepring_chain.errors import ConfigError, DeepRingError, ModelError

PIECE = 2**20


class Readable(Protocol):
    """An open file, packed or not."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


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
            data = read_at_most(stream, limit + 1, os.fstat(stream.fileno()).st_size + 1)
    except OSError as error:
        raise ModelError(f"{what} {path}: cannot be read ({error.strerror or error})") from None
    if len(data) > limit:
        raise ModelError(f"{what} {path}: larger than {limit} bytes")
    return data


def read_at_most(stream: Readable, size: int, first: int = PIECE) -> bytes:
    """Reads until the end, but no more than `size` bytes.

    Unlike `stream.read(size)`, which takes memory for `size` bytes before it reads the first, this takes no more than
    twice of what is there, or once if `first` is right.

    Args:
        stream: an open file.
        size: most bytes.
        first: how many there may be.
    """
    pieces: list[bytes] = []
    left, next_size = size, max(first, 1)
    while left > 0 and (piece := stream.read(min(left, next_size))):
        pieces.append(piece)
        left, next_size = left - len(piece), PIECE
    return b"".join(pieces)


def write_atomic(path: Path, data: bytes, mode: int = 0o644, error_type: type[DeepRingError] = ConfigError) -> None:
    """Writes `data` to `path` through a flushed temporary file beside it; creates the folder.

    Args:
        path: the file.
        data: its new content.
        mode: its permissions.
        error_type: what to raise.

    Raises:
        DeepRingError: of type `error_type`: the place is not writable, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise error_type(f"{path}: cannot be written ({reason}); choose a writable place") from None


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
