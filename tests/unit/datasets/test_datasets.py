"""The files of the data sets are read as published, or refused with what is wrong and where to get them."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepring_chain.datasets import archive, tiny_imagenet
from deepring_chain.datasets.by_name import DATASETS, read_dataset
from deepring_chain.datasets.cifar import CHECKSUMS, ORIGIN, decode_batch, read_cifar10
from deepring_chain.datasets.tiny_imagenet import CHECKSUM, FILE, read_tiny_imagenet
from deepring_chain.errors import ModelError
from tests.unit.datasets.data_files import (
    checksums_of,
    cifar_files,
    jpeg,
    pickled_array,
    pickled_batch,
    short_text,
    tiny_arrays,
    write_idx,
    write_mnist,
)

FILES = cifar_files()
SUMS = checksums_of(FILES)
NAMED = "cifar-10-batches-py"
PICTURE = np.arange(32 * 32 * 3, dtype=np.uint64).astype(np.uint8).reshape(1, 32, 32, 3)


def unpack(folder: Path, files: dict[str, bytes] = FILES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def tar(files: dict[str, bytes], prefix: str = f"{NAMED}/") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{prefix}{name}")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def one_line(caught: pytest.ExceptionInfo[ModelError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("folder", [".", NAMED])
def test_cifar_is_read_from_its_files(tmp_path: Path, folder: str) -> None:
    unpack(tmp_path / folder)
    train, test = (read_cifar10(tmp_path, part, SUMS) for part in ("train", "test"))
    assert (train.images.shape, train.labels.shape, train.images.dtype) == ((15, 32, 32, 3), (15,), np.dtype(np.uint8))
    assert (test.images.shape, test.labels.shape) == ((3, 32, 32, 3), (3,))
    last = decode_batch(FILES["data_batch_5"], "file")
    assert np.array_equal(train.images[12:], last[0])
    assert np.array_equal(train.labels[12:], last[1])


def test_pixels_and_labels_are_where_they_belong() -> None:
    images, labels = decode_batch(pickled_batch(PICTURE, [7]), "file")
    assert np.array_equal(images, PICTURE)
    assert labels.tolist() == [7]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("cifar-10-python.tar.gz", gzip.compress),
        ("cifar-10-batches-py.tar.xz", lzma.compress),
        ("cifar-10-python.tar", bytes),
    ],
)
def test_cifar_is_read_from_its_archive_as_it_is(tmp_path: Path, name: str, pack: Any) -> None:
    (tmp_path / name).write_bytes(pack(tar({"readme.html": b"x", **FILES})))
    unpack(tmp_path / "unpacked")
    for part in ("train", "test"):
        expected, found = read_cifar10(tmp_path / "unpacked", part, SUMS), read_cifar10(tmp_path, part, SUMS)
        assert np.array_equal(found.images, expected.images)
        assert np.array_equal(found.labels, expected.labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "unpacked"])


def test_missing_cifar_is_refused_with_its_origin(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ModelError, match="no CIFAR-10 file data_batch_1 in") as caught:
            read_dataset("cifar10", path, "train")
        assert one_line(caught).endswith(f"get it from {ORIGIN}")
    unpack(tmp_path / NAMED, {"data_batch_1": FILES["data_batch_1"]})
    with pytest.raises(ModelError, match=f"no CIFAR-10 file data_batch_2 in {tmp_path / NAMED}, where others are"):
        read_cifar10(tmp_path, "train", SUMS)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_truncated_cifar_file_is_refused_with_the_checksum_it_should_have(tmp_path: Path, cut: int) -> None:
    unpack(tmp_path, {**FILES, "data_batch_3": FILES["data_batch_3"][:cut]})
    with pytest.raises(ModelError, match=r"data_batch_3: SHA-256 [0-9a-f]{64}, the original has") as caught:
        read_cifar10(tmp_path, "train", SUMS)
    assert SUMS["data_batch_3"] in one_line(caught)
    assert ORIGIN in str(caught.value)
    read_cifar10(tmp_path, "test", SUMS)


def test_cifar_file_of_another_origin_is_refused(tmp_path: Path) -> None:
    unpack(tmp_path)
    with pytest.raises(ModelError, match=f"the original has {CHECKSUMS['test_batch']}"):
        read_dataset("cifar10", tmp_path, "test")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02N.", "no array of 3,072 bytes"),
        (b"\x80\x02}.", "no array of 3,072 bytes"),
        (b"\x80\x02}(" + short_text(b"data") + b"K\x05u.", "no array of 3,072 bytes"),
        (b"\x80\x02}(" + short_text(b"data") + pickled_array(np.zeros((2, 5), np.uint8)) + b"u.", "no array of 3,072"),
        (b"\x80\x02}(" + short_text(b"data") + pickled_array(np.zeros(3072, np.uint8)) + b"u.", "no array of 3,072"),
        (pickled_batch(PICTURE, []), r"no list of 1 labels 0\.\.9"),
        (pickled_batch(PICTURE, [1, 2]), r"no list of 1 labels 0\.\.9"),
        (pickled_batch(PICTURE, [10]), r"no list of 1 labels 0\.\.9"),
        (pickled_batch(PICTURE, [-1]), r"no list of 1 labels 0\.\.9"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", r"not a pickle of arrays \(it names 'os.system'; only arrays"),
    ],
)
def test_batch_of_other_contents_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=f"^file: {message}"):
        decode_batch(data, "file")


def archives() -> dict[str, tuple[bytes, str]]:
    packed = tar(FILES)
    link = io.BytesIO()
    with tarfile.open(fileobj=link, mode="w") as made:
        member = tarfile.TarInfo(f"{NAMED}/test_batch")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(member)
    promised = tarfile.TarInfo(f"{NAMED}/test_batch")
    promised.size = 10**6
    oversized = tarfile.TarInfo(f"{NAMED}/test_batch")
    oversized.size = 2**40
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**40
    return {
        "truncated": (gzip.compress(packed)[:-2000], "damaged"),
        "changed": (gzip.compress(packed)[:5000] + bytes(20) + gzip.compress(packed)[5020:], "damaged|lacks"),
        "no archive": (b"hello world" * 100, "damaged"),
        "empty": (b"", "damaged|lacks"),
        "plain bytes packed": (gzip.compress(bytes(range(256)) * 99), "damaged"),
        "without the file": (gzip.compress(tar({"readme.html": b"x"})), f"lacks {NAMED}/test_batch"),
        "another folder": (gzip.compress(tar(FILES, prefix="../")), f"lacks {NAMED}/test_batch"),
        "absolute": (gzip.compress(tar(FILES, prefix=f"/{NAMED}/")), f"lacks {NAMED}/test_batch"),
        "link": (gzip.compress(link.getvalue()), f"lacks {NAMED}/test_batch"),
        "promises more": (gzip.compress(promised.tobuf() + bytes(1000)), "damaged"),
        "promises too much": (gzip.compress(oversized.tobuf() + bytes(1000)), "damaged .a file of 1099511627776 bytes"),
        "header of a terabyte": (gzip.compress(header.tobuf() + bytes(1000)), "damaged"),
        "bomb": (gzip.compress(tarfile.TarInfo("x").tobuf() + bytes(2**24)), "damaged|lacks"),
    }


@pytest.mark.parametrize("kind", sorted(archives()))
def test_hostile_archive_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNPACKED_LIMIT", 2**22)
    data, message = archives()[kind]
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=f"cifar-10-python.tar.gz: ({message}).*get it from {ORIGIN}") as caught:
            read_cifar10(tmp_path, "test", SUMS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one_line(caught)
    assert peak < 2**24
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNPACKED_LIMIT", 20_000)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(tar(FILES)))
    with pytest.raises(ModelError, match="it unpacks to more than 20000 bytes"):
        read_cifar10(tmp_path, "test", SUMS)


def write_tiny(folder: Path, arrays: dict[str, Any]) -> Path:
    np.savez_compressed(folder / FILE, **arrays)
    return folder / FILE


def test_tiny_imagenet_is_read_gray_pictures_too(tmp_path: Path) -> None:
    train = tiny_arrays([jpeg(200)], [39], "train")
    write_tiny(tmp_path, {**tiny_arrays([jpeg(10), jpeg(77, mode="L"), jpeg(250)], [0, 7, 39]), **train})
    data = read_dataset("tiny-imagenet-40", tmp_path, "test")
    assert (data.images.shape, data.images.dtype, data.labels.tolist()) == (
        (3, 64, 64, 3),
        np.dtype(np.uint8),
        [0, 7, 39],
    )
    assert data.images[1].min() == data.images[1].max() == 77
    assert abs(int(data.images[0, 0, 0, 0]) - 10) < 4
    assert abs(int(data.images[2, 0, 0, 2]) - 200) < 4
    assert len(read_dataset("tiny-imagenet-40", tmp_path, "train").labels) == 1


def test_missing_tiny_imagenet_is_refused_with_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"no {FILE} in {tmp_path}: it holds every 5th of the 200") as caught:
        read_tiny_imagenet(tmp_path, "train")
    assert CHECKSUM in one_line(caught)


GOOD = tiny_arrays([jpeg(10), jpeg(20)], [0, 7])
LENGTH = len(GOOD["val_jpeg"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_label": np.array([0, 40], np.uint8)}, "labels outside of 0..39"),
        ({"val_label": np.array([0, -1])}, "labels outside"),
        ({"val_label": np.array([0])}, "other kinds or lengths"),
        ({"val_label": np.array([0.0, 1.0])}, "other kinds"),
        ({"val_label": np.zeros((2, 1), np.uint8)}, "other kinds"),
        ({"val_label": np.zeros(0, np.uint8), "val_offset": np.zeros(1, int)}, "labels outside"),
        ({"val_offset": np.array([0, 5, LENGTH + 1])}, "offsets that do not cut"),
        ({"val_offset": np.array([0, LENGTH + 9, LENGTH])}, "offsets that do not cut"),
        ({"val_offset": np.array([0, -(2**63), LENGTH])}, "offsets that do not cut"),
        ({"val_offset": np.array([1, 5, LENGTH])}, "offsets that do not cut"),
        ({"val_offset": np.array([0, 0, LENGTH])}, "offsets that do not cut"),
        ({"val_offset": np.array([0, 5, LENGTH])}, "image 0 is no whole JPEG picture"),
        ({"val_jpeg": np.zeros(LENGTH, np.uint8)}, "image 0 is no whole JPEG picture"),
        ({"val_jpeg": GOOD["val_jpeg"].astype(np.int64)}, "other kinds"),
        ({"val_jpeg": np.array([{}], dtype=object)}, "an array of objects"),
        ({"val_jpeg": None}, "without val_jpeg"),
        (tiny_arrays([jpeg(size=(64, 63))], [1]), "image 0 has 64 x 63 pixels, expected 64 x 64"),
        (tiny_arrays([jpeg(size=(9000, 9000), mode="L")], [1]), "image 0 has 9000 x 9000 pixels"),
        (tiny_arrays([jpeg(5)[:-60]], [1]), "image 0 is no whole JPEG picture"),
        (tiny_arrays([b"\x89PNG\r\n\x1a\n" + bytes(99)], [1]), "image 0 is no whole JPEG picture"),
    ],
)
def test_tiny_imagenet_of_other_contents_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arrays = {name: array for name, array in {**GOOD, **changes}.items() if array is not None}
    path = write_tiny(tmp_path, arrays)
    with pytest.raises(ModelError, match=message) as caught:
        read_tiny_imagenet(tmp_path, "test")
    assert one_line(caught).startswith(f"{path}: damaged or another file (")
    assert str(caught.value).endswith(f"its SHA-256 should be {CHECKSUM}")


def hostile_npz() -> dict[str, bytes]:
    def packed(contents: bytes, promised: int | None = None) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
            for name in ("jpeg", "offset", "label"):
                made.writestr(f"val_{name}.npy", contents)
        data = stream.getvalue()
        if promised is not None:
            data = data.replace(struct.pack("<I", len(contents)), struct.pack("<I", promised))
        return data

    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % 10**13
    huge = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.ljust(117) + b"\n"
    npy = io.BytesIO()
    np.save(npy, GOOD["val_jpeg"])
    good = io.BytesIO()
    np.savez(good, **GOOD)  # type: ignore[arg-type]
    encrypted = bytearray(packed(b"x" * 99))
    for place in range(len(encrypted) - 4):
        if bytes(encrypted[place : place + 4]) in (b"PK\x03\x04", b"PK\x01\x02"):
            encrypted[place + (6 if encrypted[place + 2] == 3 else 8)] |= 1
    return {
        "empty": b"",
        "text": b"hello world",
        "a bare npy file": npy.getvalue(),
        "a pickle": b"\x80\x04K\x01.",
        "truncated": good.getvalue()[:-30],
        "members that are no arrays": packed(b"hello world"),
        "array of ten terabytes": packed(huge + b"x"),
        "bomb": packed(bytes(2**21)),
        "bomb that promises little": packed(bytes(2**21), promised=100),
        "promises more than it holds": packed(b"x" * 1000, promised=50_000),
        "encrypted": bytes(encrypted),
    }


@pytest.mark.parametrize("kind", sorted(hostile_npz()))
def test_hostile_npz_is_refused_in_bounded_memory(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_imagenet, "ARRAY_LIMIT", 2**20)
    (tmp_path / FILE).write_bytes(hostile_npz()[kind])
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"damaged or another file") as caught:
            read_tiny_imagenet(tmp_path, "test")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one_line(caught)
    assert peak < 2**23 or kind == "array of ten terabytes"


def test_any_changed_byte_of_a_picture_gives_a_picture_or_one_error(tmp_path: Path) -> None:
    picture = jpeg(120)
    for place in range(0, len(picture), 3):
        mixed = picture[:place] + bytes([picture[place] ^ 0xFF]) + picture[place + 1 :]
        write_tiny(tmp_path, tiny_arrays([mixed], [1]))
        try:
            assert read_tiny_imagenet(tmp_path, "test").images.shape == (1, 64, 64, 3)
        except ModelError as error:
            assert "image 0 " in str(error), place  # noqa: PT017


def test_digits_are_padded_for_networks_that_halve_five_times(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    plain, padded = (read_dataset(name, tmp_path, "test").images for name in ("mnist", "mnist-32"))
    assert (plain.shape, padded.shape) == ((20, 28, 28), (20, 32, 32, 1))
    assert np.array_equal(padded[:, 2:-2, 2:-2, 0], plain)
    assert int(padded.sum()) == int(plain.sum())


def test_damaged_mnist_is_refused_with_origin_and_checksum(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"train-images-idx3-ubyte.gz \(SHA-256 440fcabf") as caught:
        read_dataset("mnist", tmp_path, "train")
    one_line(caught)
    write_mnist(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ModelError, match=r"damaged gzip data .*; MNIST's is https://.* \(SHA-256 f7ae60f9"):
        read_dataset("mnist", tmp_path, "test")
    write_idx(path, np.zeros(19, np.uint8))
    with pytest.raises(ModelError, match=r"20 t10k images, but 19 labels; MNIST's is .*SHA-256 8d422c7b.*f7ae60f9"):
        read_dataset("mnist", tmp_path, "test")


def test_other_data_in_the_layout_of_mnist_is_read(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=3, test=2)
    assert len(read_dataset("mnist", tmp_path, "train").labels) == 3


def test_one_folder_holds_everything(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    write_tiny(tmp_path, tiny_arrays([jpeg()], [1]))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(tar(FILES)))
    assert read_cifar10(tmp_path, "test", SUMS).images.shape == (3, 32, 32, 3)
    for name in ("mnist", "mnist-32", "tiny-imagenet-40"):
        data = read_dataset(name, tmp_path, "test")
        assert data.images.shape[1:] == DATASETS[name].input_shape


@pytest.mark.parametrize(
    ("name", "part", "message"), [("imagenet", "test", "no data set"), ("mnist", "val", "no part")]
)
def test_unknown_set_or_part_is_refused(tmp_path: Path, name: str, part: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_dataset(name, tmp_path, part)
