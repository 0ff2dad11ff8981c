"""Reader of a subset of Tiny-ImageNet as one npz archive of its original JPEG bytes (see docs/experiments.md)."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepring_chain.errors import ModelError
from deepring_chain.model.idx import LabeledImages

FILE = "tiny-imagenet-40of200.npz"
CHECKSUM = "ce6b8e74fc29bf6fbdd26fc77d03590fa0879da4a1f3fbd304f0b9da0f8474bf"
ORIGIN = "every 5th of the 200 sorted classes of http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SIZE = 64
CLASSES = 40


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
    try:
        with np.load(path, allow_pickle=False) as arrays:
            jpeg, offset, labels = (arrays[f"{prefix}_{name}"] for name in ("jpeg", "offset", "label"))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path}: missing arrays or damaged ({error}); its SHA-256 should be {CHECKSUM}") from None
    _check(path, jpeg, offset, labels)
    spans = zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)
    images = np.stack([_decode(path, number, jpeg[start:end]) for number, (start, end) in enumerate(spans)])
    return LabeledImages(images, labels.astype(np.uint8))


def _check(path: Path, jpeg: NDArray[np.uint8], offset: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    kinds = (jpeg.dtype == np.uint8, offset.dtype.kind == "i", labels.dtype.kind in "iu")
    if not all(kinds) or (jpeg.ndim, offset.ndim, labels.ndim) != (1, 1, 1) or len(offset) != len(labels) + 1:
        raise ModelError(f"{path}: arrays of other kinds or lengths; its SHA-256 should be {CHECKSUM}")
    if len(labels) == 0 or int(labels.min()) < 0 or int(labels.max()) >= CLASSES:
        raise ModelError(f"{path}: labels outside of 0..{CLASSES - 1}; its SHA-256 should be {CHECKSUM}")
    if int(offset[0]) != 0 or int(offset[-1]) != len(jpeg) or bool((np.diff(offset) <= 0).any()):
        raise ModelError(f"{path}: offsets that do not cut its bytes; its SHA-256 should be {CHECKSUM}")


def _decode(path: Path, number: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One picture as RGB; some are gray."""
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=["JPEG"]) as image:
            if image.size != (SIZE, SIZE):
                raise ModelError(f"{path}: image {number} has {image.size} pixels, expected {SIZE} x {SIZE}")
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ModelError(f"{path}: image {number} is damaged ({error}); its SHA-256 should be {CHECKSUM}") from None
