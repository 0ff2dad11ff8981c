"""Arrays out of npz archives that nobody vouches for, in bounded memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray


def read_arrays(path: Path, names: Sequence[str], limit: int) -> dict[str, NDArray[Any]]:
    """Those of the arrays called `names` that an archive holds.

    Args:
        path: the archive.
        names: as `numpy.savez` was given them.
        limit: most bytes of each; no more is unpacked, whatever the archive promises.

    Raises:
        ValueError: no archive, a damaged one, or one of objects; one line says why.
    """
    try:
        with ZipFile(path) as archive:
            held = [name for name in names if f"{name}.npy" in archive.namelist()]
            return {name: _read(archive, f"{name}.npy", limit) for name in held}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error, RuntimeError, MemoryError, SyntaxError) as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _read(archive: ZipFile, name: str, limit: int) -> NDArray[Any]:
    if archive.getinfo(name).file_size > limit:
        raise ValueError(f"{name} is larger than {limit} bytes")
    stream = io.BytesIO(archive.read(name))
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
