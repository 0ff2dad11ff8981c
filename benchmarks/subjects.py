"""The networks that are measured: float32 as a user would run them, and the same in the ring's exact integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.training.zoo import find_entry

SEED = 1


@dataclass(frozen=True)
class Subject:
    """A network.

    Attributes:
        name: for tables.
        network: float32, for inference.
        model: its integer form.
        to_input: uint8 images [N, ...] to the float network's input.
    """

    name: str
    network: nn.Sequential
    model: QuantisedModel
    to_input: Callable[[NDArray[np.uint8]], torch.Tensor]

    def images(self, count: int) -> NDArray[np.uint8]:
        """Noise of the network's input shape: what an image shows costs no time."""
        rng = np.random.default_rng(SEED)
        return rng.integers(0, 256, (count, *self.model.card.input_shape), dtype=np.uint8)

    def plain_float(self, images: NDArray[np.uint8]) -> Callable[[], Any]:
        """One forward pass in float32 of a batch that is ready as a tensor."""
        inputs = self.to_input(images)

        def forward() -> Any:
            with torch.inference_mode():
                return self.network(inputs)

        return forward

    def plain_integer(self, images: NDArray[np.uint8]) -> Callable[[], Any]:
        """One pass of the integer model, without a ring."""
        inputs = self.model.card.quantise_input(images)
        return lambda: self.model.run(inputs)


def dense() -> Subject:
    """The paper's dense MNIST network; weights are no matter for time, so the float one's are fresh."""
    torch.manual_seed(SEED)
    return Subject("dense MNIST", find_entry("mnist-dense").build().eval(), shipped_model(), _scaled)


def vgg19() -> Subject:
    """VGG-19 for 32 x 32 colors with statistics as after training."""
    torch.manual_seed(SEED)
    network = find_entry("cifar10-vgg19").build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(64, 3, 32, 32))
    model = quantise(network.eval(), torch.rand(64, 3, 32, 32), name="cifar10-vgg19", input_grid=PIXELS)
    return Subject("VGG-19 (32x32)", network, model, _channels_first)


def small_dense(widths: tuple[int, ...], name: str = "dense") -> Subject:
    """A dense network of these widths, inputs first, untrained."""
    torch.manual_seed(SEED)
    modules: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    network = nn.Sequential(*modules[:-1]).eval()
    model = quantise(network, torch.rand(64, widths[0]), name=name, input_grid=PIXELS)
    return Subject(name, network, model, _scaled)


def _scaled(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images).to(torch.float32) / 255


def _channels_first(images: NDArray[np.uint8]) -> torch.Tensor:
    return _scaled(images).permute(0, 3, 1, 2).contiguous()
