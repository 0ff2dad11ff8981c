"""Small files in the forms of the data sets."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def short_text(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def pickled_array(array: np.ndarray[Any, Any]) -> bytes:
    """An array of bytes as Python 2 pickled it."""
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85" + short_text(b"b") + b"tR"
    shape = b"(" + b"".join(number(size) for size in array.shape) + b"t"
    dtype = b"cnumpy\ndtype\n" + short_text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + short_text(b"|") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
    contents = b"T" + struct.pack("<i", array.size) + array.tobytes()
    return start + b"(" + number(1) + shape + dtype + b"\x89" + contents + b"tb"


def pickled_batch(images: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    """A file of CIFAR-10: images uint8 [N, 32, 32, 3]."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
    held = short_text(b"data") + pickled_array(rows)
    held += short_text(b"labels") + b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + held + b"u."


def cifar_files(count: int = 3) -> dict[str, bytes]:
    """The six files of a tiny CIFAR-10, each with other images."""
    random = np.random.default_rng(7)
    names = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]
    return {
        name: pickled_batch(
            random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), random.integers(0, 10, count).tolist()
        )
        for name in names
    }


def checksums_of(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def jpeg(color: int = 99, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, color if mode == "L" else (color, 10, 200)).save(stream, "JPEG")
    return stream.getvalue()


def tiny_arrays(pictures: list[bytes], labels: list[int], prefix: str = "val") -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of one part of the Tiny-ImageNet subset."""
    return {
        f"{prefix}_jpeg": np.frombuffer(b"".join(pictures), np.uint8),
        f"{prefix}_offset": np.cumsum([0, *map(len, pictures)], dtype=np.int64),
        f"{prefix}_label": np.array(labels, np.uint8),
    }


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    """An IDX file, packed."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_mnist(folder: Path, train: int = 40, test: int = 20, size: int = 28) -> None:
    """Four files in the layout of MNIST, of random pictures."""
    random = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", random.integers(0, 256, (count, size, size), dtype=np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", random.integers(0, 10, count).astype(np.uint8))
