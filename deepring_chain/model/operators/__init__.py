"""The operators that a layer can be: one file of this folder each, found by its constant `OPERATOR`.

Everything that lists operators is made here: the decoder, the torch modules and ONNX nodes that the importer takes, the
quantiser, the twins for gradients, the formulas in docs/formats.md. Nothing else names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.front.nodes import ToModules
from deepring_chain.model.front.units import Unit
from deepring_chain.model.layer import Layer
from deepring_chain.model.operator import FloatForm, Operator, Take, Twin
from deepring_chain.registry import constants_in, merged
from deepring_chain.types import LayerIndex

OPERATORS: Mapping[str, Operator] = merged(
    *({operator.name: operator} for operator in constants_in(__name__, __path__, "OPERATOR"))
)
"""All of them, by the name that is bound into a layer's content."""

_FORMS = {name: operator.floats for name, operator in OPERATORS.items() if operator.floats is not None}

MODULES: Mapping[type[nn.Module], Take] = merged(*(form.modules for form in _FORMS.values()))
"""Torch modules that become a layer of their own."""

NODES: Mapping[str, ToModules] = merged(*(form.nodes for form in _FORMS.values()))
"""ONNX operators that become such modules."""

TWINS: Mapping[str, Twin] = MappingProxyType({name: form.twin for name, form in _FORMS.items()})
"""Layers in floats, by operator."""

_UNITS: Mapping[type[Unit], FloatForm] = merged(*({form.unit: form} for form in _FORMS.values()))


def form_of(unit: Unit) -> FloatForm:
    """How a unit becomes exact.

    Raises:
        ModelError: no operator has units of this kind.
    """
    if type(unit) not in _UNITS:
        raise ModelError(f"no exact form of a {type(unit).__name__} is known")
    return _UNITS[type(unit)]


def build_layer(
    operator: str, index: LayerIndex, attributes: Mapping[str, int], tensors: Mapping[str, torch.Tensor]
) -> Layer:
    """Makes a layer from its parts, checking all of them.

    Raises:
        ModelError: unknown operator, or parts that do not fit it.
    """
    if operator not in OPERATORS:
        raise ModelError(f"layer {index}: unknown operator {operator!r}; known: {', '.join(sorted(OPERATORS))}")
    return OPERATORS[operator].layer.from_parts(index, attributes, tensors)
