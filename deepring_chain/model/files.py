"""Reading with a size limit."""

from __future__ import annotations

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
