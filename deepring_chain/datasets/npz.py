"""Arrays out of npz archives that nobody vouches for, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from deepring_chain.files import read_at_most

PACKINGS = (ZIP_STORED, ZIP_DEFLATED)
"""As `numpy.savez` and `numpy.savez_compressed` pack; others may ask for any amount of memory to be unpacked."""

HEADERS: Mapping[tuple[int, ...], Callable[[io.BytesIO], tuple[Any, ...]]] = MappingProxyType(
    {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
)


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
            return {name: _parse(_read(archive, f"{name}.npy", limit)) for name in held}
    except Exception as error:  # noqa: BLE001 - numpy reads a header as Python text, and zipfile has errors of its own
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _read(archive: ZipFile, name: str, limit: int) -> bytes:
    member = archive.getinfo(name)
    if member.file_size > limit:
        raise ValueError(f"{name} is larger than {limit} bytes")
    if member.compress_type not in PACKINGS:
        raise ValueError(f"{name} is packed in another way than numpy packs")
    with archive.open(member) as stream:
        return read_at_most(stream, limit)


def _parse(data: bytes) -> NDArray[Any]:
    """The array in an npy file; `numpy.load` would take the memory that its header promises before it reads on."""
    stream = io.BytesIO(data)
    read_header = HEADERS.get(npy.read_magic(stream))
    if read_header is None:
        raise ValueError("an array in a format of another version")
    shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject or prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError("an array of objects, or of another size than its header says")
    array: NDArray[Any] = np.ndarray(shape, dtype, data, stream.tell(), order="F" if is_fortran else "C")
    return array
