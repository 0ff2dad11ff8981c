"""Reader of CIFAR-10 in its Python form (cs.toronto.edu/~kriz/cifar.html): pickles, opened as nothing but arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from deepring_chain.datasets.archive import read_members
from deepring_chain.datasets.array_pickle import load_arrays
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.files import read_limited

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
ARCHIVES = tuple(f"{stem}.tar{end}" for stem in ("cifar-10-python", FOLDER) for end in (".gz", ".xz", ""))
SIZE_LIMIT = 64 * 2**20

CHECKSUMS: Mapping[str, str] = MappingProxyType(
    {
        "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
        "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
    }
)
"""SHA-256 of the original files."""


def read_cifar10(folder: Path, part: str, checksums: Mapping[str, str] = CHECKSUMS) -> LabeledImages:
    """Reads one part of CIFAR-10.

    Args:
        folder: holds `data_batch_1` to `data_batch_5` and `test_batch`, or the folder `cifar-10-batches-py` with
            them, or the archive in which they are published (`cifar-10-python.tar.gz`), which is read as it is.
        part: "train" or "test".
        checksums: SHA-256 of each file.

    Returns:
        uint8 images [N, 32, 32, 3] and labels [N].

    Raises:
        ModelError: a file is missing, damaged or not the original; the message says which, and where to get it.
    """
    names = [f"data_batch_{number}" for number in range(1, 6)] if part == "train" else ["test_batch"]
    batches = [_open(data, where, checksums[name]) for name, where, data in _files(folder, names)]
    images = np.concatenate([images for images, _ in batches])
    return LabeledImages(images, np.concatenate([labels for _, labels in batches]))


def _files(folder: Path, names: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """Name, place for messages, and contents of each file."""
    for place in (folder, folder / FOLDER):
        if any((place / name).is_file() for name in names):
            yield from ((name, f"CIFAR-10 file {place / name}", _read(place, name)) for name in names)
            return
    archive = next((folder / name for name in ARCHIVES if (folder / name).is_file()), None)
    if archive is None:
        known = f"{names[0]} in {folder} or its {FOLDER}, nor an archive {ARCHIVES[0]}"
        raise ModelError(f"no CIFAR-10 file {known}; get it from {ORIGIN}")
    held = read_members(archive, [f"{FOLDER}/{name}" for name in names], SIZE_LIMIT, f"get it from {ORIGIN}")
    yield from ((name, f"CIFAR-10 file {name} in {archive}", held[f"{FOLDER}/{name}"]) for name in names)


def _read(place: Path, name: str) -> bytes:
    if not (place / name).is_file():
        raise ModelError(f"no CIFAR-10 file {name} in {place}, where others are; get it from {ORIGIN}")
    return read_limited(place / name, SIZE_LIMIT, "CIFAR-10 file")


def _open(data: bytes, where: str, checksum: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    found = hashlib.sha256(data).hexdigest()
    if found != checksum:
        raise ModelError(f"{where}: SHA-256 {found}, the original has {checksum}; get it from {ORIGIN}")
    return decode_batch(data, where)


def decode_batch(data: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 [N, 32, 32, 3] and labels uint8 [N] of one pickle.

    Args:
        data: untrusted bytes.
        where: their origin, for the error.

    Raises:
        ModelError: not a pickle, one that names anything but arrays, or other contents.
    """
    try:
        held = load_arrays(data)
    except ValueError as error:
        raise ModelError(f"{where}: not a pickle of arrays ({error})") from None
    pixels, labels = (held.get(key) for key in (b"data", b"labels")) if isinstance(held, dict) else (None, None)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise ModelError(f"{where}: no array of 3,072 bytes an image under b'data'")
    if not _are_labels(labels, len(pixels)):
        raise ModelError(f"{where}: no list of {len(pixels)} labels 0..9 under b'labels'")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(labels, dtype=np.uint8)


def _are_labels(labels: object, count: int) -> bool:
    if not isinstance(labels, list) or len(labels) != count:
        return False
    return all(type(label) is int and 0 <= label < 10 for label in labels)
