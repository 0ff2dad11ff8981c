"""The state of a training between two epochs, as a safetensors file: weights, optimizer and random state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file

STATE_KIND = "deepring-training-state"
EPOCH, RANDOM, RANDOM_CUDA = "epoch", "random", "random.cuda"
MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass(frozen=True)
class TrainState:
    """A training after some epochs.

    Attributes:
        epoch: epochs done.
        tensors: `model.<name>`, `optimizer.<parameter number>.<name>`, and the state of torch's random generators:
            `random` of the CPU's and, in a training on a GPU, `random.cuda` of the current one's.
    """

    epoch: int
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
        """The state as it is now."""
        tensors = {f"{MODEL}{name}": value for name, value in model.state_dict().items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{OPTIMIZER}{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
        if any(parameter.is_cuda for parameter in model.parameters()):
            tensors[RANDOM_CUDA] = torch.cuda.get_rng_state()
        return cls(epoch, {**tensors, RANDOM: torch.get_rng_state()})

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> None:
        """Puts the state back.

        Raises:
            ModelError: the tensors are not those of this model; `path` is named.
        """
        try:
            model.load_state_dict(self._under(MODEL))
            state = self._optimizer_state()
            _check_shapes(state, list(model.parameters()))
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            torch.set_rng_state(self.tensors[RANDOM])
            if RANDOM_CUDA in self.tensors:
                torch.cuda.set_rng_state(self.tensors[RANDOM_CUDA])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"training state {path}: does not fit ({reason}); remove it") from None

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


def _check_shapes(state: Mapping[int, Mapping[str, torch.Tensor]], parameters: Sequence[nn.Parameter]) -> None:
    """The optimizer itself would notice only in its next step."""
    names = {frozenset(values) for values in state.values()}
    if sorted(state) != list(range(len(parameters))) or len(names) != 1:
        raise ValueError("the optimizer's state lacks parameters")
    for number, values in state.items():
        shapes = (torch.Size(()), parameters[number].shape)
        if any(tensor.shape not in shapes or not tensor.is_floating_point() for tensor in values.values()):
            raise ValueError(f"the optimizer's state of parameter {number} has another shape")


def load_state(path: Path, identity: str, epochs: int) -> TrainState:
    """Reads what `save_state` wrote.

    Args:
        path: the file.
        identity: as it was saved.
        epochs: of the whole training.

    Raises:
        ModelError: missing or damaged file, or the state of another training.
    """
    found, tensors = read_tensor_file(path, STATE_KIND)
    if found != identity:
        raise ModelError(f"training state {path}: of another training ({found}; this is {identity}); remove it")
    epoch = tensors.pop(EPOCH, torch.tensor(0))
    if RANDOM not in tensors or epoch.dtype != torch.int64 or epoch.dim() != 0 or not 1 <= int(epoch) <= epochs:
        raise ModelError(f"training state {path}: damaged, it lacks its epoch or random state; remove it")
    return TrainState(int(epoch), tensors)
