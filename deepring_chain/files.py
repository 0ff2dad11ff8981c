"""Writing files so that a crash leaves the old content or the new, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deepring_chain.errors import ConfigError


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes `data` to `path` through a flushed temporary file beside it; creates the folder.

    Raises:
        ConfigError: the place is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(mode)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose a writable place") from None
