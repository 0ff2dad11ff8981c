"""Convolutions, poolings and residual blocks compute what their definition says, bit for bit."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.model import batches
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.finish import Finish
from deepring_chain.model.layer import Layer, run_layer
from deepring_chain.model.pooling import AREA_MAX, AVERAGE, Pool
from deepring_chain.model.requantise import MULTIPLIER_MAX
from deepring_chain.model.residual import SUM_MULTIPLIER_MAX
from deepring_chain.model.windows import Window
from deepring_chain.types import LayerIndex
from tests.unit.model.image_reference import attributes_of, item, make_images, make_layer, make_residual, make_vectors
from tests.unit.model.image_reference import make_window as window_of
from tests.unit.model.image_tools import finish_of, image_layer, random_input, small_conv, small_residual
from tests.unit.model.model_reference import render, requantised
from tests.unit.model.model_tools import tensor_bytes

VECTORS = Path(__file__).parents[2] / "vectors" / "image_layers.json"


def digest_of(layer: Layer) -> str:
    content = layer.content()
    return hashlib.sha256(b"".join((content.header, *content.tensors))).hexdigest()


def test_vector_file_is_what_the_reference_makes() -> None:
    assert VECTORS.read_text() == render(make_vectors())


@pytest.mark.parametrize("number", range(8))
def test_layer_gives_the_vector_output_and_content(number: int) -> None:
    vector = json.loads(VECTORS.read_text())[number]
    layer = image_layer(vector["layer"])
    assert layer.forward(torch.tensor(vector["input"], dtype=torch.int8)).tolist() == vector["output"]
    assert digest_of(layer) == vector["content_sha256"]
    assert layer.attributes == attributes_of(vector["layer"])


SIDES = st.integers(1, 7)
SHAPES = st.tuples(SIDES, SIDES, st.integers(1, 4)).map(list)


@st.composite
def windows(draw: st.DrawFn, height: int, width: int, pooling: bool) -> dict[str, int]:
    """Geometries that fit; a stride may be larger than the kernel, and each side has its own padding."""
    kernel = [draw(st.integers(1, side + 2)) for side in (height, width)]
    strides = [draw(st.integers(1, 5)) for _ in kernel]
    sides = (kernel[0], kernel[1], kernel[0], kernel[1])
    pads = [draw(st.integers(0, size - 1 if pooling else 4)) for size in sides]
    for axis, side in enumerate((height, width)):
        kernel[axis] = min(kernel[axis], side + pads[axis] + pads[axis + 2])
    return window_of(*kernel, *strides, *pads)


@st.composite
def ends(draw: st.DrawFn, height: int, width: int) -> dict[str, Any]:
    pool = draw(st.sampled_from([None, "max", "average"]))
    window = draw(windows(height, width, pooling=True)) if pool else None
    relu, zero = draw(st.integers(0, 1)), draw(st.sampled_from([-128, -5, 0, 127]))
    return {"relu": relu, "zero": zero, "pool": pool, "pool_window": window}


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    shape = draw(SHAPES)
    window = draw(windows(shape[0], shape[1], pooling=False))
    size = Window(**window).output_size(shape[0], shape[1])
    rng = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 (test data)
    return make_layer(rng, shape, draw(st.integers(1, 5)), window, **draw(ends(*size)))


@st.composite
def residuals(draw: st.DrawFn) -> dict[str, Any]:
    shape, stride = draw(SHAPES), draw(st.integers(1, 3))
    size = [-(-side // stride) for side in shape[:2]]
    rng = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 (test data)
    return make_residual(rng, shape, draw(st.integers(1, 4)), stride, **draw(ends(size[0], size[1])))


@settings(max_examples=120, deadline=None)
@given(convolutions(), st.integers(1, 3), st.integers(0, 2**32))
def test_random_convolution_equals_the_integer_reference(spec: dict[str, Any], batch: int, seed: int) -> None:
    images = make_images(random.Random(seed), spec["item_shape"], batch)  # noqa: S311 (test data)
    layer = image_layer(spec)
    found = layer.forward(torch.tensor(images, dtype=torch.int8))
    assert found.tolist() == [item(spec, image) for image in images]
    assert found.shape[1:] == layer.output_shape
    assert found.is_contiguous()


@settings(max_examples=60, deadline=None)
@given(residuals(), st.integers(0, 2**32))
def test_random_residual_block_equals_the_integer_reference(spec: dict[str, Any], seed: int) -> None:
    images = make_images(random.Random(seed), spec["inner"][0]["item_shape"], 2)  # noqa: S311 (test data)
    layer = image_layer(spec)
    found = layer.forward(torch.tensor(images, dtype=torch.int8))
    assert found.tolist() == [item(spec, image) for image in images]
    assert found.shape[1:] == layer.output_shape


def test_residual_block_of_one_convolution_equals_the_integer_reference() -> None:
    spec = make_residual(random.Random(3), [3, 3, 2], 2, 1)  # noqa: S311 (test data)
    spec |= {"inner": []}
    images = make_images(random.Random(4), [3, 3, 2], 2)  # noqa: S311 (test data)
    found = image_layer(spec).forward(torch.tensor(images, dtype=torch.int8))
    assert found.tolist() == [item(spec, image) for image in images]


@pytest.mark.parametrize("make", [small_conv, small_residual])
@pytest.mark.parametrize("limit", [1, 5000])
def test_cutting_a_batch_changes_nothing(make: Any, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make()
    inputs = random_input(layer, 9)
    whole = layer.forward(inputs)
    assert torch.equal(whole, torch.cat([layer.forward(part) for part in inputs.split(1)]))  # type: ignore[no-untyped-call]
    seen: list[int] = []
    forward = type(layer)._forward

    def counted(self: Any, x: torch.Tensor, *rest: Any) -> Any:
        seen.append(len(x))
        return forward(self, x, *rest)

    monkeypatch.setattr(type(layer), "_forward", counted)
    monkeypatch.setattr(batches, "WORKING_BYTES", limit)
    assert torch.equal(layer.forward(inputs), whole)
    assert sum(seen) == 9
    assert max(seen) < 9


@pytest.mark.parametrize("layout", ["strided", "channels first"])
def test_memory_layout_of_the_input_changes_nothing(layout: str) -> None:
    layer = small_conv()
    inputs = random_input(layer, 3)
    if layout == "strided":
        other = torch.zeros(3, 5, 8, 3, dtype=torch.int8)[:, :, ::2].copy_(inputs)
    else:
        other = inputs.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not other.is_contiguous()
    assert torch.equal(layer.forward(other), layer.forward(inputs))


def test_run_layer_gives_the_bytes_of_forward() -> None:
    for layer in (small_conv(), small_residual()):
        inputs = random_input(layer, 2)
        found = run_layer(layer, tensor_bytes(inputs), torch.device("cpu"))
        assert found == tensor_bytes(layer.forward(inputs))


def test_border_holds_the_zero_point() -> None:
    """A kernel of ones over an image of zeros is zero everywhere, whatever number stands for zero."""
    for zero in (-128, 17, 127):
        spec = make_layer(random.Random(1), [3, 3, 1], 1, window_of(3, 3, 1, 1, 2, 2, 2, 2), zero=5)  # noqa: S311
        spec |= {"weight": [[63]] * 9, "bias": [0], "input_zero_point": zero}
        image = torch.full((1, 3, 3, 1), zero, dtype=torch.int8)
        assert set(image_layer(spec).forward(image).flatten().tolist()) == {5}


def test_border_of_a_maximum_is_below_every_result() -> None:
    spec = make_layer(random.Random(1), [2, 2, 1], 1, window_of(1, 1), pool="max", zero=0)  # noqa: S311
    spec |= {"pool_window": window_of(2, 2, 1, 1, 1, 1, 1, 1), "weight": [[1]], "bias": [0], "input_zero_point": 0}
    spec |= {"multiplier": [1], "shift": [1]}
    image = torch.tensor([-128, -100, -90, -80], dtype=torch.int8).view(1, 2, 2, 1)
    assert image_layer(spec).forward(image)[0, :, :, 0].tolist() == [[-64, -50, -50], [-45, -40, -40], [-45, -40, -40]]


def extreme_conv(weight: int, bias: int, multiplier: int, shift: int, finish: Finish) -> ConvLayer:
    """A 3 x 3 convolution of 512 channels, the widest of the zoo."""
    return ConvLayer(
        LayerIndex(1),
        weight=torch.full((9 * 512, 1), weight, dtype=torch.int8),
        bias=torch.tensor([bias], dtype=torch.int32),
        multiplier=torch.tensor([multiplier], dtype=torch.int32),
        shift=torch.tensor([shift], dtype=torch.int32),
        item_shape=(5, 5, 512),
        window=Window(3, 3),
        input_zero_point=127,
        finish=finish,
    )


@pytest.mark.parametrize(("weight", "bias", "sign"), [(-64, 2**30, 1), (63, -(2**30), -1)])
@pytest.mark.parametrize("pool", [None, Pool(AVERAGE, Window(3, 3, 3, 3))])
def test_largest_convolution_does_not_overflow(weight: int, bias: int, sign: int, pool: Pool | None) -> None:
    area = pool.divisor if pool else 1
    layer = extreme_conv(weight, bias, MULTIPLIER_MAX // area, 56, Finish(0, False, pool))
    acc = 9 * 512 * weight * (-128 - 127) + bias
    found = layer.forward(torch.full((1, 5, 5, 512), -128, dtype=torch.int8))
    assert set(found.flatten().tolist()) == {requantised(acc * area, MULTIPLIER_MAX // area, 56)}
    assert 0 < sign * int(found[0, 0, 0, 0]) < 127


def test_largest_sums_stay_below_64_bits() -> None:
    """The bounds that the checks allow, in integers without an end."""
    acc = 2**16 * 64 * 255 + 2**30
    assert acc < 2**31
    for area in (1, 9, 49, AREA_MAX):
        assert area * acc * (MULTIPLIER_MAX // area) + 2**61 < 2**63
        assert 2 * area * acc * (SUM_MULTIPLIER_MAX // area) + 2**61 < 2**63


def test_largest_average_does_not_overflow() -> None:
    """The end of a layer at the bounds that the checks allow, for a window of the largest area."""
    finish = Finish(0, False, Pool(AVERAGE, Window(256, 256, 256, 256)))
    for acc in (2**31 - 1, -(2**31)):
        products = torch.full((1, 256, 256, 1), acc * (MULTIPLIER_MAX // AREA_MAX), dtype=torch.int64)
        expected = requantised(acc * AREA_MAX, MULTIPLIER_MAX // AREA_MAX, 56)
        found = finish.apply(products, torch.tensor([56], dtype=torch.int32))
        assert found.tolist() == [[[[expected]]]]
        assert 0 < abs(expected) < 127


def test_changed_weight_has_no_effect_on_inputs_that_are_zero() -> None:
    """The zero point's share follows the live weights, also under the border."""
    for layer in (small_conv(), small_residual()):
        first = layer.tensors["weight" if isinstance(layer, ConvLayer) else "inner.0.weight"]
        zeros = torch.full((1, *layer.input_shape), layer.input_zero_point, dtype=torch.int8)
        before = layer.forward(zeros)
        first[5, 1] ^= 1
        assert torch.equal(layer.forward(zeros), before)


def test_maximum_is_taken_of_rounded_results_and_average_before_the_rounding() -> None:
    spec = make_layer(random.Random(1), [2, 2, 1], 1, window_of(1, 1), pool="average", zero=0)  # noqa: S311
    spec |= {"pool_window": window_of(2, 2, 2, 2), "weight": [[1]], "bias": [0], "input_zero_point": 0}
    spec |= {"multiplier": [1], "shift": [3]}
    # 3 + 3 + 3 + 3 = 12 of 8: 1.5. Rounded one by one, each 3 of 8 would be lost.
    assert image_layer(spec).forward(torch.full((1, 2, 2, 1), 3, dtype=torch.int8)).tolist() == [[[[2]]]]
    largest = image_layer({**spec, "pool": "max"}).forward(torch.full((1, 2, 2, 1), 3, dtype=torch.int8))
    assert largest.tolist() == [[[[0]]]]


def test_average_with_relu_is_one_of_what_relu_leaves() -> None:
    finish = finish_of({"output_zero_point": 0, "relu": 1, "pool": "average", "pool_window": window_of(1, 2)})
    products = torch.tensor([-1000, 8], dtype=torch.int64).view(1, 1, 2, 1)
    assert finish.apply(products, torch.tensor([1], dtype=torch.int32)).tolist() == [[[[4]]]]
