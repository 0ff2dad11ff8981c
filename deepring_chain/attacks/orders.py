"""Orders for a lab worker: a file in its folder that it reads, follows once and removes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum, EnumMeta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deepring_chain.attacks.lies import LIES
from deepring_chain.attacks.weights import BitFlip
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file

ORDER_FILE = "lab-order.json"

TENSORS_FILE = "lab-tensors.safetensors"
TENSORS_KIND = "deepring-lab-tensors"

DEVNET_CHAINS = frozenset({1337, 31337})
"""Chain ids of local devnets: nothing here acts on any other chain."""


if TYPE_CHECKING:

    class _AnyMember(EnumMeta):
        """Its members come from the files of `attacks/lies`."""

        def __getattr__(cls, name: str) -> Lie:
            """The lie of that name."""

    class Lie(Enum, metaclass=_AnyMember):
        """How a worker misbehaves, once; changed parameters stay until it is restored."""

else:
    Lie = Enum("Lie", {name.upper().replace("-", "_"): name for name in LIES})

MEMORY_LIES = frozenset(Lie(name) for name, kind in LIES.items() if kind.strike is not None)
"""Those that change what the worker computes with, at once; the others wait for its turn in a query."""


@dataclass(frozen=True)
class LabOrder:
    """One order.

    Attributes:
        lie: what to do.
        tensor: for one bit flip, its name such as "layer.3.weight".
        bit: for one bit flip, its number within the tensor's bytes.
        flips: for several, the tensor and the number of each.
        steps: for a noisy input, the noise's standard deviation in steps of the int8 code.
        seed: of that noise.
    """

    lie: Lie
    tensor: str = ""
    bit: int = 0
    flips: tuple[tuple[str, int], ...] = ()
    steps: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.steps) and self.steps >= 0) or self.seed < 0:
            raise ConfigError(f"lab order: noise of {self.steps} steps, seed {self.seed}: expected 0 or more")


def give_order(folder: Path, order: LabOrder) -> None:
    """Leaves an order in a worker's folder."""
    write_atomic(folder / ORDER_FILE, json.dumps({**asdict(order), "lie": order.lie.value}).encode())


def order_flips(folder: Path, flips: Iterable[BitFlip]) -> None:
    """Leaves the order to flip bits of the parameters that a worker computes with."""
    give_order(folder, LabOrder(Lie.FLIP_MEMORY_BITS, flips=tuple((flip.tensor, flip.bit) for flip in flips)))


def order_tensors(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Leaves the order to overwrite tensors that a worker computes with, such as "layer.3.weight".

    Raises:
        ModelError: the tensors cannot be written.
    """
    write_tensor_file(folder / TENSORS_FILE, TENSORS_KIND, "", tensors)
    give_order(folder, LabOrder(Lie.OVERWRITE_MEMORY))


def order_input_noise(folder: Path, steps: float, seed: int) -> None:
    """Leaves the order to compute on a noisy input at the next turn: what `input_noise.add_input_noise` gives."""
    give_order(folder, LabOrder(Lie.NOISY_INPUT, steps=steps, seed=seed))


def take_order(folder: Path) -> LabOrder | None:
    """The order in a worker's folder, which is removed; None if there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    path = folder / ORDER_FILE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text())
        path.unlink()
        return _parse(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path}: no readable order ({error})") from None


def take_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors that belong to an order to overwrite; their file is removed.

    Raises:
        ModelError: it cannot be read.
    """
    path = folder / TENSORS_FILE
    _, tensors = read_tensor_file(path, TENSORS_KIND)
    path.unlink(missing_ok=True)
    return tensors


def _parse(data: dict[str, Any]) -> LabOrder:
    flips = tuple((str(tensor), int(bit)) for tensor, bit in data.get("flips", ()))
    noise = float(data.get("steps", 0)), int(data.get("seed", 0))
    return LabOrder(Lie(data["lie"]), str(data["tensor"]), int(data["bit"]), flips, *noise)
