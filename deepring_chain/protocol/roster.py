"""Who may serve which layer, as the owner lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepring_chain.types import Address


@dataclass(frozen=True)
class Roster:
    """Who may serve which layer.

    Attributes:
        ouroboros: the owner's account, which serves the identity layer 0.
        candidates: for each layer 1..n the workers that hold it, the first choice first.
    """

    ouroboros: Address
    candidates: Mapping[int, tuple[Address, ...]]

    def layer_of(self, member: Address) -> int:
        """Return the layer that a member serves; 0 for the ouroboros."""
        for layer, members in self.candidates.items():
            if member in members:
                return layer
        return 0
