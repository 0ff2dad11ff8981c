"""Training of the zoo's networks, resumable at every epoch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.errors import ModelError
from deepring_chain.training.train_state import TrainState, load_state, save_state
from deepring_chain.training.zoo import Recipe, ZooEntry, find_entry

PRECISIONS: Mapping[str, torch.dtype] = MappingProxyType({"float32": torch.float32, "bfloat16": torch.bfloat16})


@dataclass(frozen=True)
class TrainOptions:
    """How to train. The defaults made the shipped model.

    Attributes:
        seed: of weights, order, dropout, shifts and mirrors. The same seed, torch version, device, precision and
            number of threads give the same weights.
        epochs: passes over the training images; the recipe's if None.
        precision: "float32", or "bfloat16" for the products (`torch.autocast`), 2 to 3 times as fast on a CPU that
            has such instructions; the recipe's if None.
        device: where to compute; images stay on the CPU until they are used.
        state: file that keeps the state after each epoch, and from which an interrupted training goes on.
        start: tensors of another trained network by name; those whose name and shape are this network's too take the
            place of fresh ones.
    """

    seed: int = 7
    epochs: int | None = None
    precision: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: Path | None = None
    start: Mapping[str, torch.Tensor] | None = None


@dataclass(frozen=True)
class TrainReport:
    """What a progress display needs: steps done and to do in all, the epoch from 1, and the mean loss in it so far."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float

    @property
    def ends_epoch(self) -> bool:
        """Whether this is the last step of its epoch."""
        return self.step * self.epochs == self.epoch * self.steps


def train(
    name: str, data: LabeledImages, options: TrainOptions, on_step: Callable[[TrainReport], None]
) -> nn.Sequential:
    """Trains a network of the zoo, without touching torch's global random state.

    Args:
        name: of the network.
        data: training images and labels.
        options: how.
        on_step: called after each step.

    Raises:
        ModelError: unknown network, images or labels that do not fit it, a state file of another training, or a loss
            that is no number any more.
    """
    entry = find_entry(name)
    check_data(entry, data)
    if len(data.labels) < 2:
        raise ModelError(f"{name} cannot be trained with a single image")
    devices = [options.device] if options.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(options.seed)
        trainer = _Trainer(entry, data, options, on_step)
        trainer.run()
    return trainer.model.cpu().eval()


def check_data(entry: ZooEntry, data: LabeledImages) -> None:
    """Raises ModelError unless images and labels are such as the network takes."""
    if data.images.shape[1:] != entry.input_shape:
        raise ModelError(f"{entry.name} takes images of shape {entry.input_shape}, got {data.images.shape[1:]}")
    if len(data.labels) == 0 or int(data.labels.max()) >= len(entry.classes):
        found = sorted(set(data.labels.tolist()))
        raise ModelError(f"{entry.name} takes labels 0..{len(entry.classes) - 1}, got {found}")


class _Trainer:
    """One training: model, optimizer and the place reached."""

    def __init__(
        self, entry: ZooEntry, data: LabeledImages, options: TrainOptions, on_step: Callable[[TrainReport], None]
    ) -> None:
        self._entry, self._options, self._on_step = entry, options, on_step
        self._recipe = entry.recipe
        self._epochs = options.epochs or entry.recipe.epochs
        self._precision = options.precision or entry.recipe.precision
        self.model = entry.build()
        _start_from(self.model, options.start or {})
        self.model = self.model.to(options.device)
        if len(entry.input_shape) == 3:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._images = torch.from_numpy(np.require(data.images, requirements="W"))  # torch warns of others
        self._labels = torch.from_numpy(data.labels.astype(np.int64))
        self._optimizer = _build_optimizer(self.model, entry.recipe)
        self._identity = self._describe(data)

    def run(self) -> None:
        """All epochs that are not done yet."""
        self.model.train()
        for epoch in range(self._resume() + 1, self._epochs + 1):
            self._run_epoch(epoch)
            self._keep(epoch)

    def _run_epoch(self, epoch: int) -> None:
        parts = split_order(torch.randperm(len(self._images)), self._recipe.batch)
        total, done, steps = 0.0, (epoch - 1) * len(parts), self._epochs * len(parts)
        for number, chosen in enumerate(parts, start=1):
            rate = learning_rate(self._recipe, (done + number - 1) / steps)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            total += self._step(chosen)
            self._on_step(TrainReport(done + number, steps, epoch, self._epochs, total / number))
        if not math.isfinite(total):
            raise ModelError(f"{self._entry.name}: the loss is {total} in epoch {epoch}; try another --seed")

    def _step(self, chosen: torch.Tensor) -> float:
        batch = self._augment(self._images[chosen])
        labels = self._labels[chosen].to(self._options.device)
        with self._autocast():
            logits = self.model(batch.to(self._options.device))
            loss = functional.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())

    def _augment(self, images: torch.Tensor) -> torch.Tensor:
        images = shift_images(images, self._recipe.max_shift)
        if self._entry.dataset.mirrored:
            images = mirror_images(images)
        return to_float(images.numpy())

    def _autocast(self) -> AbstractContextManager[None]:
        dtype = PRECISIONS[self._precision]
        return torch.autocast(self._options.device.type, dtype, enabled=dtype != torch.float32)

    def _describe(self, data: LabeledImages) -> str:
        """What must be the same for a state to go on from, in words and a digest of the recipe and the images."""
        digest = hashlib.sha256(repr(self._recipe).encode())
        digest.update(data.images.data if data.images.flags.c_contiguous else data.images.tobytes())
        digest.update(data.labels.tobytes())
        for name, tensor in sorted((self._options.start or {}).items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        options, count = self._options, len(data.labels)
        given = f"seed {options.seed}, {self._epochs} epochs, {self._precision}, {options.device.type}, {count} images"
        return f"{self._entry.name}, {given}, recipe and images {digest.hexdigest()[:12]}"

    def _resume(self) -> int:
        """Takes up the state file, if there is one; returns the number of epochs done."""
        path = self._options.state
        if path is None or not path.exists():
            return 0
        state = load_state(path, self._identity, self._epochs)
        state.restore(self.model, self._optimizer, path)
        return state.epoch

    def _keep(self, epoch: int) -> None:
        if self._options.state is not None:
            save_state(self._options.state, self._identity, TrainState.of(epoch, self.model, self._optimizer))


def _start_from(model: nn.Sequential, start: Mapping[str, torch.Tensor]) -> None:
    own = model.state_dict()
    taken = {name: tensor for name, tensor in start.items() if name in own and own[name].shape == tensor.shape}
    if start and not taken:
        raise ModelError("the network to start from has no tensor in common with this one")
    model.load_state_dict(taken, strict=False)


def _build_optimizer(model: nn.Sequential, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=recipe.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def split_order(order: torch.Tensor, batch: int) -> list[torch.Tensor]:
    """Cuts an order of images into batches; a last one of a single image, which has no variance, is left out."""
    parts = list(torch.split(order, batch))
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Rate at a share (0..1) of all steps: a linear rise in the first `warmup`, then a cosine to zero."""
    if progress < recipe.warmup:
        return recipe.learning_rate * (1 + 24 * progress / recipe.warmup) / 25
    return recipe.learning_rate * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup))) / 2


def shift_images(images: torch.Tensor, max_shift: int) -> torch.Tensor:
    """Moves each image of [N, H, W] or [N, H, W, C] by its own random offset of up to `max_shift`; zeros come in."""
    if max_shift == 0:
        return images
    count, height, width = images.shape[:3]
    padded = functional.pad(images, (0, 0) * (images.dim() - 3) + (max_shift,) * 4)
    offsets = torch.randint(0, 2 * max_shift + 1, (2, count, 1))
    rows = (offsets[0] + torch.arange(height))[:, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], rows, columns]


def mirror_images(images: torch.Tensor) -> torch.Tensor:
    """Mirrors each image of [N, H, W, C] left to right with a chance of one half."""
    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(2), images)
