"""The paper's two attacks, each on the float network, on the plain integer model, and on a worker of a running ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from deepring_chain.attacks.importance import (
    LayerImportance,
    add_noise,
    affine_places,
    layer_importance,
    most_important,
    noisy_weight,
)
from deepring_chain.attacks.input_noise import activation_scale, run_with_input_noise, with_input_noise
from deepring_chain.attacks.orders import order_input_noise, order_tensors
from deepring_chain.attacks.weights import with_weight
from deepring_chain.experiments.lab_ring import ExperimentError, LiveAttack
from deepring_chain.experiments.subject import Subject, best_class, float_predictions, integer_logits
from deepring_chain.importing.split import split_model

PERTURBED_LAYER = 3
"""The paper perturbs the input of the third layer (section 5)."""


class Strike(Protocol):
    """An attack of some strength."""

    @property
    def layer(self) -> int:
        """The ring's layer that it meets."""

    @property
    def place(self) -> str:
        """The module that it meets in the float network."""

    def float_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the attacked float network finds."""

    def integer_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the attacked plain integer model finds."""

    def live(self, sigma: float, seed: int) -> LiveAttack:
        """The same on a running ring, with noise of its own."""


@dataclass(frozen=True)
class Tampering:
    """Algorithm 1: Gaussian noise on the weights of the most important layer.

    Attributes:
        subject: what is attacked.
        place, layer: of the weights.
        seed: of the noise.
    """

    subject: Subject
    place: str
    layer: int
    seed: int

    @property
    def tensor(self) -> str:
        """Name of the changed tensor."""
        return f"layer.{self.layer}.weight"

    def float_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the network with noisy weights finds."""
        return float_predictions(add_noise(self.subject.network, self.place, 0.0, sigma, self.seed), images)

    def integer_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the integer model with the same noise on its weights finds."""
        model = with_weight(self.subject.model, self.layer, self.weight(sigma, self.seed))
        return best_class(integer_logits(model, images))

    def weight(self, sigma: float, seed: int) -> torch.Tensor:
        """The noisy integer weights."""
        network, shape = self.subject.network, self.subject.item_shape
        noisy = add_noise(network, self.place, 0.0, sigma, seed)
        clean_unit, noisy_unit = (split_model(made, shape).layers[self.layer - 1] for made in (network, noisy))
        return noisy_weight(self.subject.model.layer(self.layer), clean_unit, noisy_unit)

    def live(self, sigma: float, seed: int) -> LiveAttack:
        """Overwrites the weights of the layer's worker, in its memory."""
        weight = self.weight(sigma, seed)
        return LiveAttack(self.layer, self.tensor, lambda folder: order_tensors(folder, {self.tensor: weight}))


@dataclass(frozen=True)
class Perturbation:
    """Gaussian noise on the input of one layer.

    Attributes:
        subject: what is attacked.
        place, layer: whose input is changed.
        seed: of the noise.
        scale: real value of one integer step of that input.
    """

    subject: Subject
    place: str
    layer: int
    seed: int
    scale: float

    def float_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the network finds with noise in its middle."""
        return float_predictions(with_input_noise(self.subject.network, self.place, sigma, self.seed), images)

    def integer_predictions(self, sigma: float, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Classes that the integer model finds with noise of the same strength, rounded to its steps."""
        model, steps = self.subject.model, sigma / self.scale
        logits = integer_logits(
            model,
            images,
            lambda number, inputs: run_with_input_noise(model, inputs, self.layer, steps, self.seed + number),
        )
        return best_class(logits)

    def live(self, sigma: float, seed: int) -> LiveAttack:
        """The layer's worker computes on a noisy input, once."""
        return LiveAttack(self.layer, None, lambda folder: order_input_noise(folder, sigma / self.scale, seed))


def weigh_layers(subject: Subject, steps: int, batch: int, seed: int) -> tuple[LayerImportance, ...]:
    """Importance of every layer (Algorithm 1, lines 1 to 11)."""
    return layer_importance(subject.network, subject.training, seed=seed, steps=steps, batch=batch)


def tampering(subject: Subject, importances: tuple[LayerImportance, ...], seed: int) -> Tampering:
    """The attack on the most important layer."""
    chosen = most_important(importances)
    return Tampering(subject, chosen.place, chosen.index, seed)


def perturbation(subject: Subject, seed: int, layer: int = PERTURBED_LAYER) -> Perturbation:
    """The attack on the input of a layer.

    Raises:
        ExperimentError: the network has no such layer.
    """
    places = [place for place, index in affine_places(subject.network) if index == layer]
    if not places:
        raise ExperimentError(f"{subject.name}: no layer {layer} whose input could be perturbed")
    scale = activation_scale(subject.network, subject.model, places[0], layer, subject.training.images[:100])
    return Perturbation(subject, places[0], layer, seed, scale)
