"""The data sets that the zoo's networks are trained and measured on, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from deepring_chain.datasets.cifar import read_cifar10
from deepring_chain.datasets.idx import LabeledImages, read_mnist
from deepring_chain.datasets.tiny_imagenet import CLASSES, read_tiny_imagenet
from deepring_chain.errors import ModelError

PARTS = ("train", "test")


@dataclass(frozen=True)
class Dataset:
    """A data set in the form that a network takes.

    Attributes:
        name: for messages.
        read: folder and part ("train" or "test") to images and labels.
        input_shape: of one image as stored: [H, W] or [H, W, C].
        classes: label of each class.
        mirrored: whether a mirror image is of the same class.
    """

    name: str
    read: Callable[[Path, str], LabeledImages]
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    mirrored: bool = False


def _read_digits(folder: Path, part: str) -> LabeledImages:
    return read_mnist(folder, "train" if part == "train" else "t10k")


def _read_padded_digits(folder: Path, part: str) -> LabeledImages:
    """MNIST with two black pixels on every side and one channel, for networks that halve the size five times."""
    data = _read_digits(folder, part)
    return LabeledImages(np.pad(data.images, ((0, 0), (2, 2), (2, 2)))[..., None], data.labels)


DIGITS = tuple(str(digit) for digit in range(10))
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TINY_CLASSES = tuple(f"class {number}" for number in range(CLASSES))

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            Dataset("mnist", _read_digits, (28, 28), DIGITS),
            Dataset("mnist-32", _read_padded_digits, (32, 32, 1), DIGITS),
            Dataset("cifar10", read_cifar10, (32, 32, 3), CIFAR10_CLASSES, mirrored=True),
            Dataset("tiny-imagenet-40", read_tiny_imagenet, (64, 64, 3), TINY_CLASSES, mirrored=True),
        )
    }
)


def read_dataset(name: str, folder: Path, part: str) -> LabeledImages:
    """Reads one part, "train" or "test", of a data set.

    Raises:
        ModelError: unknown name or part, or files that are missing or damaged; the message says where to get them.
    """
    if name not in DATASETS:
        raise ModelError(f"no data set named {name!r}; known: {', '.join(sorted(DATASETS))}")
    if part not in PARTS:
        raise ModelError(f"no part {part!r} of {name}; known: {', '.join(PARTS)}")
    return DATASETS[name].read(folder, part)
