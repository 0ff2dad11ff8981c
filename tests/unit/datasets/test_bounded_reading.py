"""Small files that ask for much memory, or break a library's own reader, get one line and little memory."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from deepring_chain.datasets.archive import read_members
from deepring_chain.datasets.idx import read_idx
from deepring_chain.datasets.images import read_images
from deepring_chain.datasets.npz import read_arrays
from deepring_chain.errors import ModelError
from deepring_chain.files import read_at_most, read_limited

LITTLE = 8 * 2**20


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start(1)
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


def test_a_small_file_takes_little_memory_whatever_the_limit_is(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"abc")
    with little_memory():
        assert read_limited(tmp_path / "small", 4 * 2**30, "file") == b"abc"


def test_a_small_packed_idx_file_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "idx").write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + b"ab"))
    with little_memory():
        assert read_idx(tmp_path / "idx", 1).tolist() == [97, 98]


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 100])
def test_read_at_most_gives_the_first_bytes(size: int) -> None:
    for first in (1, 4, 1000):
        assert read_at_most(io.BytesIO(b"abcdef"), size, first) == b"abcdef"[:size]


def npz_of(member: bytes, packing: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        archive.writestr("a.npy", member)
    return stream.getvalue()


def npy_of(header: str) -> bytes:
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npz_of(npy_of(HUGE)), "another size than its header says"),
        (npz_of(npy_of(HUGE.replace("False", "False\n("))), "Cannot parse header|EOF|never closed"),
        (npz_of(b"", zipfile.ZIP_LZMA), "packed in another way"),
        (npz_of(b"\x93NUMPY\x09\0"), "another version"),
        (npz_of(b""), "magic string"),
    ],
)
def test_an_npz_array_that_promises_more_than_it_has_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with little_memory(), pytest.raises(ValueError, match=reason):
        read_arrays(tmp_path / "a.npz", ["a"], 2**40)


def test_an_npz_member_of_a_huge_declared_size_takes_little_memory(tmp_path: Path) -> None:
    data = bytearray(npz_of(npy_of(HUGE)))
    for place, offset in ((data.index(b"PK\x01\x02"), 20), (0, 18)):
        data[place + offset : place + offset + 8] = struct.pack("<II", 2**31 - 1, 2**31 - 1)
    (tmp_path / "a.npz").write_bytes(data)
    with little_memory(), pytest.raises(ValueError, match=r"."):
        read_arrays(tmp_path / "a.npz", ["a"], 2**40)


@pytest.mark.parametrize(
    "data",
    [
        npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4"),
        npy_of("(" * 9000),
        npy_of("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4), \\\n"),
        b"PK\x03\x04 and no archive",
    ],
    ids=["open", "nested", "continued", "zip"],
)
def test_an_npy_file_that_numpy_fails_on_in_its_own_way_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.npy").write_bytes(data)
    with pytest.raises(ModelError, match=r"not a readable npy file"):
        read_images([tmp_path / "image.npy"], (3, 4))


def tar_of(contents: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("one")
        info.size = len(contents)
        archive.addfile(info, io.BytesIO(contents))
    return stream.getvalue()


def with_dictionary(size_code: int) -> Callable[[bytes], bytes]:
    """Sets the dictionary's size in the header of the first block, and that header's checksum."""

    def change(data: bytes) -> bytes:
        header = bytearray(data[12:24])
        assert header[2:4] == b"\x21\x01"  # LZMA2, one byte of properties
        header[4] = size_code
        header[8:12] = struct.pack("<I", zlib.crc32(header[:8]))
        return data[:12] + bytes(header) + data[24:]

    return change


def test_an_xz_archive_cannot_ask_for_gigabytes_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    path.write_bytes(with_dictionary(40)(lzma.compress(tar_of(b"contents"))))
    with little_memory(), pytest.raises(ModelError, match="damaged"):
        read_members(path, ["one"], 100, "get it again")


@pytest.mark.parametrize("preset", [0, 6, 9])
def test_an_xz_archive_of_any_preset_is_read(preset: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    contents = np.random.default_rng(2).bytes(300_000)
    packed = tar_of(contents)
    path.write_bytes(lzma.compress(packed[:5000], preset=preset) + lzma.compress(packed[5000:], preset=preset))
    assert read_members(path, ["one"], 2**20, "get it again") == {"one": contents}


def test_an_xz_archive_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    whole = lzma.compress(tar_of(np.random.default_rng(2).bytes(30_000)))
    for size in (0, 5, 40, 20_000):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="damaged"):
            read_members(path, ["one"], 2**20, "get it again")
