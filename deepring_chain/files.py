"""Writing files so that a crash leaves the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deepring_chain.errors import ConfigError, DeepRingError


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
