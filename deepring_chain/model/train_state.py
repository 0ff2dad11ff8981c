"""The state of a training between two epochs, as a safetensors file: weights, optimizer and random state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file

STATE_KIND = "deepring-training-state"
EPOCH, RANDOM = "epoch", "random"
MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass(frozen=True)
class TrainState:
    """A training after some epochs.

    Attributes:
        epoch: epochs done.
        tensors: `model.<name>`, `optimizer.<parameter number>.<name>` and `random`, torch's CPU generator.
    """

    epoch: int
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
        """The state as it is now."""
        tensors = {f"{MODEL}{name}": value for name, value in model.state_dict().items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
        return cls(epoch, {**tensors, RANDOM: torch.get_rng_state()})

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
        """Puts the state back.

        Raises:
            ModelError: the tensors are not those of this model; `path` is named.
        """
        try:
            model.load_state_dict(self._under(MODEL))
            optimizer.load_state_dict({**optimizer.state_dict(), "state": self._optimizer_state()})
            torch.set_rng_state(self.tensors[RANDOM])
        except (RuntimeError, KeyError, ValueError) as error:
            raise ModelError(f"training state {path}: does not fit ({' '.join(str(error).split())[:200]})") from None

    def _under(self, prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    def _optimizer_state(self) -> dict[int, dict[str, torch.Tensor]]:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in self._under(OPTIMIZER).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        return state


def save_state(path: Path, identity: str, state: TrainState) -> None:
    """Writes a state atomically.

    Args:
        path: the file.
        identity: what a training that goes on from it must be, in words.
        state: the state.

    Raises:
        ModelError: the file cannot be written.
    """
    write_tensor_file(path, STATE_KIND, identity, {**state.tensors, EPOCH: torch.tensor(state.epoch)})


def load_state(path: Path, identity: str) -> TrainState:
    """Reads what `save_state` wrote.

    Raises:
        ModelError: missing or damaged file, or the state of another training.
    """
    found, tensors = read_tensor_file(path, STATE_KIND)
    if found != identity:
        raise ModelError(f"training state {path}: of another training ({found}; this is {identity}); remove it")
    if EPOCH not in tensors or RANDOM not in tensors:
        raise ModelError(f"training state {path}: damaged, it lacks its epoch or random state; remove it")
    epoch = int(tensors.pop(EPOCH))
    return TrainState(epoch, tensors)
