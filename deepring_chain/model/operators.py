"""The operators that a layer can be, by the name that is bound into its content."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.layer import IdentityLayer, Layer
from deepring_chain.model.residual import ResidualLayer
from deepring_chain.types import LayerIndex

OPERATORS: Mapping[str, type[Layer]] = MappingProxyType(
    {kind.operator: kind for kind in (IdentityLayer, DenseLayer, ConvLayer, ResidualLayer)}
)


def build_layer(
    operator: str, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
) -> Layer:
    """Makes a layer from its parts, checking all of them.

    Raises:
        ModelError: unknown operator, or parts that do not fit it.
    """
    if operator not in OPERATORS:
        raise ModelError(f"layer {index}: unknown operator {operator!r}; known: {', '.join(sorted(OPERATORS))}")
    return OPERATORS[operator].from_parts(index, attributes, tensors)
