"""The networks that the commands know by name, as plain `nn.Sequential` builders, and how each is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from types import MappingProxyType

from torch import nn

from deepring_chain.datasets.by_name import DATASETS, Dataset
from deepring_chain.errors import ModelError
from deepring_chain.importing.blocks import build_resnet18


@dataclass(frozen=True)
class Recipe:
    """How to train a network.

    Attributes:
        epochs: passes over the training images.
        batch: images per step.
        optimizer: "adamw" or "sgd" (with Nesterov's momentum of 0.9).
        learning_rate: the highest. A cosine brings it to zero, from the start, or after `warmup`.
        weight_decay: of the optimizer.
        warmup: share of the steps in which the rate rises linearly from a 25th of the highest.
        max_shift: each image is moved by up to so many pixels along each axis.
        label_smoothing: share of the target that is spread evenly over all classes (arXiv 1512.00567).
        precision: of the products, "float32" or "bfloat16", unless the command says otherwise.
    """

    epochs: int = 24
    batch: int = 256
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.0
    max_shift: int = 2
    label_smoothing: float = 0.0
    precision: str = "float32"


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: its name on the command line.
        build: makes it with fresh weights, from torch's current random state.
        dataset: what it is trained on; its images are the network's inputs.
        recipe: how it is trained.
    """

    name: str
    build: Callable[[], nn.Sequential]
    dataset: Dataset
    recipe: Recipe

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image as stored: [H, W] or [H, W, C]."""
        return self.dataset.input_shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Label of each output."""
        return self.dataset.classes


DENSE_UNITS = (900, 600, 300, 100)
"""Units of the hidden layers of the paper's dense network (paper, section 5)."""

VGG19_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of convolutions before each of the five poolings (arXiv 1409.1556, configuration E)."""

VGG19_UNITS = 512
"""Units of VGG-19's two hidden dense layers; 4,096 in the original, whose images are 49 times as large."""


def _build_dense(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """The paper's dense network: layers of 900, 600, 300, 100 units and one per class (paper, section 5)."""
    modules: list[nn.Module] = [nn.Flatten()]
    for features, outputs in pairwise((inputs, *DENSE_UNITS)):
        modules += [nn.Linear(features, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(DENSE_UNITS[-1], classes))


def _build_normalized_dense(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """The same with batch normalization of the inputs and before each ReLU, all of which splitting folds away.

    What the ring computes is the paper's network: five affine maps, with ReLU between them.
    """
    modules: list[nn.Module] = [nn.Flatten(), nn.BatchNorm1d(inputs)]
    for features, outputs in pairwise((inputs, *DENSE_UNITS)):
        modules += [nn.Linear(features, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(DENSE_UNITS[-1], classes))


def _build_vgg19(size: int, channels: int, classes: int) -> nn.Sequential:
    """VGG-19 with batch normalization: 16 convolutions and three dense layers, for images of size x size."""
    modules: list[nn.Module] = []
    for outputs, count in VGG19_STAGES:
        for _ in range(count):
            modules += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        modules.append(nn.MaxPool2d(2))
    modules.append(nn.Flatten())
    for inputs in (channels * (size // 2 ** len(VGG19_STAGES)) ** 2, VGG19_UNITS):
        modules += [nn.Linear(inputs, VGG19_UNITS), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(VGG19_UNITS, classes))


def _dense(name: str, dataset: str, build: Callable[[int, int], nn.Sequential], recipe: Recipe) -> ZooEntry:
    found = DATASETS[dataset]
    inputs, classes = prod(found.input_shape), len(found.classes)
    return ZooEntry(name, lambda: build(inputs, classes), found, recipe)


def _vgg19(name: str, dataset: str, recipe: Recipe) -> ZooEntry:
    found = DATASETS[dataset]
    size, _, channels = found.input_shape
    return ZooEntry(name, lambda: _build_vgg19(size, channels, len(found.classes)), found, recipe)


def _resnet18(name: str, dataset: str, recipe: Recipe) -> ZooEntry:
    found = DATASETS[dataset]
    return ZooEntry(name, lambda: build_resnet18(found.input_shape[2], len(found.classes)), found, recipe)


def _conv_recipe(epochs: int, max_shift: int) -> Recipe:
    return Recipe(
        epochs=epochs,
        batch=128,
        optimizer="sgd",
        learning_rate=0.05,
        weight_decay=5e-4,
        warmup=0.25,
        max_shift=max_shift,
        precision="bfloat16",
    )


_CIFAR10_DENSE = Recipe(
    epochs=140,
    batch=512,
    learning_rate=2e-3,
    weight_decay=0.05,
    warmup=0.1,
    max_shift=3,
    label_smoothing=0.1,
    precision="bfloat16",
)

ZOO: Mapping[str, ZooEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _dense("mnist-dense", "mnist", partial(_build_dense, dropout=0.1), Recipe()),
            _dense("cifar10-dense", "cifar10", partial(_build_normalized_dense, dropout=0.05), _CIFAR10_DENSE),
            _vgg19("mnist-vgg19", "mnist-32", _conv_recipe(3, 2)),
            _vgg19("cifar10-vgg19", "cifar10", _conv_recipe(7, 4)),
            _resnet18("cifar10-resnet18", "cifar10", _conv_recipe(10, 4)),
            _vgg19("tiny-vgg19", "tiny-imagenet-40", _conv_recipe(8, 8)),
        )
    }
)


def find_entry(name: str) -> ZooEntry:
    """Entry of the zoo.

    Raises:
        ModelError: no network of that name.
    """
    if name not in ZOO:
        raise ModelError(f"no network named {name!r}; known: {', '.join(sorted(ZOO))}")
    return ZOO[name]
