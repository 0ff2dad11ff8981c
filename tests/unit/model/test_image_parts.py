"""Parts of layers of images: bound into the content one by one, read back, and refused in one line if unusable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deepring_chain.errors import ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.model.checkpoint import decode_layers, encode_layers, load_model, save_model
from deepring_chain.model.conv import ConvLayer
from deepring_chain.model.convolution import Convolution
from deepring_chain.model.finish import Finish
from deepring_chain.model.layer import IdentityLayer, Layer
from deepring_chain.model.manifest import ATTRIBUTES, Manifest, find_changed_tensors
from deepring_chain.model.operators import build_layer
from deepring_chain.model.pooling import AVERAGE, Pool
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.residual import ResidualLayer
from deepring_chain.model.windows import SIZE_MAX, Window
from deepring_chain.types import Digest, LayerIndex
from tests.unit.model.image_tools import small_conv, small_residual
from tests.unit.model.model_tools import small_layer

CONV, BLOCK, PLAIN_BLOCK = small_conv(), small_residual(), small_residual(1)
MAKERS: dict[str, Callable[[], ConvLayer | ResidualLayer]] = {
    "conv": small_conv,
    "residual": small_residual,
    "identity shortcut": lambda: small_residual(1),
}


def digest_of(layer: Layer) -> str:
    content = layer.content()
    return hashlib.sha256(b"".join((content.header, *content.tensors))).hexdigest()


def rebuilt(layer: Layer, attributes: dict[str, int], tensors: dict[str, torch.Tensor] | None = None) -> Layer:
    """From the layer's parts with some attributes and tensors replaced."""
    return build_layer(
        layer.operator, layer.index, {**layer.attributes, **attributes}, {**layer.tensors, **(tensors or {})}
    )


@pytest.mark.parametrize("name", MAKERS)
def test_layer_comes_back_from_its_parts(name: str) -> None:
    layer = MAKERS[name]()
    again = rebuilt(layer, {})
    assert digest_of(again) == digest_of(layer)
    inputs = torch.randint(-128, 128, (2, *layer.input_shape)).to(torch.int8)
    assert torch.equal(again.forward(inputs), layer.forward(inputs))


@pytest.mark.parametrize("name", MAKERS)
def test_each_tensor_is_bound_into_the_content(name: str) -> None:
    layer = MAKERS[name]()
    digests = {digest_of(layer)}
    for tensor in layer.tensors.values():
        tensor.view(-1)[-1] ^= 1
        digests.add(digest_of(layer))
        tensor.view(-1)[-1] ^= 1
    assert len(digests) == 1 + len(layer.tensors)


CHANGES: list[tuple[Layer, dict[str, int]]] = [
    (CONV, {"input_zero_point": 3}),
    (CONV, {"output_zero_point": 3}),
    (CONV, {"relu": 0}),
    (small_conv(multiplier=[2**27] * 4), {"pool": 2}),
    (CONV, {"input_height": 6}),
    (CONV, {"input_width": 6}),
    (CONV, {"kernel_height": 1, "kernel_width": 9, "pad_right": 7}),
    (CONV, {"stride_height": 2, "pool_pad_bottom": 2}),
    (CONV, {"stride_width": 2}),
    *[(CONV, {name: 2}) for name in ("pad_top", "pad_left", "pad_bottom", "pad_right", "pool_pad_top")],
    *[(CONV, {name: 1}) for name in ("pool_stride_height", "pool_stride_width", "pool_pad_left", "pool_pad_right")],
    (CONV, {"pool_kernel_height": 2}),
    (CONV, {"pool_kernel_width": 3}),
    (CONV, {"pool_pad_bottom": 0}),
    (BLOCK, {"output_zero_point": 3}),
    (BLOCK, {"relu": 0}),
    (BLOCK, {"inner.0.relu": 0}),
    (BLOCK, {"inner.0.output_zero_point": 3, "tail.input_zero_point": 3}),
    (BLOCK, {"inner.0.input_zero_point": 3, "shortcut.input_zero_point": 3}),
    (BLOCK, {"tail.pad_top": 0, "tail.pad_bottom": 2}),
    (BLOCK, {"shortcut.pad_right": 1, "shortcut.stride_width": 3}),
]


@pytest.mark.parametrize(("layer", "change"), CHANGES, ids=[str(change) for _, change in CHANGES])
def test_each_attribute_is_bound_into_the_content(layer: Layer, change: dict[str, int]) -> None:
    other = rebuilt(layer, change)
    assert digest_of(other) != digest_of(layer)
    assert other.attributes == {**layer.attributes, **change}
    manifest = Manifest.of(Digest(bytes(32)), (IdentityLayer(), with_index(layer, 1))).slice(1)
    assert find_changed_tensors(manifest, with_index(other, 1)) == [ATTRIBUTES]


def with_index(layer: Layer, index: int) -> Layer:
    return build_layer(layer.operator, LayerIndex(index), layer.attributes, layer.tensors)


def chain(layer: Layer) -> QuantisedModel:
    """A model of a layer of images and a dense one."""
    first = with_index(layer, 1)
    features = torch.Size(first.output_shape or ()).numel()
    last = small_layer(
        2, features=features, outputs=3, item_shape=first.output_shape, output_dtype="int32", output_zero_point=0
    )
    card = ModelCard("chain", first.input_shape or (), 1 / 255, -128, ("a", "b", "c"), 0.5, 2)
    return QuantisedModel(card, (first, last))


def test_index_is_bound_into_the_content() -> None:
    for layer in (CONV, BLOCK):
        assert digest_of(with_index(layer, 1)) != digest_of(with_index(layer, 2))


@pytest.mark.parametrize("name", MAKERS)
def test_model_file_comes_back_with_the_same_root(name: str, tmp_path: Path) -> None:
    model = chain(MAKERS[name]())
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.manifest() == model.manifest()
    held = decode_layers(encode_layers(model.layers), "parameters")
    assert [digest_of(layer) for layer in held] == [digest_of(layer) for layer in model.layers]


HUGE = 2**62
BAD_ATTRIBUTES: list[tuple[Layer, dict[str, int], str]] = [
    (CONV, {"input_height": HUGE}, r"takes items \(\d+, 4, 3\), expected \[H, W, C\], each 1 to 4096"),
    (CONV, {"input_width": -4}, r"takes items \(5, -4, 3\)"),
    (CONV, {"input_channels": 0}, r"takes items \(5, 4, 0\)"),
    (CONV, {"input_channels": 4}, r"weight: int8 \[27, 4\], expected int8 \[36, 4\]"),
    (CONV, {"kernel_height": 0}, "sizes and strides are 1 to 4096"),
    (CONV, {"kernel_width": HUGE}, "sizes and strides are 1 to 4096"),
    (
        CONV,
        {"kernel_height": SIZE_MAX, "kernel_width": SIZE_MAX, "pad_top": SIZE_MAX, "pad_left": SIZE_MAX},
        "4 outputs of 50331648 inputs each .at most 65536",
    ),
    (CONV, {"stride_height": 0}, "sizes and strides"),
    (CONV, {"stride_width": -1}, "sizes and strides"),
    (CONV, {"pad_left": -1}, "paddings from 0"),
    (CONV, {"pad_top": HUGE}, "paddings from 0"),
    (CONV, {"pad_top": SIZE_MAX, "pad_left": SIZE_MAX}, r"one item would need \d+ bytes of memory"),
    (CONV, {"kernel_height": 9}, "its kernel does not fit into items"),
    (CONV, {"input_zero_point": 128}, "zero point 128, allowed -128..127"),
    (CONV, {"output_zero_point": -129}, "output zero point -129, allowed"),
    (CONV, {"relu": 2}, "relu 2 unknown"),
    (CONV, {"pool": 3}, "pool 3 unknown"),
    (CONV, {"pool": -1}, "pool -1 unknown"),
    (CONV, {"pool": 0}, "has unknown pool_kernel_height, pool_kernel_width"),
    (CONV, {"pool_kernel_height": -2}, "sizes and strides"),
    (CONV, {"pool_kernel_height": SIZE_MAX, "pool_kernel_width": SIZE_MAX}, "over 16777216 pixels"),
    (CONV, {"pool_kernel_height": 9}, "its pooling does not fit into 5 x 4 results"),
    (CONV, {"pool_pad_top": 3}, "a window would lie outside of the image"),
    (CONV, {"padding": 1}, "has unknown padding"),
    (BLOCK, {"inner": -1}, "-1 inner convolutions"),
    (BLOCK, {"inner": HUGE}, "inner convolutions"),
    (BLOCK, {"inner": 0}, "has unknown inner.0.bias"),
    (BLOCK, {"inner": 2}, r"inner\.1: .*lacks bias, multiplier, shift, weight"),
    (BLOCK, {"has_shortcut": 0}, "has unknown shortcut.bias, shortcut.weight"),
    (BLOCK, {"has_shortcut": 2}, "has_shortcut 2 unknown"),
    (PLAIN_BLOCK, {"has_shortcut": 1}, "shortcut: lacks bias, weight"),
    (BLOCK, {"inner.0.stride_width": 1}, r"its last convolution takes \(2, 2, 4\) .* gets \(2, 4, 4\)"),
    (BLOCK, {"inner.0.kernel_height": HUGE}, r"inner\.0: .*sizes and strides"),
    (BLOCK, {"tail.input_zero_point": 3}, "its last convolution takes .* with zero point 3"),
    (BLOCK, {"tail.pad_left": HUGE}, "tail: a window"),
    (BLOCK, {"shortcut.stride_width": 1}, r"the shortcut gives \(2, 4, 4\), the body \(2, 2, 4\)"),
    (BLOCK, {"shortcut.input_zero_point": 3}, "body and shortcut take other zero points"),
    (BLOCK, {"shortcut.input_width": 3}, "the shortcut takes"),
    (BLOCK, {"inner.0.output_bits": 8}, "has unknown output_bits"),
    (PLAIN_BLOCK, {"tail.pad_top": 2}, "the shortcut gives"),
]


@pytest.mark.parametrize(("layer", "change", "message"), BAD_ATTRIBUTES, ids=[str(bad[1]) for bad in BAD_ATTRIBUTES])
def test_unusable_attribute_is_refused_in_one_line(layer: Layer, change: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        rebuilt(layer, change)
    assert str(caught.value).startswith(f"layer {layer.index} ({layer.operator})")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
def test_each_missing_attribute_is_refused_by_name(name: str) -> None:
    layer = MAKERS[name]()
    for missing in layer.attributes:
        attributes = {key: value for key, value in layer.attributes.items() if key != missing}
        with pytest.raises(ModelError, match=rf"^layer {layer.index} "):
            build_layer(layer.operator, layer.index, attributes, layer.tensors)


@pytest.mark.parametrize("name", MAKERS)
def test_each_missing_tensor_is_refused_by_name(name: str) -> None:
    layer = MAKERS[name]()
    for missing in layer.tensors:
        tensors = {key: value for key, value in layer.tensors.items() if key != missing}
        with pytest.raises(ModelError, match=f"lacks {missing.rpartition('.')[2]}"):
            build_layer(layer.operator, layer.index, layer.attributes, tensors)


def full(value: int, *shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
    return torch.full(shape, value, dtype=dtype)


BAD_TENSORS: list[tuple[Layer, str, torch.Tensor, str]] = [
    (CONV, "weight", full(64, 27, 4, dtype=torch.int8), "weight: elements 64..64, allowed -64..63"),
    (CONV, "weight", full(-65, 27, 4, dtype=torch.int8), "allowed -64..63"),
    (CONV, "weight", full(1, 27, 4), r"weight: int32 \[27, 4\], expected int8 \[27, 4\]"),
    (CONV, "weight", full(1, 4, 27, dtype=torch.int8).T, "weight: not in C order"),
    (CONV, "weight", full(1, 0, 4, dtype=torch.int8), r"int8 \[0, 4\]"),
    (CONV, "bias", full(2**30 + 1, 4), "bias: elements"),
    (CONV, "bias", full(0, 0), "0 outputs"),
    (CONV, "bias", full(0, 2, 2), "bias: int32"),
    (CONV, "bias", torch.tensor(1, dtype=torch.int32), "weight: int8"),
    (CONV, "multiplier", full(0, 4), "multiplier: elements 0..0, allowed 1..2147483647"),
    (CONV, "shift", full(63, 4), "shift: elements 63..63, allowed 1..62"),
    (CONV, "shift", full(0, 4), "shift: elements 0..0"),
    (BLOCK, "inner.0.weight", full(64, 27, 4, dtype=torch.int8), r"inner\.0: .*weight: elements 64..64"),
    (BLOCK, "tail.weight", full(64, 36, 4, dtype=torch.int8), "tail weight: elements 64..64"),
    (BLOCK, "shortcut.bias", full(-(2**30) - 1, 4), "shortcut bias: elements"),
    (BLOCK, "multiplier", full(2**30, 4), "multiplier: elements .* allowed 0..1073741823"),
    (BLOCK, "shortcut_multiplier", full(-1, 4), "shortcut_multiplier: elements -1..-1"),
    (BLOCK, "shift", full(63, 4), "shift: elements 63..63"),
    (BLOCK, "shift", full(9, 3), r"shift: int32 \[3\], expected int32 \[4\]"),
]


@pytest.mark.parametrize(
    ("layer", "name", "tensor", "message"), BAD_TENSORS, ids=[f"{bad[1]}: {bad[3]}" for bad in BAD_TENSORS]
)
def test_unusable_tensor_is_refused_in_one_line(layer: Layer, name: str, tensor: torch.Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        rebuilt(layer, {}, {name: tensor})
    assert str(caught.value).startswith(f"layer {layer.index} ({layer.operator})")


def test_multiplier_that_an_average_could_overflow_is_refused() -> None:
    """The sum over a window must fit into 64 bits, so the limit falls with the window's area."""
    for layer, limit in ((CONV, 2**31 - 1), (BLOCK, 2**30 - 1)):
        pool = Pool(AVERAGE, Window(2, 2)).window.attributes()
        attributes = {"pool": 2, **{f"pool_{name}": value for name, value in pool.items()}}
        most = {"multiplier": full(limit // 4, 4)}
        most |= {"shortcut_multiplier": full(limit // 4, 4)} if layer is BLOCK else {}
        assert rebuilt(layer, attributes, most).tensors["multiplier"].tolist() == [limit // 4] * 4
        with pytest.raises(ModelError, match=f"multiplier: elements .* allowed [01]..{limit // 4}"):
            rebuilt(layer, attributes, {**most, "multiplier": full(limit // 4 + 1, 4)})


def test_pooling_that_would_need_all_memory_is_refused() -> None:
    """A file of a few KB must not make a worker allocate terabytes."""
    outputs = 5000
    with pytest.raises(ModelError, match=r"^layer 1 \(conv\) pool: one item would need \d+ bytes of memory"):
        ConvLayer(
            LayerIndex(1),
            weight=full(1, 1, outputs, dtype=torch.int8),
            bias=full(0, outputs),
            multiplier=full(1, outputs),
            shift=full(1, outputs),
            item_shape=(1, 1, 1),
            window=Window(1, 1),
            input_zero_point=0,
            finish=Finish(0, False, Pool("max", Window(4096, 16, 1, 1, 4095, 15, 4095, 15))),
        )


def test_too_many_inner_convolutions_are_refused() -> None:
    layer = small_residual(1)
    with pytest.raises(ModelError, match=r"layer \d \(residual\): 9 inner convolutions \(at most 8"):
        type(layer)(
            layer.index, layer.inner * 9, layer.tail, None, layer.multiplier, layer.shortcut_multiplier,
            layer.shift, layer.finish,
        )  # fmt: skip


def test_convolution_of_too_many_inputs_is_refused() -> None:
    window = Window(17, 1)
    convolution = Convolution(full(1, 17 * 4096, 1, dtype=torch.int8), full(0, 1), (17, 1, 4096), window, 0)
    with pytest.raises(ModelError, match="here: 1 outputs of 69632 inputs each"):
        convolution.check("here")


def test_index_zero_is_refused() -> None:
    for layer in (CONV, BLOCK):
        with pytest.raises(ModelError, match="layer 0"):
            with_index(layer, 0)
