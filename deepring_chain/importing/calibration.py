"""Quantises a network from an ONNX file with images that its owner has at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.datasets.images import FILE_LIMIT, read_images
from deepring_chain.datasets.npz import read_arrays
from deepring_chain.datasets.pixels import batches, to_float
from deepring_chain.errors import ModelError
from deepring_chain.importing.onnx_import import import_onnx
from deepring_chain.importing.quantise import CALIBRATION_IMAGES, PIXELS, quantise
from deepring_chain.importing.split import ring_shape
from deepring_chain.model.quantised import QuantisedModel

KINDS = (".png", ".npy")


@dataclass(frozen=True)
class Calibration:
    """Images, and their classes where these are known.

    Attributes:
        images: uint8 [N, H, W, C] or [N, H, W]: pixels, which the network takes as pixel / 255.
        labels: integers [N].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None


def quantise_onnx(path: Path, images: Path) -> QuantisedModel:
    """Reads, splits and quantises a network, and measures it on the images.

    Args:
        path: the ONNX file.
        images: as `read_calibration` takes it.

    Raises:
        UnsupportedModule: an operator that cannot be made exact, with its node's name.
        ModelError: an unusable file or image.
    """
    imported = import_onnx(path)
    given = read_calibration(images, ring_shape(imported.item_shape))
    pixels = to_float(given.images[:CALIBRATION_IMAGES])
    quantised = quantise(imported.model, pixels, name=path.stem, input_grid=PIXELS)
    return quantised.with_figures(_measure(imported.model, quantised, given))


def read_calibration(path: Path, item_shape: tuple[int, ...]) -> Calibration:
    """Reads images.

    Args:
        path: an npy file, a png file, a folder of such, or an npz archive with the array `images` and, if the
            classes are known, `labels`; pixels are uint8.
        item_shape: of one image as it is stored: [H, W, C] or [H, W].

    Raises:
        ModelError: nothing there, or an image that is damaged or does not fit.
    """
    if path.suffix.lower() == ".npz":
        return _read_archive(path, item_shape)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS) if path.is_dir() else [path]
    if not files:
        raise ModelError(f"calibration images {path}: no png or npy file in this folder")
    return Calibration(read_images(files, item_shape))


def _read_archive(path: Path, item_shape: tuple[int, ...]) -> Calibration:
    try:
        arrays = read_arrays(path, ("images", "labels"), FILE_LIMIT)
    except ValueError as error:
        raise ModelError(f"calibration images {path}: no readable npz archive ({error})") from None
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or images.dtype != np.uint8 or images.shape[1:] != item_shape or len(images) == 0:
        found = "nothing" if images is None else f"{images.dtype} {list(images.shape)}"
        raise ModelError(f"calibration images {path}: uint8 [N, {str(list(item_shape))[1:]} is needed, has {found}")
    if labels is None:
        return Calibration(images)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise ModelError(f"calibration images {path}: labels of {labels.dtype} {list(labels.shape)}")
    return Calibration(images, labels.astype(np.int64))


def _measure(model: nn.Sequential, quantised: QuantisedModel, given: Calibration) -> dict[str, str | float]:
    found = np.concatenate([_predict(model, part) for part in batches(given.images, 250)])
    card = quantised.card
    parts = batches(given.images, 250)
    exact = np.concatenate([card.predictions(quantised.run(card.quantise_input(part))) for part in parts])
    figures: dict[str, str | float] = {"same class as in float": float((found == exact).mean())}
    if given.labels is not None:
        figures["accuracy, float"] = float((found == given.labels).mean())
        figures["accuracy, quantised"] = float((exact == given.labels).mean())
    return {**figures, "calibration images": str(len(found))}


def _predict(model: nn.Sequential, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    with torch.no_grad():
        classes: NDArray[np.int64] = model(to_float(images)).argmax(1).numpy()
    return classes
