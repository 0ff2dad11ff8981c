"""The ouroboros's layer: no float network leads to it."""

from __future__ import annotations

from deepring_chain.model.layer import IdentityLayer
from deepring_chain.model.operator import Operator

FORMULA = """\
- Operator `identity`: index 0, no attributes, no tensors; it returns its input.
"""

OPERATOR = Operator(IdentityLayer, FORMULA)
