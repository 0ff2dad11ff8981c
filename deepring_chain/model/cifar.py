"""Reader of CIFAR-10 in its Python form (cs.toronto.edu/~kriz/cifar.html): pickles, opened as nothing but arrays."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray

from deepring_chain.errors import ModelError
from deepring_chain.model.files import read_limited
from deepring_chain.model.idx import LabeledImages

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
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

ADMITTED: Mapping[tuple[str, str], Any] = MappingProxyType(
    {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
)
"""All that the original files name: an array of plain numbers needs no more."""


class _ArraysOnly(pickle.Unpickler):
    """Opens a pickle that holds plain values and arrays; a pickle may name any function, and would have it called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}; only arrays are opened")
        return ADMITTED[module, name]


def read_cifar10(folder: Path, part: str) -> LabeledImages:
    """Reads one part of CIFAR-10.

    Args:
        folder: holds `data_batch_1` to `data_batch_5` and `test_batch`, or the folder `cifar-10-batches-py` with them.
        part: "train" or "test".

    Returns:
        uint8 images [N, 32, 32, 3] and labels [N].

    Raises:
        ModelError: a file is missing, damaged or not the original; the message says which, and where to get it.
    """
    names = [f"data_batch_{number}" for number in range(1, 6)] if part == "train" else ["test_batch"]
    batches = [_read_batch(_find(folder, name), name) for name in names]
    images = np.concatenate([images for images, _ in batches])
    return LabeledImages(images, np.concatenate([labels for _, labels in batches]))


def _find(folder: Path, name: str) -> Path:
    for place in (folder, folder / FOLDER):
        if (place / name).is_file():
            return place / name
    raise ModelError(f"no CIFAR-10 file {name} in {folder} or its {FOLDER}: unpack {ORIGIN} there")


def _read_batch(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    data = read_limited(path, SIZE_LIMIT, "CIFAR-10 file")
    found = hashlib.sha256(data).hexdigest()
    if found != CHECKSUMS[name]:
        raise ModelError(
            f"CIFAR-10 file {path}: SHA-256 {found}, the original has {CHECKSUMS[name]}; get it from {ORIGIN}"
        )
    return decode_batch(data, f"CIFAR-10 file {path}")


def decode_batch(data: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 [N, 32, 32, 3] and labels uint8 [N] of one pickle.

    Args:
        data: untrusted bytes.
        where: their origin, for the error.

    Raises:
        ModelError: not a pickle, one that names anything but arrays, or other contents.
    """
    try:
        held = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{where}: not a pickle of arrays ({reason})") from None
    pixels, labels = (held.get(key) for key in (b"data", b"labels")) if isinstance(held, dict) else (None, None)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise ModelError(f"{where}: no uint8 array of 3,072 bytes an image under b'data'")
    if not _are_labels(labels, len(pixels)):
        raise ModelError(f"{where}: no list of {len(pixels)} labels 0..9 under b'labels'")
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(labels, dtype=np.uint8)


def _are_labels(labels: object, count: int) -> bool:
    if not isinstance(labels, list) or len(labels) != count:
        return False
    return all(type(label) is int and 0 <= label < 10 for label in labels)
