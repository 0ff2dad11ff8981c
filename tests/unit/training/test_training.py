"""Training, float checkpoints, and the network that comes with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.pixels import to_float
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ModelError
from deepring_chain.model.checkpoint import load_layers, load_model, save_model, shipped_model
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from deepring_chain.training import train as train_module
from deepring_chain.training.evaluate import evaluate_float, evaluate_quantised, load_float, quantise_float, save_float
from deepring_chain.training.train import (
    TrainOptions,
    TrainReport,
    learning_rate,
    mirror_images,
    shift_images,
    split_order,
    train,
)
from deepring_chain.training.train_state import STATE_KIND
from deepring_chain.training.zoo import ZOO, Recipe, find_entry

QUICK = TrainOptions(seed=1, epochs=2)


def samples(count: int = 300) -> LabeledImages:
    data = load_mnist_samples()
    return LabeledImages(data.images[:count], data.labels[:count])


def train_quickly(options: TrainOptions = QUICK, count: int = 100) -> dict[str, torch.Tensor]:
    return train("mnist-dense", samples(count), options, lambda _report: None).state_dict()


def test_shipped_network_reads_the_samples_as_its_card_says() -> None:
    model = shipped_model()
    figures = model.card.figures
    assert figures["test images"] == "10000"
    before, after = figures["accuracy, float"], figures["accuracy, quantised"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before >= 0.981
    assert abs(before - after) <= 0.003
    assert evaluate_quantised(model, load_mnist_samples()) >= 0.98
    assert [layer.output_shape for layer in model.layers] == [(900,), (600,), (300,), (100,), (10,)]
    assert (model.card.input_scale, model.card.input_zero_point) == (1 / 255, -128)


def test_training_learns_reports_each_epoch_and_survives_quantisation(tmp_path: Path) -> None:
    reports: list[TrainReport] = []
    data = samples(1000)
    model = train("mnist-dense", data, replace(QUICK, epochs=12), reports.append)
    assert [(report.step, report.steps) for report in reports] == [(step, 48) for step in range(1, 49)]
    ends = [report for report in reports if report.ends_epoch]
    assert [(report.epoch, report.epochs) for report in ends] == [(epoch, 12) for epoch in range(1, 13)]
    assert ends[-1].loss < ends[0].loss / 2
    quantised = quantise_float("mnist-dense", model, data, data)
    figures = quantised.card.figures
    assert figures["accuracy, float"] == evaluate_float(model, data) > 0.8
    assert figures["accuracy, quantised"] == evaluate_quantised(quantised, data) > 0.8
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        shifted = shift_images(image, 2)
        torch.manual_seed(5)
        colored = shift_images(image[..., None].expand(-1, -1, -1, 3).to(torch.uint8), 2)
    assert shifted.shape == image.shape
    assert all(torch.equal(colored[..., channel], shifted.to(torch.uint8)) for channel in range(3))
    assert shifted.sum(dim=(1, 2)).tolist() == [1.0] * 500
    places = shifted.nonzero()[:, 1:] - 4
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert shift_images(image, 0) is image


def test_mirror_turns_about_half_of_the_images_left_to_right() -> None:
    images = torch.arange(2 * 3 * 3, dtype=torch.uint8).reshape(1, 2, 3, 3).expand(400, -1, -1, -1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        mirrored = mirror_images(images)
    turned = [torch.equal(image, images[0].flip(1)) for image in mirrored]
    assert 150 < sum(turned) < 250
    assert all(torch.equal(image, images[0]) for image, done in zip(mirrored, turned, strict=True) if not done)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(learning_rate=0.5, warmup=0.25)
    assert learning_rate(recipe, 0) == pytest.approx(0.02)
    assert learning_rate(recipe, 0.25) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.625) == pytest.approx(0.25)
    assert learning_rate(recipe, 1) == pytest.approx(0)
    assert learning_rate(Recipe(learning_rate=0.5), 0) == 0.5


def test_last_batch_of_one_image_is_left_out() -> None:
    assert [part.tolist() for part in split_order(torch.arange(7), 3)] == [[0, 1, 2], [3, 4, 5]]
    assert [part.tolist() for part in split_order(torch.arange(8), 3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [part.tolist() for part in split_order(torch.arange(1), 3)] == [[0]]


def test_color_images_get_their_channels_first_and_gray_ones_stay() -> None:
    color = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    assert torch.equal(to_float(color)[1, 2], torch.from_numpy(color[1, :, :, 2].astype(np.float32) / 255))
    assert to_float(color[..., 0]).shape == (2, 4, 5)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_network_of_the_zoo_takes_its_images_and_gives_a_logit_for_each_class(name: str) -> None:
    entry = find_entry(name)
    model = entry.build().eval()
    with torch.no_grad():
        logits = model(to_float(np.full((2, *entry.input_shape), 99, np.uint8)))
    assert logits.shape == (2, len(entry.classes))
    layers = [module for module in model.modules() if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))]
    assert len(layers) == {"dense": 5, "vgg19": 19, "resnet18": 21}[name.rpartition("-")[2]]


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
    with pytest.raises(ModelError, match="no network named 'other'; known: cifar10-dense"):
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
        ("resnet", samples(), "no network named 'resnet'; known: cifar10-dense"),
        ("mnist-dense", LabeledImages(np.zeros((2, 32, 32), np.uint8), np.zeros(2, np.uint8)), r"got \(32, 32\)"),
        ("mnist-dense", LabeledImages(np.zeros((1, 28, 28), np.uint8), np.full(1, 10, np.uint8)), "takes labels 0..9"),
        ("mnist-dense", LabeledImages(np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)), "takes labels 0..9"),
        ("mnist-dense", samples(1), "cannot be trained with a single image"),
    ],
    ids=["unknown network", "other shape", "label out of range", "nothing", "one"],
)
def test_data_that_does_not_fit_is_refused(name: str, data: LabeledImages, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        train(name, data, QUICK, lambda _report: None)


def test_test_images_that_do_not_fit_are_refused_before_anything_is_quantised() -> None:
    other = LabeledImages(np.zeros((2, 32, 32), np.uint8), np.zeros(2, np.uint8))
    with pytest.raises(ModelError, match=r"takes images of shape \(28, 28\), got \(32, 32\)"):
        quantise_float("mnist-dense", find_entry("mnist-dense").build(), samples(), other)


def test_loss_that_is_no_number_ends_the_training_with_its_last_state_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    real = train_module.learning_rate
    monkeypatch.setattr(train_module, "learning_rate", lambda recipe, at: real(recipe, at) if at < 0.3 else 1e38)
    with pytest.raises(ModelError, match="mnist-dense: the loss is nan in epoch 2; try another --seed"):
        train("mnist-dense", samples(600), replace(QUICK, epochs=3, state=state), lambda _report: None)
    assert int(read_tensor_file(state, STATE_KIND)[1]["epoch"]) == 1


def test_training_from_another_network_takes_over_the_tensors_that_fit() -> None:
    start = {name: torch.full_like(value, 0.25) for name, value in train_quickly().items() if name != "1.weight"}
    options = replace(QUICK, epochs=1, start={**start, "1.weight": torch.zeros(2, 2), "other": torch.zeros(1)})
    fresh, warm = train_quickly(replace(QUICK, epochs=1)), train_quickly(options)
    assert float((warm["4.weight"] - 0.25).abs().max()) < 0.02
    assert float((fresh["4.weight"] - 0.25).abs().max()) > 0.02
    assert float((warm["1.weight"] - fresh["1.weight"]).abs().max()) < 0.02


def test_network_to_start_from_with_nothing_in_common_is_refused() -> None:
    with pytest.raises(ModelError, match="no tensor in common"):
        train_quickly(replace(QUICK, start={"1.weight": torch.zeros(2, 2)}))


def test_state_of_a_training_with_another_start_is_refused(tmp_path: Path) -> None:
    start = train_quickly()
    train_quickly(replace(QUICK, epochs=1, state=tmp_path / "state"))
    with pytest.raises(ModelError, match="another training"):
        train_quickly(replace(QUICK, epochs=1, state=tmp_path / "state", start=start))
