"""Training, float checkpoints, and the network that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import load_layers, load_model, save_model, shipped_model
from deepring_chain.model.idx import LabeledImages
from deepring_chain.model.samples import load_mnist_samples
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from deepring_chain.model.train import (
    EpochReport,
    TrainOptions,
    evaluate_float,
    evaluate_quantised,
    load_float,
    quantise_float,
    save_float,
    shift_images,
    train,
)
from deepring_chain.model.zoo import find_entry

QUICK = TrainOptions(seed=1, epochs=2, batch=50)


def samples(count: int = 300) -> LabeledImages:
    data = load_mnist_samples()
    return LabeledImages(data.images[:count], data.labels[:count])


def train_quickly(options: TrainOptions = QUICK, count: int = 100) -> dict[str, torch.Tensor]:
    return train("mnist-dense", samples(count), options, lambda _report: None).state_dict()


def test_shipped_network_reads_the_samples_as_its_card_says() -> None:
    model = shipped_model()
    figures = model.card.figures
    assert figures["test images"] == "10000"
    assert figures["accuracy, float"] >= 0.981
    assert abs(figures["accuracy, float"] - figures["accuracy, quantised"]) <= 0.003
    assert evaluate_quantised(model, load_mnist_samples()) >= 0.98
    assert [layer.output_shape for layer in model.layers] == [(900,), (600,), (300,), (100,), (10,)]
    assert (model.card.input_scale, model.card.input_zero_point) == (1 / 255, -128)


def test_training_learns_reports_each_epoch_and_survives_quantisation(tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    data = samples(1000)
    model = train("mnist-dense", data, replace(QUICK, epochs=6, max_shift=0), reports.append)
    assert [(report.epoch, report.epochs) for report in reports] == [(epoch, 6) for epoch in range(1, 7)]
    assert reports[-1].loss < reports[0].loss / 2
    quantised = quantise_float("mnist-dense", model, data, data)
    figures = quantised.card.figures
    assert figures["accuracy, float"] == evaluate_float(model, data) > 0.85
    assert figures["accuracy, quantised"] == evaluate_quantised(quantised, data) > 0.85
    save_model(tmp_path / "model", quantised)
    assert load_model(tmp_path / "model").card == quantised.card


def test_same_seed_gives_the_same_weights_and_leaves_the_global_state() -> None:
    state = torch.random.get_rng_state()
    first, second = train_quickly(), train_quickly()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = train_quickly(replace(QUICK, seed=2))
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_shift_moves_every_image_whole_and_by_no_more_than_asked() -> None:
    image = torch.zeros(500, 9, 9)
    image[:, 4, 4] = 1
    shifted = shift_images(image, 2)
    assert shifted.shape == image.shape
    assert shifted.sum(dim=(1, 2)).tolist() == [1.0] * 500
    places = shifted.nonzero()[:, 1:] - 4
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert shift_images(image, 0) is image


def test_float_checkpoint_comes_back_with_its_name(tmp_path: Path) -> None:
    model = find_entry("mnist-dense").build().eval()
    save_float(tmp_path / "float", "mnist-dense", model)
    name, loaded = load_float(tmp_path / "float")
    assert name == "mnist-dense"
    assert not loaded.training
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_damaged_float_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "float"
    save_float(path, "mnist-dense", find_entry("mnist-dense").build())
    text, tensors = read_tensor_file(path, "deepring-float-model")
    write_tensor_file(path, "deepring-float-model", text, {**tensors, "1.weight": torch.zeros(3, 3)})
    with pytest.raises(ModelError, match="its tensors are not those of mnist-dense") as caught:
        load_float(path)
    assert "\n" not in str(caught.value)
    write_tensor_file(path, "deepring-float-model", "other", tensors)
    with pytest.raises(ModelError, match="no network named 'other'; known: mnist-dense"):
        load_float(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="damaged"):
        load_float(path)


def test_float_checkpoint_is_no_quantised_model(tmp_path: Path) -> None:
    save_float(tmp_path / "float", "mnist-dense", find_entry("mnist-dense").build())
    for load in (load_model, load_layers):
        with pytest.raises(ModelError, match="it holds deepring-float-model"):
            load(tmp_path / "float")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("resnet", samples(), "no network named 'resnet'; known: mnist-dense"),
        ("mnist-dense", LabeledImages(np.zeros((2, 32, 32), np.uint8), np.zeros(2, np.uint8)), r"got \(32, 32\)"),
        ("mnist-dense", LabeledImages(np.zeros((1, 28, 28), np.uint8), np.full(1, 10, np.uint8)), "takes labels 0..9"),
        ("mnist-dense", LabeledImages(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)), "takes labels 0..9"),
    ],
    ids=["unknown network", "other shape", "label out of range", "nothing"],
)
def test_data_that_does_not_fit_is_refused(name: str, data: LabeledImages, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        train(name, data, QUICK, lambda _report: None)
