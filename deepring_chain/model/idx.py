"""Reader of IDX files, the format of MNIST (yann.lecun.com/exdb/mnist), plain or gzip-compressed."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepring_chain.errors import ModelError
from deepring_chain.model.files import read_limited

SIZE_LIMIT = 2**30
"""Largest file and largest unpacked contents, in bytes."""

UNSIGNED_BYTES = 0x08
"""IDX type code of uint8, the only one that images and labels use."""


@dataclass(frozen=True)
class LabeledImages:
    """Images with their classes.

    Attributes:
        images: uint8 [N, rows, columns].
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
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _unpack(path: Path, data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        # One byte over the limit is enough to know that it is exceeded: a small file can unpack to terabytes.
        with gzip.open(io.BytesIO(data), "rb") as stream:
            unpacked = stream.read(SIZE_LIMIT + 1)
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
    raise ModelError(f"no {names[0]}[.gz] in {folder}: give the folder that holds the four IDX files of MNIST")


def read_mnist(folder: Path, part: str) -> LabeledImages:
    """Reads images and labels of one part of MNIST, or of any data set in its layout.

    Args:
        folder: holds the IDX files, or torchvision's `MNIST/raw` or `raw`.
        part: "train" or "t10k".

    Raises:
        ModelError: a file is missing or damaged, or images and labels differ in number.
    """
    images = read_idx(find_idx(folder, f"{part}-images", 3), 3)
    labels = read_idx(find_idx(folder, f"{part}-labels", 1), 1)
    if len(images) != len(labels):
        raise ModelError(f"{folder}: {len(images)} {part} images, but {len(labels)} labels")
    return LabeledImages(images, labels)
