"""What an experiment is about: a trained network, its integer form, and the images that it is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.datasets.by_name import read_dataset
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.importing.quantise import CALIBRATION_IMAGES, PIXELS, quantise
from deepring_chain.model.checkpoint import load_model, save_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.training.evaluate import load_float
from deepring_chain.training.zoo import find_entry
from deepring_chain.types import TensorBytes

BATCH = 250
"""Images that plain networks take at once."""


@dataclass(frozen=True)
class Subject:
    """A network under attack.

    Attributes:
        name: in the zoo.
        network: its float form.
        model: its integer form, made from `network`.
        training: images that the attacker may train on.
        test: images that are asked.
        checkpoint: SHA-256 of the float checkpoint, hexadecimal; "" if there is none.
    """

    name: str
    network: nn.Sequential
    model: QuantisedModel
    training: LabeledImages
    test: LabeledImages
    checkpoint: str

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one input of `network`."""
        return tuple(to_float(self.test.images[:1]).shape[1:])


def load_subject(name: str, data: Path, models: Path, work: Path, images: int | None = None) -> Subject:
    """Reads a trained network of the zoo and its data, and quantises it, or takes the quantised form up from `work`.

    Args:
        name: of the network.
        data: folder with the data set's files.
        models: folder with NAME.float.safetensors, as `deepring train` writes it.
        work: for what is kept between runs.
        images: how many of the test images, the first ones; all if None.

    Raises:
        ExperimentError: there is no such checkpoint; the message says how to make it.
        ModelError: it, or the data, is unusable.
    """
    entry = find_entry(name)
    path = checkpoint_path(models, name)
    if not path.is_file():
        made = f"`deepring train {name} --data FOLDER --out {path}`"
        raise ExperimentError(f"{path}: no trained network here; {made} makes it")
    found, network = load_float(path)
    if found != name:
        raise ExperimentError(f"{path}: holds {found}, expected {name}; put each network under its own name")
    checkpoint = hashlib.sha256(path.read_bytes()).hexdigest()
    training, test = (read_dataset(entry.dataset.name, data, part) for part in ("train", "test"))
    test = LabeledImages(test.images[:images], test.labels[:images])
    kept = work / f"{name}-{checkpoint[:16]}.safetensors"
    if kept.is_file():
        return Subject(name, network, load_model(kept), training, test, checkpoint)
    calibration = to_float(training.images[:CALIBRATION_IMAGES])
    model = quantise(network, calibration, name=name, classes=entry.classes, input_grid=PIXELS)
    save_model(kept, model)
    return Subject(name, network, model, training, test, checkpoint)


def checkpoint_path(models: Path, name: str) -> Path:
    """File of a trained network."""
    return models / f"{name}.float.safetensors"


def digest_images(data: LabeledImages) -> str:
    """SHA-256 over images and labels as they were read: uint8 in C order, images first."""
    digest = hashlib.sha256(np.ascontiguousarray(data.images).tobytes())
    digest.update(np.ascontiguousarray(data.labels).tobytes())
    return digest.hexdigest()


def cut(images: NDArray[np.uint8], size: int = BATCH) -> Iterator[NDArray[np.uint8]]:
    """Cuts images into batches."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def float_predictions(network: nn.Sequential, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Class that the float network finds for each image, int64 [N]."""
    network.eval()
    with torch.no_grad():
        found = [network(to_float(part)).argmax(1).numpy() for part in cut(images)]
    return np.concatenate(found).astype(np.int64)


def integer_logits(
    model: QuantisedModel,
    images: NDArray[np.uint8],
    run: Callable[[int, TensorBytes], TensorBytes] | None = None,
) -> NDArray[np.int32]:
    """Logits of the plain integer model, int32 [N, classes].

    Args:
        model: gives the input's code.
        images: uint8 [N, ...].
        run: computes batch number k in place of `model`, for attacks.
    """
    compute = run or (lambda _, inputs: model.run(inputs))
    outputs = [compute(number, model.card.quantise_input(part)) for number, part in enumerate(cut(images))]
    return np.concatenate([read_logits(output) for output in outputs])


def read_logits(output: TensorBytes) -> NDArray[np.int32]:
    """An answer as an array, int32 [N, classes]."""
    return np.frombuffer(output.data, "<i4").reshape(output.shape).astype(np.int32)


def accuracy(predictions: NDArray[np.int64], data: LabeledImages) -> float:
    """Share of right predictions (0..1) for the first images of `data`, as many as there are predictions."""
    return float((predictions == data.labels[: len(predictions)]).mean())


def best_class(logits: NDArray[np.int32]) -> NDArray[np.int64]:
    """The class of the largest logit; of equal ones the first."""
    found: NDArray[np.int64] = logits.argmax(1).astype(np.int64)
    return found


def identify(subject: Subject, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for the results of an earlier run to be kept: network, images, model and settings."""
    test = subject.test
    return {
        "network": subject.name,
        "data": {"test_images": len(test.labels), "sha256": digest_images(test)},
        "model": {"checkpoint_sha256": subject.checkpoint, "root": subject.model.manifest().root().hex()},
        "settings": dict(settings),
    }
