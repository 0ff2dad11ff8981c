"""The card turns images into inputs and outputs into answers, and refuses what is neither."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepring_chain.errors import ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.types import TensorBytes

CARD = ModelCard("small", (2, 3), 1 / 255, -128, ("no", "yes"), 0.25, 3, {"accuracy": 0.5, "data": "none"})


def test_card_survives_encoding() -> None:
    assert ModelCard.decode(CARD.encode()) == CARD
    assert CARD.digest() != replace(CARD, output_scale=0.5).digest()


def test_pixels_are_kept_exactly() -> None:
    pixels = np.arange(252, dtype=np.uint8).reshape(42, 2, 3)
    tensor = CARD.quantise_input(pixels)
    assert (tensor.dtype, tensor.shape) == ("int8", (42, 2, 3))
    assert tensor.data == bytes((int(pixel) - 128) % 256 for pixel in pixels.reshape(-1))


@pytest.mark.parametrize("pixel", [0, 1, 127, 128, 254, 255])
def test_every_pixel_has_its_own_value(pixel: int) -> None:
    tensor = CARD.quantise_input(np.full((2, 3), pixel, dtype=np.uint8))
    assert tensor.shape == (1, 2, 3)
    assert set(tensor.data) == {(pixel - 128) % 256}


def test_floats_are_rounded_and_limited_to_the_range() -> None:
    card = replace(CARD, input_scale=0.5, input_zero_point=0, input_shape=(6,))
    tensor = card.quantise_input(np.array([0.0, 0.74, 0.76, -1.0, 100.0, -100.0], dtype=np.float32))
    assert np.frombuffer(tensor.data, np.int8).tolist() == [0, 1, 2, -2, 127, -128]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 2), np.uint8), r"shape \[2, 3\] or a batch of it, got \[3, 2\]"),
        (np.zeros((1, 3, 2), np.uint8), r"got \[1, 3, 2\]"),
        (np.zeros((1, 1, 2, 3), np.uint8), r"got \[1, 1, 2, 3\]"),
        (np.zeros((0, 2, 3), np.uint8), r"got \[0, 2, 3\]"),
        (np.zeros((), np.uint8), r"got \[\]"),
        (np.zeros((2, 3), np.int32), "uint8 or float, got int32"),
        (np.full((2, 3), np.nan), "NaN"),
        (np.full((2, 3), np.inf), "infinity"),
    ],
)
def test_images_that_do_not_fit_are_refused(images: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        CARD.quantise_input(images)


def answer(logits: list[list[int]]) -> TensorBytes:
    array = np.array(logits, dtype="<i4")
    return TensorBytes("int32", array.shape, array.tobytes())


def test_answer_is_read_as_logits_probabilities_and_classes() -> None:
    output = answer([[4, -4], [0, 0], [-(2**31), 2**31 - 1]])
    assert CARD.read_logits(output)[0].tolist() == [1.0, -1.0]
    shares = CARD.probabilities(output)
    assert np.allclose(shares.sum(axis=1), 1)
    assert shares[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert shares[2].tolist() == [0.0, 1.0]
    assert CARD.predictions(output).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "output",
    [
        TensorBytes("int8", (1, 2), bytes(2)),
        TensorBytes("int32", (1, 3), bytes(12)),
        TensorBytes("int32", (2,), bytes(8)),
        TensorBytes("int32", (1, 2), bytes(7)),
    ],
)
def test_answer_of_another_kind_is_refused(output: TensorBytes) -> None:
    with pytest.raises(ModelError, match="small: an answer"):
        CARD.read_logits(output)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_shape": ()},
        {"input_shape": (0,)},
        {"input_shape": (2.0,)},
        {"input_scale": 0.0},
        {"input_scale": float("nan")},
        {"output_scale": -1.0},
        {"input_zero_point": 128},
        {"classes": ()},
        {"classes": (1, 2)},
        {"layers": 0},
        {"figures": {"accuracy": float("inf")}},
        {"figures": {"accuracy": [1]}},
    ],
)
def test_card_with_unusable_values_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="model card"):
        replace(CARD, **changes)


@pytest.mark.parametrize(
    "module", ["model.card", "model.manifest", "datasets.idx", "datasets.images", "datasets.samples", "files"]
)
def test_module_does_not_import_torch(module: str) -> None:
    code = f"import sys, deepring_chain.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
