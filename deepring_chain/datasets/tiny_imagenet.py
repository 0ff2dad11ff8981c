"""Reader of a subset of Tiny-ImageNet as one npz archive of its original JPEG bytes (see docs/experiments.md)."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.npz import read_arrays
from deepring_chain.errors import ModelError

FILE = "tiny-imagenet-40of200.npz"
CHECKSUM = "ce6b8e74fc29bf6fbdd26fc77d03590fa0879da4a1f3fbd304f0b9da0f8474bf"
ORIGIN = "every 5th of the 200 sorted classes of http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIZE = 64
CLASSES = 40

ARRAY_LIMIT = 128 * 2**20
"""Largest array of the archive in bytes; the largest of the original has 38,604,429."""

IMAGES_LIMIT = 100_000
"""Most images of one part: 1.2 GB in memory."""


def read_tiny_imagenet(folder: Path, part: str) -> LabeledImages:
    """Reads one part of the 40-class subset.

    Args:
        folder: holds `tiny-imagenet-40of200.npz` with the arrays `<part>_jpeg` (all files, one after another),
            `<part>_offset` and `<part>_label`.
        part: "train" or "test"; the latter is the original's "val".

    Returns:
        uint8 images [N, 64, 64, 3] and labels [N].

    Raises:
        ModelError: the file is missing or damaged, or holds something else.
    """
    path = folder / FILE
    if not path.is_file():
        raise ModelError(f"no {FILE} in {folder}: it holds {ORIGIN}, SHA-256 {CHECKSUM}")
    prefix = "train" if part == "train" else "val"
    names = [f"{prefix}_{name}" for name in ("jpeg", "offset", "label")]
    try:
        arrays = read_arrays(path, names, ARRAY_LIMIT)
        if len(arrays) != len(names):
            raise ValueError(f"without {names[0]}, {names[1]} or {names[2]}")  # noqa: TRY301
        jpeg, offset, labels = (arrays[name] for name in names)
        _check(jpeg, offset, labels)
        spans = zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)
        images = np.stack([_decode(number, jpeg[start:end]) for number, (start, end) in enumerate(spans)])
    except ValueError as error:
        raise ModelError(f"{path}: damaged or another file ({error}); its SHA-256 should be {CHECKSUM}") from None
    return LabeledImages(images, labels.astype(np.uint8))


def _check(jpeg: NDArray[Any], offset: NDArray[Any], labels: NDArray[Any]) -> None:
    kinds = (jpeg.dtype == np.uint8, offset.dtype.kind == "i", labels.dtype.kind in "iu")
    if not all(kinds) or (jpeg.ndim, offset.ndim, labels.ndim) != (1, 1, 1) or len(offset) != len(labels) + 1:
        raise ValueError("arrays of other kinds or lengths")
    if not 0 < len(labels) <= IMAGES_LIMIT or int(labels.min()) < 0 or int(labels.max()) >= CLASSES:
        raise ValueError(f"labels outside of 0..{CLASSES - 1}, none, or more than {IMAGES_LIMIT}")
    if int(offset[0]) != 0 or int(offset[-1]) != len(jpeg) or bool((offset[1:] <= offset[:-1]).any()):
        raise ValueError("offsets that do not cut its bytes")


def _decode(number: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One picture as RGB; some are gray."""
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=["JPEG"]) as image:
            size = image.size
            if size == (SIZE, SIZE):
                return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, struct.error, Image.DecompressionBombError):
        raise ValueError(f"image {number} is no whole JPEG picture") from None
    raise ValueError(f"image {number} has {size[0]} x {size[1]} pixels, expected {SIZE} x {SIZE}")
