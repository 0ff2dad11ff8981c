"""Accuracies of a network and of its quantised form, and float checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import batches, to_float
from deepring_chain.errors import ModelError
from deepring_chain.importing.quantise import CALIBRATION_IMAGES, PIXELS, quantise
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from deepring_chain.training.train import check_data
from deepring_chain.training.zoo import find_entry

FLOAT_KIND = "deepring-float-model"


def evaluate_float(model: nn.Sequential, data: LabeledImages) -> float:
    """Share of images (0..1) whose class the float network finds."""
    model.eval()
    with torch.no_grad():
        found = [model(to_float(part)).argmax(1).numpy() for part in batches(data.images, 250)]
    return float((np.concatenate(found) == data.labels).mean())


def evaluate_quantised(model: QuantisedModel, data: LabeledImages, device: torch.device | None = None) -> float:
    """Share of images (0..1) whose class the integer network finds; exact, the same on every machine."""
    card = model.card
    found = [card.predictions(model.run(card.quantise_input(part), device)) for part in batches(data.images, 250)]
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
    entry = find_entry(name)
    check_data(entry, training)
    check_data(entry, test)
    calibration = to_float(training.images[:CALIBRATION_IMAGES])
    quantised = quantise(model, calibration, name=name, classes=entry.classes, input_grid=PIXELS)
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
