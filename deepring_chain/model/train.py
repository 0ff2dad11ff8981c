"""Training of the zoo's networks, and their float checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from deepring_chain.errors import ModelError
from deepring_chain.model.idx import LabeledImages
from deepring_chain.model.quantise import PIXELS, quantise
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from deepring_chain.model.zoo import find_entry

FLOAT_KIND = "deepring-float-model"

CALIBRATION_IMAGES = 2000


@dataclass(frozen=True)
class TrainOptions:
    """How to train. The defaults made the shipped model.

    Attributes:
        seed: of weights, order, dropout and shifts. The same seed, torch version and number of threads give the
            same weights.
        epochs: passes over the training images.
        batch: images per step.
        learning_rate: at the start; a cosine brings it to zero.
        weight_decay: of AdamW.
        max_shift: each image is moved by up to so many pixels along each axis.
    """

    seed: int = 7
    epochs: int = 24
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    max_shift: int = 2


@dataclass(frozen=True)
class EpochReport:
    """What a progress display needs after each epoch: its number from 1, how many there are, and the mean loss."""

    epoch: int
    epochs: int
    loss: float


def to_float(images: NDArray[np.uint8]) -> torch.Tensor:
    """Images as the networks take them: float32, 0..1, same shape."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255))


def train(
    name: str, data: LabeledImages, options: TrainOptions, on_epoch: Callable[[EpochReport], None]
) -> nn.Sequential:
    """Trains a network of the zoo on the CPU, without touching torch's global random state.

    Args:
        name: of the network.
        data: training images and labels.
        options: how.
        on_epoch: called after each epoch.

    Raises:
        ModelError: unknown network, or images or labels that do not fit it.
    """
    _check_data(name, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = find_entry(name).build()
        _fit(model, data, options, on_epoch)
    return model.eval()


def _check_data(name: str, data: LabeledImages) -> None:
    entry = find_entry(name)
    if data.images.shape[1:] != entry.input_shape:
        raise ModelError(f"{name} takes images of shape {entry.input_shape}, got {data.images.shape[1:]}")
    if len(data.labels) == 0 or int(data.labels.max()) >= len(entry.classes):
        raise ModelError(f"{name} takes labels 0..{len(entry.classes) - 1}, got {sorted(set(data.labels.tolist()))}")


def _fit(
    model: nn.Sequential, data: LabeledImages, options: TrainOptions, on_epoch: Callable[[EpochReport], None]
) -> None:
    images, labels = to_float(data.images), torch.from_numpy(data.labels.astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    steps = options.epochs * math.ceil(len(images) / options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for epoch in range(1, options.epochs + 1):
        losses = []
        for chosen in torch.split(torch.randperm(len(images)), options.batch):
            batch = shift_images(images[chosen], options.max_shift)
            loss = functional.cross_entropy(model(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        on_epoch(EpochReport(epoch, options.epochs, sum(losses) / len(losses)))


def shift_images(images: torch.Tensor, max_shift: int) -> torch.Tensor:
    """Moves each image of [N, H, W] by its own random offset of up to `max_shift` pixels; zeros come in."""
    if max_shift == 0:
        return images
    count, height, width = images.shape
    padded = functional.pad(images, (max_shift,) * 4)
    offsets = torch.randint(0, 2 * max_shift + 1, (2, count, 1))
    rows = (offsets[0] + torch.arange(height))[:, :, None]
    columns = (offsets[1] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], rows, columns]


def _batches(images: NDArray[np.uint8], size: int = 1000) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def evaluate_float(model: nn.Sequential, data: LabeledImages) -> float:
    """Share of images (0..1) whose class the float network finds."""
    model.eval()
    with torch.no_grad():
        found = [model(to_float(part)).argmax(1).numpy() for part in _batches(data.images)]
    return float((np.concatenate(found) == data.labels).mean())


def evaluate_quantised(model: QuantisedModel, data: LabeledImages, device: torch.device | None = None) -> float:
    """Share of images (0..1) whose class the integer network finds; exact, the same on every machine."""
    card = model.card
    found = [card.predictions(model.run(card.quantise_input(part), device)) for part in _batches(data.images)]
    return float((np.concatenate(found) == data.labels).mean())


def quantise_float(name: str, model: nn.Sequential, training: LabeledImages, test: LabeledImages) -> QuantisedModel:
    """Quantises a network of the zoo and measures both networks.

    Args:
        name: of the network.
        model: its trained form.
        training: the first `CALIBRATION_IMAGES` of these set the ranges of the activations.
        test: both accuracies are measured on these and go into the card.

    Raises:
        ModelError: unknown network, images that do not fit it, or weights that cannot be quantised.
    """
    _check_data(name, training)
    calibration = to_float(training.images[:CALIBRATION_IMAGES])
    quantised = quantise(model, calibration, name=name, classes=find_entry(name).classes, input_grid=PIXELS)
    return quantised.with_figures(
        {
            "accuracy, float": evaluate_float(model, test),
            "accuracy, quantised": evaluate_quantised(quantised, test),
            "test images": str(len(test.labels)),
        }
    )


def save_float(path: Path, name: str, model: nn.Sequential) -> None:
    """Writes the weights of a network of the zoo, atomically, as safetensors that name the network.

    Raises:
        ModelError: unknown network, or the file cannot be written.
    """
    write_tensor_file(path, FLOAT_KIND, find_entry(name).name, model.state_dict())


def load_float(path: Path) -> tuple[str, nn.Sequential]:
    """Reads what `save_float` wrote: name and network.

    Raises:
        ModelError: missing or damaged file, unknown network, or tensors that are not this network's.
    """
    name, tensors = read_tensor_file(path, FLOAT_KIND)
    model = find_entry(name).build()
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model file {path}: its tensors are not those of {name} ({reason[:200]})") from None
    return name, model.eval()
