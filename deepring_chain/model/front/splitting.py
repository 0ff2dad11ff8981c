"""Where the split of a float network stands: what an operator's file asks of it and adds to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.front.modules import refuse
from deepring_chain.model.front.units import Unit


def ring_shape(item_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of an item in the ring: an image [C, H, W] of torch's is [H, W, C] there, any other item is as it is."""
    return (*item_shape[1:], item_shape[0]) if len(item_shape) == 3 else item_shape


@dataclass
class Splitting(ABC):
    """State of the walk through a network.

    Attributes:
        shape: of the item here, as torch has it.
        units: the layers so far.
        readers: modules at the end.
        waiting: scale and offset of each channel or feature that go into the next affine map.
        waiting_place: of the batch normalization that they come from.
        flattened: shape of the image that a Flatten made features of, if no Linear came since.
    """

    shape: tuple[int, ...]
    units: list[Unit] = field(default_factory=list)
    readers: list[nn.Module] = field(default_factory=list)
    waiting: tuple[torch.Tensor, torch.Tensor] | None = None
    waiting_place: str = ""
    flattened: tuple[int, ...] | None = None

    @abstractmethod
    def take_all(self, model: nn.Sequential, prefix: str = "") -> None:
        """Takes the modules of a network or of one of its branches."""

    def append(self, unit: Unit) -> None:
        """Adds a layer.

        Raises:
            ModelError: it gives nothing for items of this shape.
        """
        if min(unit.output_shape) < 1:
            raise ModelError(f"module '{unit.module}' at '{unit.place}': its kernel does not fit into {self.shape}")
        self.units.append(unit)
        shape = unit.output_shape
        self.shape = (shape[2], *shape[:2]) if len(shape) == 3 else shape
        self.flattened = None

    def append_pointwise(self, place: str, module: nn.Module, make: Callable[[tuple[int, ...]], Unit]) -> None:
        """Adds a layer that maps each number by itself; a Flatten before it stays the business of the next Linear.

        Args:
            place: of the module.
            module: to name in a refusal.
            make: the unit for items of a shape, as the ring has it.

        Raises:
            UnsupportedModule: a batch normalization before it found no affine map.
        """
        if self.waiting is not None:
            reason = (
                f"it follows the BatchNorm at '{self.waiting_place}', which folds only into the next Linear or Conv2d"
            )
            raise refuse(place, module, reason)
        shape, flattened = self.shape, self.flattened
        self.append(make(ring_shape(flattened or shape)))
        self.shape, self.flattened = shape, flattened

    def take_waiting(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The scale and the offset that wait, which now are the caller's."""
        waiting, self.waiting = self.waiting, None
        if waiting is None:
            raise ValueError("nothing waits")
        return waiting

    def check_nothing_waits(self) -> None:
        """Raises ModelError if a batch normalization found no affine map."""
        if self.waiting is not None:
            raise ModelError(f"module 'BatchNorm' at '{self.waiting_place}': no Linear or Conv2d to fold it into")

    def last(self, place: str, module: nn.Module) -> Unit:
        """The layer that a module is fused into.

        Raises:
            UnsupportedModule: there is none.
        """
        if not self.units or self.waiting is not None or self.flattened is not None:
            raise refuse(place, module, "it follows no Linear or Conv2d")
        return self.units[-1]

    def features(self, place: str, module: nn.Module) -> int:
        """Size of the items here.

        Raises:
            ModelError: they have several dimensions.
        """
        if len(self.shape) != 1:
            name = type(module).__name__
            raise ModelError(f"module '{name}' at '{place}' gets items of shape {self.shape}; put a Flatten before it")
        return self.shape[0]

    def image(self, place: str, module: nn.Module) -> tuple[int, ...]:
        """[H, W, C] of the image here.

        Raises:
            ModelError: the items are no images.
        """
        if len(self.shape) != 3:
            name = type(module).__name__
            raise ModelError(f"module '{name}' at '{place}' gets items of shape {self.shape}, takes images [C, H, W]")
        return ring_shape(self.shape)
