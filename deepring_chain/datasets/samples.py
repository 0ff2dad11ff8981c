"""The files that come with the package: 1,000 MNIST test images and the trained dense network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError

SAMPLES_FILE = "mnist-samples.npz"
MODEL_FILE = "mnist-dense.safetensors"


def data_path(name: str) -> Path:
    """Path of a file in `deepring_chain/datasets/data`."""
    return Path(str(resources.files("deepring_chain.datasets") / "data" / name))


def shipped_model_path() -> Path:
    """Path of the quantised network `mnist-dense`; `checkpoint.load_model` reads it."""
    return data_path(MODEL_FILE)


def load_mnist_samples() -> LabeledImages:
    """The first 1,000 images of the MNIST test set: uint8 [1000, 28, 28] and their labels, uint8 [1000].

    Raises:
        ModelError: the file is missing or damaged.
    """
    path = data_path(SAMPLES_FILE)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"samples {path}: missing or damaged ({error})") from None
    if images.shape != (1000, 28, 28) or labels.shape != (1000,) or {images.dtype, labels.dtype} != {np.dtype("u1")}:
        raise ModelError(f"samples {path}: other contents than 1000 images of 28 x 28 with labels")
    return LabeledImages(images, labels)
