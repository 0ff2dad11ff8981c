"""A training that is interrupted and goes on gives the weights of one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepring_chain.datasets.by_name import DATASETS
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.model.tensor_file import read_tensor_file, write_tensor_file
from deepring_chain.training import zoo
from deepring_chain.training.train import TrainOptions, TrainReport, train
from deepring_chain.training.train_state import STATE_KIND
from deepring_chain.training.zoo import ZOO, Recipe, ZooEntry

OPTIONS = TrainOptions(seed=3, epochs=4)
RECIPES = {
    "adamw": Recipe(batch=16, label_smoothing=0.1, warmup=0.2),
    "sgd": Recipe(batch=16, optimizer="sgd", learning_rate=0.05, precision="bfloat16"),
}


def build_small() -> torch.nn.Sequential:
    """Convolution, batch normalization and dropout: weights, running figures and random numbers are in its state."""
    convolution = (torch.nn.Conv2d(3, 4, 3, stride=4, bias=False), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    return torch.nn.Sequential(*convolution, torch.nn.Dropout(0.3), torch.nn.Flatten(), torch.nn.Linear(256, 10))


@pytest.fixture(params=sorted(RECIPES))
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small network in the zoo."""
    entry = ZooEntry("small", build_small, DATASETS["cifar10"], RECIPES[request.param])
    monkeypatch.setattr(zoo, "ZOO", {**ZOO, "small": entry})
    return "small"


def images(count: int = 50) -> LabeledImages:
    random = np.random.default_rng(1)
    return LabeledImages(
        random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), random.integers(0, 10, count).astype(np.uint8)
    )


def run(name: str, options: TrainOptions, data: LabeledImages | None = None) -> dict[str, torch.Tensor]:
    return train(name, data or images(), options, lambda _report: None).state_dict()


def interrupt(name: str, options: TrainOptions, step: int) -> None:
    def stop(report: TrainReport) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(name, images(), options, stop)


@pytest.mark.parametrize("steps", [[4], [6], [5, 10, 16]], ids=["after an epoch", "within one", "three times"])
def test_interrupted_training_gives_the_same_weights_bit_for_bit(tmp_path: Path, name: str, steps: list[int]) -> None:
    expected = run(name, OPTIONS)
    kept = replace(OPTIONS, state=tmp_path / "state")
    for step in steps:
        interrupt(name, kept, step)
    found = run(name, kept)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_training_that_goes_on_does_only_what_is_left(tmp_path: Path, name: str) -> None:
    kept = replace(OPTIONS, state=tmp_path / "state")
    interrupt(name, kept, 14)
    reports: list[TrainReport] = []
    train(name, images(), kept, reports.append)
    assert (reports[0].step, reports[0].epoch, reports[-1].step, reports[-1].steps) == (13, 4, 16, 16)
    assert run(name, kept).keys() == build_small().state_dict().keys()


def changed(data: LabeledImages) -> LabeledImages:
    pixels = data.images.copy()
    pixels[0, 0, 0, 0] ^= 1
    return LabeledImages(pixels, data.labels)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        (replace(OPTIONS, seed=4), images()),
        (replace(OPTIONS, epochs=5), images()),
        (replace(OPTIONS, precision="other"), images()),
        (OPTIONS, images(49)),
        (OPTIONS, changed(images())),
        (OPTIONS, LabeledImages(images().images, images().labels[::-1].copy())),
    ],
    ids=["seed", "epochs", "precision", "number of images", "an image", "labels"],
)
def test_state_of_another_training_is_refused(
    tmp_path: Path, name: str, options: TrainOptions, data: LabeledImages
) -> None:
    state = tmp_path / "state"
    interrupt(name, replace(OPTIONS, state=state), 6)
    with pytest.raises(ModelError, match=r"state: of another training \(small, seed 3, 4 epochs, .* remove it$"):
        run(name, replace(options, state=state), data)


def test_state_of_another_recipe_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    interrupt(name, replace(OPTIONS, state=state), 6)
    entry = zoo.ZOO[name]
    other = replace(entry, recipe=replace(entry.recipe, max_shift=1))
    monkeypatch.setattr(zoo, "ZOO", {name: other})
    with pytest.raises(ModelError, match="of another training"):
        run(name, replace(OPTIONS, state=state))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": torch.tensor(9)}, "lacks its epoch or random state"),
        ({"epoch": torch.tensor(0)}, "lacks its epoch"),
        ({"epoch": torch.tensor([1, 1])}, "lacks its epoch"),
        ({"epoch": torch.tensor(1.0)}, "lacks its epoch"),
        ({"epoch": None}, "lacks its epoch"),
        ({"random": None}, "lacks its epoch or random state"),
        ({"random": torch.zeros(7, dtype=torch.uint8)}, "does not fit"),
        ({"random": torch.zeros(7)}, "does not fit"),
        ({"model.0.weight": None}, r"does not fit \(.*Missing key"),
        ({"model.0.weight": torch.zeros(2)}, r"does not fit \(.*size mismatch"),
        ({"optimizer.0.": torch.zeros(2)}, "lacks parameters"),
        ({"optimizer.9.exp_avg": torch.zeros(2)}, "lacks parameters"),
        ({"optimizer.x.exp_avg": torch.zeros(2)}, "does not fit"),
    ],
)
def test_damaged_state_is_refused(
    tmp_path: Path, name: str, changes: dict[str, torch.Tensor | None], message: str
) -> None:
    state = tmp_path / "state"
    interrupt(name, replace(OPTIONS, state=state), 6)
    identity, tensors = read_tensor_file(state, STATE_KIND)
    mixed = {**tensors, **changes}
    write_tensor_file(state, STATE_KIND, identity, {key: value for key, value in mixed.items() if value is not None})
    with pytest.raises(ModelError, match=message) as caught:
        run(name, replace(OPTIONS, state=state))
    assert "\n" not in str(caught.value)
    assert str(state) in str(caught.value)


def test_state_with_an_optimizer_of_another_shape_is_refused(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    interrupt(name, replace(OPTIONS, state=state), 6)
    identity, tensors = read_tensor_file(state, STATE_KIND)
    key = next(key for key in tensors if key.startswith("optimizer.1.") and tensors[key].dim() == 1)
    write_tensor_file(state, STATE_KIND, identity, {**tensors, key: torch.zeros(3)})
    with pytest.raises(ModelError, match=r"state of parameter 1 has another shape\); remove it"):
        run(name, replace(OPTIONS, state=state))


def test_truncated_state_and_other_files_are_refused(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    interrupt(name, replace(OPTIONS, state=state), 6)
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(ModelError, match="damaged or not a safetensors file"):
        run(name, replace(OPTIONS, state=state))
    write_tensor_file(state, "deepring-float-model", "small", {"x": torch.zeros(1)})
    with pytest.raises(ModelError, match="not a deepring-training-state file"):
        run(name, replace(OPTIONS, state=state))
