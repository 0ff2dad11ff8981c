"""A quantised model: card and layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.model.layer import IdentityLayer, Layer, run_layer
from deepring_chain.model.manifest import Manifest
from deepring_chain.types import TensorBytes


@dataclass(frozen=True, eq=False)
class QuantisedModel:
    """The committed model.

    Attributes:
        card: what a querent needs.
        layers: layers 1..n in order; each takes exactly what the one before delivers.
    """

    card: ModelCard
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        indices = [layer.index for layer in self.layers]
        if indices != list(range(1, self.card.layers + 1)):
            raise ModelError(f"model {self.card.name}: layers {indices}, its card says 1..{self.card.layers}")
        given: tuple[str | None, tuple[int, ...] | None] = ("int8", self.card.input_shape)
        for layer in self.layers:
            if (layer.input_dtype, layer.input_shape) != given:
                raise ModelError(f"layer {layer.index} takes {layer.input_dtype} {layer.input_shape}, gets {given}")
            given = (layer.output_dtype, layer.output_shape)
        if given != ("int32", (len(self.card.classes),)):
            raise ModelError(f"model {self.card.name}: delivers {given}, expected int32 of {len(self.card.classes)}")

    def layer(self, index: int) -> Layer:
        """Layer 1..n, or the identity layer for 0.

        Raises:
            ModelError: no such layer.
        """
        if not 0 <= index <= len(self.layers):
            raise ModelError(f"model {self.card.name}: no layer {index}, it has 1..{len(self.layers)}")
        return IdentityLayer() if index == 0 else self.layers[index - 1]

    def next_index(self, index: int) -> int:
        """The layer after `index` on a query's way; after the last comes the ouroboros's identity layer, 0."""
        return (index + 1) % (len(self.layers) + 1)

    def manifest(self) -> Manifest:
        """Digests of layers 0..n and the root."""
        return Manifest.of(self.card.digest(), (IdentityLayer(), *self.layers))

    def run(self, inputs: TensorBytes, device: torch.device | None = None) -> TensorBytes:
        """The plain integer model, without a ring: int8 inputs to int32 logits.

        Raises:
            ModelError: the inputs do not fit.
        """
        device = device or torch.device("cpu")
        for layer in self.layers:
            inputs = run_layer(layer.to(device), inputs, device)
        return inputs

    def with_figures(self, figures: dict[str, str | float]) -> QuantisedModel:
        """The same model with measured properties added to its card."""
        return replace(self, card=replace(self.card, figures={**self.card.figures, **figures}))
