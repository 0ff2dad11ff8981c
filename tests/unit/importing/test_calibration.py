"""A model of an ONNX file and some images: exact, close to the file, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepring_chain.errors import ModelError
from deepring_chain.importing import calibration
from deepring_chain.importing.calibration import quantise_onnx, read_calibration
from deepring_chain.model.front.modules import UnsupportedModule
from tests.unit.importing.onnx_tools import Writer, exported, images, residual, saved, vgg

PICTURES = images((3, 12, 8), 40)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return saved(tmp_path / "small vgg.onnx", exported(*vgg()))


def test_model_of_a_file_and_labeled_images_says_how_good_it_is(tmp_path: Path, network: Path) -> None:
    np.savez(tmp_path / "images.npz", images=PICTURES, labels=np.arange(40) % 5)
    model = quantise_onnx(network, tmp_path / "images.npz")
    card = model.card
    assert (card.name, card.input_shape, card.input_scale, card.input_zero_point) == (
        "small vgg",
        (12, 8, 3),
        1 / 255,
        -128,
    )
    assert [layer.operator for layer in model.layers] == ["conv", "conv", "conv", "dense", "dense"]
    assert card.figures["calibration images"] == "40"
    assert float(card.figures["same class as in float"]) >= 0.9
    assert abs(float(card.figures["accuracy, float"]) - float(card.figures["accuracy, quantised"])) <= 0.1


def test_residual_blocks_are_layers_of_their_own(tmp_path: Path) -> None:
    network, item_shape = residual()
    path = saved(tmp_path / "net.onnx", exported(network, item_shape))
    np.save(tmp_path / "images.npy", images(item_shape, 40))
    model = quantise_onnx(path, tmp_path / "images.npy")
    assert [layer.operator for layer in model.layers] == ["conv", "residual", "residual", "dense"]
    assert float(model.card.figures["same class as in float"]) >= 0.9
    assert "accuracy, float" not in model.card.figures


def test_images_come_from_a_file_or_a_folder_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        Image.fromarray(PICTURES[number]).save(tmp_path / f"{number}.png")
    np.save(tmp_path / "3.npy", PICTURES[3:6])
    (tmp_path / "notes.txt").write_text("not an image")
    assert np.array_equal(read_calibration(tmp_path, (12, 8, 3)).images, PICTURES[:6])
    assert np.array_equal(read_calibration(tmp_path / "1.png", (12, 8, 3)).images, PICTURES[1:2])
    assert np.array_equal(read_calibration(tmp_path / "3.npy", (12, 8, 3)).images, PICTURES[3:6])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": PICTURES}, r"uint8 \[N, 12, 8, 3\] is needed, has nothing"),
        ({"images": PICTURES.astype(np.float32)}, r"has float32 \[40, 12, 8, 3\]"),
        ({"images": PICTURES[0]}, r"has uint8 \[12, 8, 3\]"),
        ({"images": PICTURES[:0]}, r"has uint8 \[0, 12, 8, 3\]"),
        ({"images": np.array([{}], dtype=object)}, "no readable npz archive .*an array of objects"),
        ({"images": PICTURES, "labels": np.arange(39)}, r"labels of int64 \[39\]"),
        ({"images": PICTURES, "labels": np.zeros(40)}, r"labels of float64 \[40\]"),
    ],
)
def test_archive_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(ModelError, match=message) as caught:
        read_calibration(tmp_path / "images.npz", (12, 8, 3))
    assert str(caught.value).startswith(f"calibration images {tmp_path / 'images.npz'}: ")
    assert "\n" not in str(caught.value)


def test_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FILE_LIMIT", 1000)
    np.savez_compressed(tmp_path / "images.npz", images=np.zeros((40, 12, 8, 3), np.uint8))
    with pytest.raises(ModelError, match=r"images.npy is larger than 1000 bytes"):
        read_calibration(tmp_path / "images.npz", (12, 8, 3))


def test_missing_and_unusable_images_are_refused(tmp_path: Path, network: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no png or npy file in this folder"):
        quantise_onnx(network, tmp_path / "empty")
    for name, message in (("none.npz", "No such file"), ("none.npy", "no such file"), ("none", "no such file")):
        with pytest.raises(ModelError, match=message):
            quantise_onnx(network, tmp_path / name)
    np.save(tmp_path / "gray.npy", PICTURES[..., 0])
    with pytest.raises(ModelError, match=r"shape \[40, 12, 8\], the model takes \[12, 8, 3\] or a batch of it"):
        quantise_onnx(network, tmp_path / "gray.npy")


def test_operator_that_is_not_exact_is_refused_before_any_image_is_read(tmp_path: Path) -> None:
    writer = Writer()
    path = saved(tmp_path / "net.onnx", writer.finish(writer.add("Sigmoid", "image"), ["n", 6]))
    with pytest.raises(UnsupportedModule, match=r"node '/net/sigmoid.0' \(Sigmoid\) cannot be made exact"):
        quantise_onnx(path, tmp_path / "none.npy")
