"""A small trained network, float and integer, that attacks can hurt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.model.quantised import QuantisedModel


@dataclass(frozen=True)
class Victim:
    """A network that tells which quarter of a noisy 4 x 4 image is bright; `data` it has not been trained on."""

    network: nn.Sequential
    model: QuantisedModel
    data: LabeledImages

    @property
    def inputs(self) -> torch.Tensor:
        return to_float(self.data.images)


def bright_quarters(count: int, seed: int) -> LabeledImages:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count).astype(np.uint8)
    images = rng.integers(0, 150, (count, 4, 4), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 2 * (label // 2), 2 * (label % 2)
        image[row : row + 2, column : column + 2] += 90
    return LabeledImages(images, labels)


def train_small() -> nn.Sequential:
    torch.manual_seed(2)
    modules = [nn.Flatten(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4)]
    network = nn.Sequential(*modules)
    data = bright_quarters(1000, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(120):
        loss = functional.cross_entropy(network(to_float(data.images)), torch.from_numpy(data.labels.astype(np.int64)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from threads, and on a busy machine lose much to waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def victim() -> Victim:
    with torch.random.fork_rng(devices=[]):
        network = train_small()
    training, test = bright_quarters(300, 1), bright_quarters(400, 9)
    return Victim(network, quantise(network, to_float(training.images), name="quarters", input_grid=PIXELS), test)
