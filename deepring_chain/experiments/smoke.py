"""Every experiment small, without a data folder: the shipped dense network, and a tiny convolutional one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ModelError
from deepring_chain.experiments.lab_ring import ExperimentError, RingSettings
from deepring_chain.experiments.passes import PassSettings, Progress
from deepring_chain.experiments.results import read_result
from deepring_chain.experiments.rows import PARTS, Paper, PlainSettings
from deepring_chain.experiments.run import RowJob, draw_page, result_path, run_row, run_sweep, run_table1
from deepring_chain.experiments.subject import Subject
from deepring_chain.experiments.sweeps import SweepSettings
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.quantised import QuantisedModel

COMMAND = "deepring experiment smoke"

SMOKE_PAPER = Paper(original=98.10, tampered=88.10, perturbed=88.10)
"""Margins that a small run looks for."""

STEPS_PER_UNIT = 255
"""Integer steps of an activation that stand for 1.0 in a network that `dequantise` makes."""


def dense_subject(images: int) -> Subject:
    """The shipped network on the first samples; the attacker trains on the others.

    Args:
        images: how many are asked, fewer than 1,000.
    """
    samples, model = load_mnist_samples(), shipped_model()
    test = LabeledImages(samples.images[:images], samples.labels[:images])
    rest = LabeledImages(samples.images[images:], samples.labels[images:])
    return Subject("mnist-dense", dequantise(model), model, rest, test, "")


def dequantise(model: QuantisedModel) -> nn.Sequential:
    """A float network that computes what a quantised dense one does, up to rounding and clamping.

    Its hidden activations are on a scale on which the 255 steps of their integer code are 1.0.

    Args:
        model: of dense layers, with pixels as inputs, a ReLU after each hidden layer.

    Raises:
        ModelError: another operator.
    """
    modules: list[nn.Module] = [nn.Flatten()]
    for layer in model.layers:
        if not isinstance(layer, DenseLayer):
            raise ModelError(f"layer {layer.index} ({layer.operator}): only dense layers are turned back into floats")
        is_last = layer.output_dtype == "int32"
        unit = model.card.output_scale * STEPS_PER_UNIT if is_last else 1.0
        factor = layer.multiplier.double() / 2.0 ** layer.shift.double() * unit
        linear = nn.Linear(layer.weight.shape[0], layer.weight.shape[1])
        with torch.no_grad():
            linear.weight.copy_((layer.weight.double() * factor).T)
            linear.bias.copy_(layer.bias.double() * factor / STEPS_PER_UNIT)
        modules += [linear] if is_last else [linear, nn.ReLU()]
    return nn.Sequential(*modules).eval()


def conv_subject(images: int, seed: int = 3) -> Subject:
    """A network with two convolutions that tells where an image is bright, trained in a second.

    Args:
        images: how many are asked.
        seed: of images and training.
    """
    test, training = _draw_spots(images, seed), _draw_spots(600, seed + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build_conv()
        _train(network, training)
    calibration = to_float(training.images[:200])
    model = quantise(network, calibration, name="spots-conv", input_grid=PIXELS)
    return Subject("spots-conv", network, model, training, test, "")


def _build_conv() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 4),
    )


def _draw_spots(count: int, seed: int) -> LabeledImages:
    """Noise of 8 x 8 pixels with a brighter quarter, whose number is the class."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 160, (count, 8, 8, 1), dtype=np.uint8)
    labels = rng.integers(0, 4, count, dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] += 60
    return LabeledImages(images, labels)


def _train(network: nn.Sequential, data: LabeledImages, epochs: int = 12, batch: int = 60) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    labels = torch.from_numpy(data.labels.astype(np.int64))
    network.train()
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(labels)), batch):
            loss = functional.cross_entropy(network(to_float(data.images[chosen.numpy()])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    network.eval()


def run_smoke(out: Path, work: Path, on_progress: Progress) -> list[str]:
    """Runs every experiment small.

    Args:
        out: for page, results and plots.
        work: for rings while they run.
        on_progress: told what is done.

    Returns:
        What was seen, a line for each ring.

    Raises:
        ExperimentError: a ring did not do what it must.
    """
    run_table1(out, 2000, 1, COMMAND, on_progress)
    lines = []
    for subject, table, row in ((dense_subject(120), "table3", "mnist-dense"), (conv_subject(120), "table2", "spots")):
        path = result_path(out, table, subject.name)
        passing = PassSettings(40, 2, RingSettings(threads=1, hop_seconds=3600))
        job = RowJob(PlainSettings(search_images=60), passing, PARTS, COMMAND)
        run_row(subject, SMOKE_PAPER, path, work, job, _named(row, on_progress))
        lines += check_rings(subject.name, path)
        run_sweep(subject, out, SweepSettings(flips=5, draws=2, most=1000), COMMAND, _named(row, on_progress))
    draw_page(out, out / "experiments.md")
    return lines


def _named(name: str, on_progress: Progress) -> Progress:
    return lambda what, done, whole: on_progress(f"{name}: {what}", done, whole)


def check_rings(name: str, path: Path) -> list[str]:
    """Checks that all rings of a row found all attacks, accused nobody else, and answered rightly.

    Raises:
        ExperimentError: one did not.
    """
    parts = (read_result(path) or {"parts": {}})["parts"]
    lines = []
    for key in [key for key in PARTS if key.startswith("ring-")]:
        part = parts[key]
        wrong = [part[field] for field in ("differing_logits", "false_alarms", "wrong_accusations")]
        found = f"{part['detected']} of {part['attacks']} attacks found, {part['restored']} restored"
        rest = f"{part['differing_logits']} answers differ, {part['false_alarms']} false alarms"
        lines.append(f"{name}, {key}: {found}, {rest}")
        if any(wrong) or not part["attacks"] == part["detected"] == part["restored"]:
            raise ExperimentError(f"{lines[-1]}, {part['wrong_accusations']} wrong accusations")
    return lines
