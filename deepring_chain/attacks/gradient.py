"""Gradients of the loss by the stored weights of an integer model, through a float twin of each layer.

The twin computes what the layer computes, without rounding; where the layer clamps, the gradient is zero. It stands in
the operator's file.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from deepring_chain.attacks.weights import weight_tensors
from deepring_chain.errors import ModelError
from deepring_chain.model.operators import TWINS
from deepring_chain.model.quantised import QuantisedModel

Weights = Mapping[str, torch.Tensor]
"""Float weights of one layer, by their name within it."""


def weight_gradients(model: QuantisedModel, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of the mean cross entropy by each stored weight, counted in its integer steps.

    Args:
        model: its layers must be on the device of `x`.
        x: int8 [N, *input_shape].
        labels: int64 [N].

    Returns:
        By name as in a parameter file, such as "layer.3.weight": float32, of the weight's shape.

    Raises:
        ModelError: an operator without a twin.
    """
    leaves = {name: weight.float().requires_grad_() for name, weight in weight_tensors(model.layers).items()}
    y = x.float()
    for layer in model.layers:
        if layer.operator not in TWINS:
            raise ModelError(f"layer {layer.index} ({layer.operator}): no gradient for it")
        y = TWINS[layer.operator](layer, y, _under(leaves, f"layer.{layer.index}."))
    loss = functional.cross_entropy(y * model.card.output_scale, labels)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def _under(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
