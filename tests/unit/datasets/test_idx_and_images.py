"""Files with images are read exactly, or refused with one line that names them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepring_chain.datasets import idx, images
from deepring_chain.datasets.idx import read_idx, read_mnist
from deepring_chain.datasets.images import read_images
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ModelError

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_idx_file_is_read(tmp_path: Path, packed: bool) -> None:
    data = idx_bytes(PIXELS)
    (tmp_path / "images").write_bytes(gzip.compress(data) if packed else data)
    assert np.array_equal(read_idx(tmp_path / "images", 3), PIXELS)


GOOD = idx_bytes(PIXELS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "starts with nothing, expected 00000803"),
        (idx_bytes(PIXELS[0]), "starts with 00000802"),
        (idx_bytes(PIXELS, kind=9), "starts with 00000903"),
        (GOOD[:10], "ends inside of its header"),
        (GOOD[:-1], r"23 bytes of data, sizes \(2, 3, 4\) need 24"),
        (GOOD + b"\0", "25 bytes of data"),
        (gzip.compress(GOOD, mtime=0)[:-9], "damaged gzip"),
        (gzip.compress(GOOD, mtime=0)[:15] + bytes(10), "damaged gzip"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "damaged gzip"),
    ],
)
def test_damaged_idx_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "images").write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read_idx(tmp_path / "images", 3)
    assert str(caught.value).startswith(f"IDX file {tmp_path / 'images'}: ")


def test_idx_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "SIZE_LIMIT", 1000)
    (tmp_path / "images").write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(ModelError, match="unpacks to more than 1000"):
        read_idx(tmp_path / "images", 3)


@pytest.mark.parametrize("folder", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("name", ["{}-idx{}-ubyte", "{}-idx{}-ubyte.gz", "{}.idx{}-ubyte"])
def test_mnist_is_found_under_its_usual_names(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / name.format("t10k-images", 3)).write_bytes(gzip.compress(GOOD))
    (tmp_path / folder / name.format("t10k-labels", 1)).write_bytes(idx_bytes(np.array([7, 1], dtype=np.uint8)))
    data = read_mnist(tmp_path, "t10k")
    assert np.array_equal(data.images, PIXELS)
    assert data.labels.tolist() == [7, 1]


def test_folder_without_mnist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no train-images-idx3-ubyte\[.gz\] in "):
        read_mnist(tmp_path, "train")


def test_images_and_labels_of_different_number_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(GOOD)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([7], dtype=np.uint8)))
    with pytest.raises(ModelError, match="2 t10k images, but 1 labels"):
        read_mnist(tmp_path, "t10k")


def test_samples_are_a_thousand_digits_of_all_classes() -> None:
    samples = load_mnist_samples()
    assert samples.images.shape == (1000, 28, 28)
    # The beginning of the MNIST test set, and its first thousand's count of each digit.
    assert samples.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(samples.labels).tolist() == [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]


def write_png(path: Path, array: np.ndarray[Any, Any]) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_png_and_npy_files_are_read_in_order(tmp_path: Path) -> None:
    gray = write_png(tmp_path / "a.png", PIXELS[1])
    np.save(tmp_path / "one.npy", PIXELS[0])
    np.save(tmp_path / "batch.npy", np.asfortranarray(PIXELS))
    found = read_images([gray, tmp_path / "one.npy", tmp_path / "batch.npy"], (3, 4))
    assert np.array_equal(found, np.stack([PIXELS[1], PIXELS[0], *PIXELS]))
    assert (found.dtype, found.flags["C_CONTIGUOUS"]) == (np.dtype(np.uint8), True)


def test_color_png_is_read_in_the_layout_of_the_model(tmp_path: Path) -> None:
    color = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path = write_png(tmp_path / "color.PNG", color)
    assert np.array_equal(read_images([path], (5, 6, 3))[0], color)
    assert np.array_equal(read_images([path], (3, 5, 6))[0], color.transpose(2, 0, 1))
    assert np.array_equal(read_images([path], (5, 6))[0], np.array(Image.fromarray(color).convert("L")))


@pytest.mark.parametrize("shape", [(3, 4, 1), (1, 3, 4)])
def test_gray_png_fits_shapes_with_one_channel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write_png(tmp_path / "gray.png", PIXELS[0])
    assert np.array_equal(read_images([path], shape), PIXELS[0].reshape(1, *shape))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_png_with_other_pixels_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / "odd.png")
    with pytest.raises(ModelError, match=r"odd.png: pixels of kind"):
        read_images([tmp_path / "odd.png"], (3, 4))


def test_png_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "big.png", np.zeros((28, 20), np.uint8))
    with pytest.raises(ModelError, match=r"big.png: 20 x 28 pixels, the model takes 28 x 28 pixels"):
        read_images([path], (28, 28))


def test_png_for_a_model_without_images_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", PIXELS[0])
    with pytest.raises(ModelError, match=r"items of shape \[13\], which is no image; use npy"):
        read_images([path], (13,))


@pytest.mark.parametrize("length", [0, 10, 40, 60, -13])
def test_truncated_png_is_refused(tmp_path: Path, length: int) -> None:
    path = write_png(tmp_path / "cut.png", PIXELS[0])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"cut.png: (not a|damaged) png"):
        read_images([path], (3, 4))


def test_png_with_any_changed_byte_is_refused_or_unchanged(tmp_path: Path) -> None:
    path = write_png(tmp_path / "flip.png", PIXELS[0])
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x20]) + data[place + 1 :])
        try:
            found = read_images([path], (3, 4))
        except ModelError:
            continue
        assert np.array_equal(found[0], PIXELS[0]), place


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (PIXELS.astype(np.float32), "elements of float32, expected uint8"),
        (PIXELS.astype(np.int64), "elements of int64"),
        (PIXELS[:, :, :3], r"shape \[2, 3, 3\], the model takes \[3, 4\] or a batch of it"),
        (PIXELS[:0], r"shape \[0, 3, 4\]"),
        (PIXELS[0, 0], r"shape \[4\]"),
        (np.array(5, dtype=np.uint8), r"shape \[\]"),
        (np.array([{}], dtype=object), "not a readable npy"),
    ],
)
def test_npy_that_does_not_fit_is_refused(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ModelError, match=message):
        read_images([tmp_path / "a.npy"], (3, 4))


def damaged_npy() -> dict[str, bytes]:
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    huge = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 3, 4), }".ljust(117) + b"\n"
    return {
        "empty": b"",
        "no numpy": b"hello world, this is no array",
        "pickle": b"\x80\x04K\x01.",
        "no header": header,
        "promises too much": header + huge + bytes(12),
        "header is no dict": header + b"x" * 118,
    }


@pytest.mark.parametrize("kind", sorted(damaged_npy()))
def test_damaged_npy_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.npy").write_bytes(damaged_npy()[kind])
    with pytest.raises(ModelError, match=r"a.npy: not a readable npy file") as caught:
        read_images([tmp_path / "a.npy"], (3, 4))
    assert "\n" not in str(caught.value)


def test_archive_named_npy_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as stream:
        np.savez(stream, images=PIXELS)
    with pytest.raises(ModelError, match="archive of arrays"):
        read_images([tmp_path / "a.npy"], (3, 4))


def test_paths_that_are_no_image_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    for path, message in ((tmp_path / "none.png", "no such file"), (tmp_path, "not a file")):
        with pytest.raises(ModelError, match=message):
            read_images([path], (3, 4))
    with pytest.raises(ModelError, match=r"a.jpg: not a .png or .npy file"):
        read_images([tmp_path / "a.jpg"], (3, 4))
    with pytest.raises(ModelError, match="no image given"):
        read_images([], (3, 4))


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    monkeypatch.setattr(images, "IMAGES_LIMIT", 3)
    with pytest.raises(ModelError, match="4 images, at most 3"):
        read_images([tmp_path / "a.npy"] * 2, (3, 4))
    monkeypatch.setattr(images, "FILE_LIMIT", 10)
    with pytest.raises(ModelError, match="larger than 10 bytes"):
        read_images([tmp_path / "a.npy"], (3, 4))
