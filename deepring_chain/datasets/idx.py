"""Reader of IDX files, the format of MNIST (yann.lecun.com/exdb/mnist), plain or gzip-compressed."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from deepring_chain.errors import ModelError
from deepring_chain.files import read_at_most, read_limited

SIZE_LIMIT = 2**30
"""Largest file and largest unpacked contents, in bytes."""

UNSIGNED_BYTES = 0x08
"""IDX type code of uint8, the only one that images and labels use."""

ORIGIN = "https://ossci-datasets.s3.amazonaws.com/mnist/"
"""Where the four files of MNIST are; the page that first published them is yann.lecun.com/exdb/mnist."""

CHECKSUMS: Mapping[str, str] = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
)
"""SHA-256 of MNIST's original files. They are only quoted: other data sets come in this layout too."""


@dataclass(frozen=True)
class LabeledImages:
    """Images with their classes.

    Attributes:
        images: uint8 [N, rows, columns] or [N, rows, columns, channels].
        labels: uint8 [N].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Reads one IDX file of unsigned bytes.

    Args:
        path: the file; gzip is recognized by its first bytes.
        dimensions: expected number of dimensions: 3 for images, 1 for labels.

    Raises:
        ModelError: missing, truncated, damaged or other contents.
    """
    data = _unpack(path, read_limited(path, SIZE_LIMIT, "IDX file"))
    header = 4 + 4 * dimensions
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if data[:4] != expected:
        raise ModelError(f"IDX file {path}: starts with {data[:4].hex() or 'nothing'}, expected {expected.hex()}")
    if len(data) < header:
        raise ModelError(f"IDX file {path}: ends inside of its header")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if len(data) != header + prod(shape):
        raise ModelError(f"IDX file {path}: {len(data) - header} bytes of data, sizes {shape} need {prod(shape)}")
    try:
        return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
    except ValueError as error:  # no elements, and sizes that numpy cannot multiply
        raise ModelError(f"IDX file {path}: sizes {shape} ({error})") from None


def _unpack(path: Path, data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        # One byte over the limit is enough to know that it is exceeded: a small file can unpack to terabytes.
        with gzip.open(io.BytesIO(data), "rb") as stream:
            unpacked = read_at_most(stream, SIZE_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"IDX file {path}: damaged gzip data ({error})") from None
    if len(unpacked) > SIZE_LIMIT:
        raise ModelError(f"IDX file {path}: unpacks to more than {SIZE_LIMIT} bytes")
    return unpacked


def find_idx(folder: Path, stem: str, dimensions: int) -> Path:
    """Path of an IDX file under any of its usual names, in `folder` or in torchvision's `raw` folders below it.

    Raises:
        ModelError: no such file.
    """
    names = [f"{stem}{mark}idx{dimensions}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        for name in names:
            if (place / name).is_file():
                return place / name
    raise ModelError(f"no {names[0]}[.gz] in {folder} or its MNIST/raw: {_remedy(stem, dimensions)}")


def _remedy(stem: str, dimensions: int) -> str:
    name = f"{stem}-idx{dimensions}-ubyte.gz"
    checksum = f" (SHA-256 {CHECKSUMS[name]})" if name in CHECKSUMS else ""
    return f"MNIST's is {ORIGIN}{name}{checksum}"


def read_mnist(folder: Path, part: str) -> LabeledImages:
    """Reads images and labels of one part of MNIST, or of any data set in its layout.

    Args:
        folder: holds the IDX files, or torchvision's `MNIST/raw` or `raw`.
        part: "train" or "t10k".

    Raises:
        ModelError: a file is missing or damaged, or images and labels differ in number.
    """
    images, labels = _read_part(folder, f"{part}-images", 3), _read_part(folder, f"{part}-labels", 1)
    if len(images) != len(labels):
        remedies = "; ".join(_remedy(f"{part}-{what}", size) for what, size in (("images", 3), ("labels", 1)))
        raise ModelError(f"{folder}: {len(images)} {part} images, but {len(labels)} labels; {remedies}")
    return LabeledImages(images, labels)


def _read_part(folder: Path, stem: str, dimensions: int) -> NDArray[np.uint8]:
    path = find_idx(folder, stem, dimensions)
    try:
        return read_idx(path, dimensions)
    except ModelError as error:
        raise ModelError(f"{error}; {_remedy(stem, dimensions)}") from None
