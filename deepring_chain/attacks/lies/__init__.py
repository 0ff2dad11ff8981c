"""The lies that a lab worker tells on order: one file of this folder each, found by its constant `LIE`."""

from __future__ import annotations

from collections.abc import Mapping

from deepring_chain.attacks.lie import LieKind
from deepring_chain.registry import constants_in, merged

LIES: Mapping[str, LieKind] = merged(*({kind.name: kind} for kind in constants_in(__name__, __path__, "LIE")))
