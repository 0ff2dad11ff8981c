"""The networks that the commands know by name, as plain `nn.Sequential` builders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from torch import nn

from deepring_chain.errors import ModelError


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: its name on the command line.
        build: makes it with fresh weights, from torch's current random state.
        input_shape: shape of one image.
        classes: label of each output.
    """

    name: str
    build: Callable[[], nn.Sequential]
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]


def _dense_chain(sizes: tuple[int, ...], dropout: float) -> nn.Sequential:
    modules: list[nn.Module] = [nn.Flatten()]
    for features, outputs in pairwise(sizes[:-1]):
        modules += [nn.Linear(features, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*modules, nn.Linear(sizes[-2], sizes[-1]))


def build_mnist_dense() -> nn.Sequential:
    """The paper's dense network: 784 inputs, then layers of 900, 600, 300, 100 and 10 units (paper, section 4)."""
    return _dense_chain((784, 900, 600, 300, 100, 10), dropout=0.1)


DIGITS = tuple(str(digit) for digit in range(10))

ZOO: Mapping[str, ZooEntry] = MappingProxyType(
    {entry.name: entry for entry in (ZooEntry("mnist-dense", build_mnist_dense, (28, 28), DIGITS),)}
)


def find_entry(name: str) -> ZooEntry:
    """Entry of the zoo.

    Raises:
        ModelError: no network of that name.
    """
    if name not in ZOO:
        raise ModelError(f"no network named {name!r}; known: {', '.join(sorted(ZOO))}")
    return ZOO[name]
