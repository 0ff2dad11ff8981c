"""Data sets and pictures: IDX, CIFAR's pickles, archives, npz, npy, png."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assurance.fuzz.scratch import from_file
from assurance.fuzz.target import MEBI, Limits, Target
from deepring_chain.datasets.archive import read_members
from deepring_chain.datasets.array_pickle import load_arrays
from deepring_chain.datasets.cifar import decode_batch
from deepring_chain.datasets.idx import read_idx
from deepring_chain.datasets.images import read_images
from deepring_chain.datasets.npz import read_arrays
from deepring_chain.datasets.tiny_imagenet import FILE, read_tiny_imagenet
from deepring_chain.errors import ModelError
from tests.unit.datasets.data_files import jpeg, pickled_array, pickled_batch, tiny_arrays

MEMBER_LIMIT = 2**16
ARRAY_LIMIT = 2**16
UNPACKED = Limits(memory=4 * MEBI, memory_per_byte=2048, seconds=3.0, longest=8192)
"""Deflate packs up to 1032 bytes into one; xz more, into its dictionary."""

XZ = Limits(memory=100 * MEBI, memory_per_byte=2048, seconds=3.0, longest=8192)
"""A limit of its own (`archive.UNPACKER_MEMORY`) and not the file decides how much memory unpacking may take."""

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def _idx(dimensions: int) -> Any:
    return from_file("idx", lambda path: read_idx(path, dimensions))


def _idx_seeds() -> list[bytes]:
    plain = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 2) + bytes(range(12))
    return [plain, gzip.compress(plain, mtime=0)]


def _members(ending: str) -> Any:
    return from_file(
        f"archive{ending}", lambda path: read_members(path, ["a/one", "a/two"], MEMBER_LIMIT, "get it again")
    )


def _tar(form: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, size in (("a", 0), ("a/one", 40), ("é" * 60, 3), ("a/two", 600)):
            info = tarfile.TarInfo(name)
            info.size, info.type = size, tarfile.REGTYPE if size else tarfile.DIRTYPE
            archive.addfile(info, io.BytesIO(bytes(size)))
    data = stream.getvalue()
    return data[: -(-len(data.rstrip(b"\0")) // 512) * 512 + 1536]


def _tars() -> list[bytes]:
    return [_tar(form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]


def _batches() -> list[bytes]:
    return [pickled_batch(np.zeros((1, 32, 32, 3), np.uint8), [3])]


def _pickles() -> list[bytes]:
    arrays = pickled_array(PIXELS)
    return [arrays + b".", b"\x80\x02}(U\x01a" + arrays + b"U\x01b](J\x01\0\0\0J\x02\0\0\0eu.", pickle.dumps({}, 2)]


def _zipped(arrays: Mapping[str, Any], *, packed: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


def _npz(path: Path) -> object:
    try:
        return read_arrays(path, ["a", "b"], ARRAY_LIMIT)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _npzs() -> list[bytes]:
    arrays = {"a": PIXELS, "b": np.array([1, 2], np.int64)}
    return [_zipped(arrays, packed=False), _zipped(arrays, packed=True)]


def _tiny(path: Path) -> object:
    return read_tiny_imagenet(path.parent, "test")


def _tinies() -> list[bytes]:
    return [_zipped(tiny_arrays([jpeg(), jpeg(9, mode="L")], [3, 39]), packed=False)]


def _npys() -> list[bytes]:
    found = []
    for array in (PIXELS, PIXELS[None], np.asfortranarray(PIXELS)):
        stream = io.BytesIO()
        np.save(stream, array)
        found.append(stream.getvalue())
    return found


def _pngs() -> list[bytes]:
    found = []
    for mode in ("L", "RGB", "P", "1"):
        stream = io.BytesIO()
        Image.new(mode, (4, 3), 1 if mode != "RGB" else (1, 2, 3)).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def _image(path: Path) -> object:
    return read_images([path], (3, 4))


def _pickle(data: bytes) -> object:
    try:
        return load_arrays(data)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _target(name: str, parse: Any, seeds: Any, share: int = 6, limits: Limits = UNPACKED, watched: str = "") -> Target:
    return Target(name, parse, (ModelError,), seeds, None, None, limits, share, (watched,) if watched else ())


TARGETS = (
    _target("idx", _idx(3), _idx_seeds, 12),
    _target("pickle-arrays", _pickle, _pickles, 16),
    _target("cifar-batch", lambda data: decode_batch(data, "batch"), _batches, 6),
    _target("tar", _members(".tar"), _tars, 8, watched="tarfile"),
    _target("tar-gz", _members(".tar.gz"), lambda: [gzip.compress(tar, mtime=0) for tar in _tars()], 4),
    _target("tar-xz", _members(".tar.xz"), lambda: [lzma.compress(tar) for tar in _tars()], 4, XZ),
    _target("npz", from_file("arrays.npz", _npz), _npzs, 6),
    _target("tiny-imagenet", from_file(f"tiny/{FILE}", _tiny), _tinies, 3),
    _target("npy", from_file("image.npy", _image), _npys, 10),
    _target("png", from_file("image.png", _image), _pngs, 6),
)
