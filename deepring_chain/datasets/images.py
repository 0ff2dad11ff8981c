"""Reading of the images of a query from png and npy files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deepring_chain.errors import ModelError

FILE_LIMIT = 256 * 2**20
"""Largest file in bytes."""

NPY_MAGIC = b"\x93NUMPY"

IMAGES_LIMIT = 100_000
"""Most images of one query."""

PLAIN_MODES = ("1", "L", "P", "RGB")
"""Pillow modes that convert to 8-bit gray or color without losing anything but the color itself."""


@dataclass(frozen=True)
class NamedImages:
    """Images of several files.

    Attributes:
        pixels: uint8 [N, *item_shape].
        names: of each: its file's, with a place in it if the file holds several.
    """

    pixels: NDArray[np.uint8]
    names: tuple[str, ...]


def read_images(paths: Sequence[Path], item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read images; see `read_named`.

    Returns:
        uint8 [N, *item_shape], in the order of `paths`.
    """
    return read_named(paths, item_shape).pixels


def read_named(paths: Sequence[Path], item_shape: tuple[int, ...]) -> NamedImages:
    """Read images and say which is which.

    Args:
        paths: png files (one image each) and npy files (one image or a batch of them, uint8).
        item_shape: [H, W] or [H, W, 1] or [1, H, W] for gray, [H, W, 3] or [3, H, W] for color; npy files hold
            arrays of exactly this shape, whatever its meaning.

    Raises:
        ModelError: a file is missing, damaged, too large, of another kind or shape; the message names it.
    """
    if not paths:
        raise ModelError("no image given")
    parts = [_read_file(Path(path), item_shape) for path in paths]
    count = sum(len(part) for part in parts)
    if count > IMAGES_LIMIT:
        raise ModelError(f"{count} images, at most {IMAGES_LIMIT} go into one query")
    names = tuple(name for path, part in zip(_shown(paths), parts, strict=True) for name in _places(path, len(part)))
    return NamedImages(np.concatenate(parts), names)


def _shown(paths: Sequence[Path]) -> list[str]:
    """The files' names; with their folders if two are called the same."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _places(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}[{index}]" for index in range(count)]


def _read_file(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    _check_file(path)
    if path.suffix.lower() == ".png":
        return _read_png(path, item_shape)[None]
    if path.suffix.lower() == ".npy":
        return _read_npy(path, item_shape)
    raise ModelError(f"image {path}: not a .png or .npy file")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ModelError(f"image {path}: no such file")
    if not path.is_file():
        raise ModelError(f"image {path}: not a file")
    if not os.access(path, os.R_OK):
        raise ModelError(f"image {path}: not readable")
    if path.stat().st_size > FILE_LIMIT:
        raise ModelError(f"image {path}: larger than {FILE_LIMIT} bytes")


def _read_npy(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        # Mapped first: a header that promises more than the file holds is refused before any memory is taken.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - the header is read as Python text, and what is in it can raise anything
        raise ModelError(f"image {path}: not a readable npy file ({_npy_trouble(path, error)})") from None
    if not isinstance(array, np.ndarray):
        raise ModelError(f"image {path}: not a readable npy file (it is an archive of arrays)")
    if array.dtype != np.uint8:
        raise ModelError(f"image {path}: elements of {array.dtype}, expected uint8 pixels")
    batch = array[None] if array.shape == item_shape else array
    if batch.shape[1:] != item_shape or len(batch) == 0:
        expected = f"{list(item_shape)} or a batch of it"
        raise ModelError(f"image {path}: shape {list(array.shape)}, the model takes {expected}")
    return np.array(batch, order="C")


def _read_png(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width, channels, channels_first = _layout(path, item_shape)
    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            _check_png(path, image, (width, height))
            image.verify()  # the checksums, which decoding alone does not look at; it uses the image up
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            pixels = np.array(image.convert("RGB" if channels == 3 else "L"))
    except UnidentifiedImageError:
        raise ModelError(f"image {path}: not a png file") from None
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - what a damaged file makes of the decoder's own tables can raise anything
        raise ModelError(f"image {path}: damaged png file ({_first_line(error)})") from None
    if channels_first and channels == 3:
        pixels = np.moveaxis(pixels, -1, 0)
    return np.ascontiguousarray(pixels).reshape(item_shape)


def _layout(path: Path, item_shape: tuple[int, ...]) -> tuple[int, int, int, bool]:
    """Height, width, channels and whether the channels come first."""
    if len(item_shape) == 2:
        return *item_shape, 1, False
    if len(item_shape) == 3 and item_shape[2] in (1, 3):
        return *item_shape, False
    if len(item_shape) == 3 and item_shape[0] in (1, 3):
        return item_shape[1], item_shape[2], item_shape[0], True
    raise ModelError(f"image {path}: the model takes items of shape {list(item_shape)}, which is no image; use npy")


def _check_png(path: Path, image: Image.Image, size: tuple[int, int]) -> None:
    """Checks before any pixel is decoded, so that a huge picture costs nothing."""
    if image.size != size:
        got, expected = (f"{width} x {height} pixels" for width, height in (image.size, size))
        raise ModelError(f"image {path}: {got}, the model takes {expected} (width x height)")
    if image.mode not in PLAIN_MODES or "transparency" in image.info:
        raise ModelError(f"image {path}: pixels of kind {image.mode} or transparent; save it as 8-bit gray or RGB")


def _npy_trouble(path: Path, error: Exception) -> str:
    """What is wrong with an npy file. numpy itself advises to load what it does not know as Python objects."""
    with path.open("rb") as file:
        if file.read(len(NPY_MAGIC)) != NPY_MAGIC:
            return "it does not begin as one; save the pixels anew with numpy.save"
    if "pickle" in str(error):
        return "it holds Python objects; save the pixels alone, as uint8"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
