"""Dense layers compute what their definition says, bit for bit, and refuse what does not fit."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.errors import ModelError
from deepring_chain.model.layer import IdentityLayer, run_layer
from deepring_chain.model.operators import build_layer
from deepring_chain.model.requantise import EXACT_SHIFT_MAX, Rounding, requantise, split_factor
from deepring_chain.types import LayerIndex, TensorBytes
from tests.unit.model.model_reference import dense_batch, make_layer, make_vectors, render, requantised
from tests.unit.model.model_tools import layer_of, small_layer, tensor_bytes

VECTORS = Path(__file__).parents[2] / "vectors" / "dense_layer.json"
CPU = torch.device("cpu")


def test_vector_file_is_what_the_reference_makes() -> None:
    assert VECTORS.read_text() == render(make_vectors())


@pytest.mark.parametrize(
    "vector", json.loads(VECTORS.read_text()), ids=lambda vector: str(vector["layer"]["item_shape"])
)
def test_layer_gives_the_vector_output_and_content(vector: dict[str, Any]) -> None:
    layer = layer_of(vector["layer"])
    inputs = torch.tensor(vector["input"], dtype=torch.int8).reshape(-1, *layer.input_shape)
    assert layer.forward(inputs).tolist() == vector["output"]
    content = layer.content()
    assert hashlib.sha256(b"".join((content.header, *content.tensors))).hexdigest() == vector["content_sha256"]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    item_shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    outputs=st.integers(1, 9),
    zero_points=st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    relu=st.integers(0, 1),
    bits=st.sampled_from([8, 32]),
    batch=st.integers(1, 5),
)
def test_random_layer_equals_the_integer_reference(
    seed: int, item_shape: list[int], outputs: int, zero_points: tuple[int, int], relu: int, bits: int, batch: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (test data)
    attributes = {"input_zero_point": zero_points[0], "output_zero_point": zero_points[1] if bits == 8 else 0}
    spec = make_layer(rng, item_shape, outputs, relu=relu, output_bits=bits, **attributes)
    spec["shift"] = [rng.choice((1, 31, 37, 40, 62)) for _ in range(outputs)]
    items = [[rng.choice((-128, 127, rng.randint(-128, 127))) for _ in spec["weight"]] for _ in range(batch)]
    inputs = torch.tensor(items, dtype=torch.int8).reshape(batch, *item_shape)
    assert layer_of(spec).forward(inputs).tolist() == dense_batch(spec, items)


def test_largest_layer_does_not_overflow() -> None:
    weight = torch.full((2**16, 2), -64, dtype=torch.int8)
    weight[:, 1] = 63
    layer = small_layer(
        features=2**16, outputs=2, weight=weight, item_shape=(2**16,), input_zero_point=127, output_zero_point=0,
        relu=False, output_dtype="int32", bias=torch.tensor([2**30, -(2**30)], dtype=torch.int32),
        multiplier=torch.tensor([2**31 - 1] * 2, dtype=torch.int32), shift=torch.tensor([31, 31], dtype=torch.int32),
    )  # fmt: skip
    accumulated = [2**16 * -64 * -255 + 2**30, 2**16 * 63 * -255 - 2**30]
    expected = [[requantised(acc, 2**31 - 1, 31) for acc in accumulated]]
    assert layer.forward(torch.full((1, 2**16), -128, dtype=torch.int8)).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(1, 62))
def test_requantise_rounds_to_nearest_ties_up(acc: int, multiplier: int, shift: int) -> None:
    tensors = [torch.tensor([value], dtype=torch.int32) for value in (multiplier, shift)]
    found = requantise(torch.tensor([[acc]], dtype=torch.int32), *tensors)
    assert found.tolist() == [[requantised(acc, multiplier, shift)]]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_rounding_in_float64_gives_the_bytes_of_64_bit_integers(data: st.DataObject) -> None:
    """At ties, at their neighbors, at the clamp, and anywhere; shifts on both sides of the change of arithmetic."""
    shift, multiplier = data.draw(st.integers(1, 62)), data.draw(st.integers(1, 2**31 - 1))
    tie = ((2 * data.draw(st.integers(-600, 600)) - 1) << (shift - 1)) // multiplier
    near = min(max(tie + data.draw(st.integers(-2, 2)), -(2**31)), 2**31 - 1)
    acc = data.draw(st.just(near) | st.integers(-(2**31), 2**31 - 1))
    zero_point = data.draw(st.integers(-128, 127))
    low = data.draw(st.sampled_from((-128, zero_point)))
    multipliers, shifts = (torch.tensor([value], dtype=torch.int32) for value in (multiplier, shift))
    rounding = Rounding.of(multipliers, shifts, zero_point, low)
    assert (rounding.factor is None) == (shift > EXACT_SHIFT_MAX)
    expected = min(max(requantised(acc, multiplier, shift) + zero_point, low), 127)
    assert rounding.apply(torch.tensor([[acc]], dtype=torch.int32)).tolist() == [[expected]]


@settings(max_examples=200, deadline=None)
@given(st.floats(2**-32, 2**29))
def test_split_factor_keeps_30_bits(factor: float) -> None:
    multiplier, shift = split_factor(factor)
    assert 1 <= multiplier < 2**31
    assert 1 <= shift <= 62
    assert abs(multiplier / 2**shift / factor - 1) <= 2**-30


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 2.0**30])
def test_split_factor_refuses_unusable_factors(factor: float) -> None:
    with pytest.raises(ModelError, match="factor"):
        split_factor(factor)


def test_split_factor_next_to_a_power_of_two_stays_in_range() -> None:
    assert split_factor(float(np.nextafter(1, 0))) == (2**30, 30)
    assert split_factor(2.0**-80) == (1, 62)


def test_changed_weight_has_no_effect_on_inputs_that_are_zero() -> None:
    """The zero point's share follows the live weights, so a weight times zero stays zero."""
    layer = small_layer()
    zeros = torch.full((1, 6), layer.input_zero_point, dtype=torch.int8)
    before = layer.forward(zeros)
    layer.weight[2, 1] ^= 1
    assert torch.equal(layer.forward(zeros), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": torch.full((6, 4), 64, dtype=torch.int8)}, "weight: elements 64..64, allowed -64..63"),
        ({"weight": torch.full((6, 4), -65, dtype=torch.int8)}, "allowed -64..63"),
        ({"weight": torch.zeros(6, 4, dtype=torch.int32)}, "weight: int32"),
        ({"weight": torch.zeros(4, 6, dtype=torch.int8)}, r"weight: int8 \[4, 6\], expected int8 \[6, 4\]"),
        ({"weight": torch.zeros(4, 6, dtype=torch.int8).T}, "C order"),
        ({"bias": torch.full((4,), 2**30 + 1, dtype=torch.int32)}, "bias: elements"),
        ({"bias": torch.zeros(4)}, "bias: float32"),
        ({"multiplier": torch.zeros(4, dtype=torch.int32)}, "multiplier: elements 0..0"),
        ({"shift": torch.full((4,), 63, dtype=torch.int32)}, "shift: elements 63..63"),
        ({"shift": torch.zeros(4, dtype=torch.int32)}, "shift: elements 0..0"),
        ({"input_zero_point": 128}, "zero points"),
        ({"output_zero_point": -129}, "zero points"),
        ({"output_dtype": "int16"}, "int16"),
        ({"output_dtype": "int32"}, "zero point -128, expected 0"),
        ({"item_shape": ()}, "items"),
        ({"item_shape": (2, 4)}, "weight"),
        ({"item_shape": (-2, -3)}, r"items \(-2, -3\)"),
    ],
)
def test_layer_with_unusable_parts_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        small_layer(**changes)
    assert str(caught.value).startswith("layer 1 (dense)")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (TensorBytes("int8", (2, 5), bytes(10)), r"layer 1 \(dense\) takes int8 \[N, 6\], got int8 \[2, 5\]"),
        (TensorBytes("int8", (6,), bytes(6)), r"got int8 \[6\]"),
        (TensorBytes("uint8", (1, 6), bytes(6)), r"takes int8 \[N, 6\], got uint8 \[1, 6\]"),
        (TensorBytes("int32", (1, 6), bytes(24)), "got int32"),
        (TensorBytes("float32", (1, 6), bytes(24)), "cannot take float32"),
        (TensorBytes("int8", (0, 6), b""), "cannot take"),
        (TensorBytes("int8", (2, 6), bytes(11)), "11 bytes.*needs 12"),
    ],
)
def test_run_layer_refuses_what_does_not_fit(tensor: TensorBytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run_layer(small_layer(), tensor, CPU)


def test_run_layer_gives_the_bytes_of_forward() -> None:
    layer = small_layer()
    inputs = torch.arange(-9, 9, dtype=torch.int8).reshape(3, 6)
    assert run_layer(layer, tensor_bytes(inputs), CPU) == tensor_bytes(layer.forward(inputs))


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_identity_returns_its_input(dtype: str) -> None:
    tensor = TensorBytes(dtype, (2, 2), bytes(range(4)) * (4 if dtype == "int32" else 1))
    assert run_layer(IdentityLayer(), tensor, CPU) == tensor


def test_identity_with_another_index_is_refused() -> None:
    with pytest.raises(ModelError, match="layer 3: only layer 0"):
        IdentityLayer(LayerIndex(3))


def test_parts_of_a_layer_make_the_same_layer() -> None:
    layer = small_layer(index=7)
    again = build_layer(layer.operator, layer.index, layer.attributes, layer.tensors)
    assert again.content().header == layer.content().header
    assert again.content().tensors == layer.content().tensors


@pytest.mark.parametrize(
    ("operator", "dropped", "extra", "message"),
    [
        ("convolution", None, None, "unknown operator 'convolution'; known: conv, dense, identity, residual"),
        ("dense", "relu", None, "lacks relu"),
        ("dense", None, "padding", "lacks input_size_1"),
        ("identity", None, None, "has unknown"),
    ],
)
def test_parts_that_do_not_fit_are_refused(operator: str, dropped: str | None, extra: str | None, message: str) -> None:
    layer = small_layer()
    attributes = {name: value for name, value in layer.attributes.items() if name != dropped}
    attributes |= {extra: 1} if extra else {}
    with pytest.raises(ModelError, match=message):
        build_layer(operator, layer.index, attributes, layer.tensors)
