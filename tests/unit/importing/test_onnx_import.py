"""Networks from ONNX files compute what onnxruntime makes of the same files, or are refused with the node's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deepring_chain.datasets.pixels import to_float
from deepring_chain.errors import ModelError
from deepring_chain.importing.onnx_file import read_graph
from deepring_chain.importing.onnx_import import import_onnx
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.model.front.modules import UnsupportedModule
from tests.unit.importing.onnx_tools import NETWORKS, Writer, dense, exported, images, residual, saved, vgg


def ask_onnxruntime(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return found


def assert_equal_to_onnxruntime(path: Path, count: int = 4) -> nn.Sequential:
    imported = import_onnx(path)
    inputs = np.random.default_rng(1).random((count, *imported.item_shape), dtype=np.float32)
    with torch.no_grad():
        found = imported.model(torch.from_numpy(inputs)).numpy()
    expected = ask_onnxruntime(path, inputs)
    assert found.shape == expected.shape
    assert float(np.abs(expected).max()) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return imported.model


@pytest.mark.parametrize("opset", [9, 13, 17, 21])
@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_network_computes_what_onnxruntime_does(tmp_path: Path, kind: str, opset: int) -> None:
    model, item_shape = NETWORKS[kind]()
    path = saved(tmp_path / "net.onnx", exported(model, item_shape, opset))
    imported = assert_equal_to_onnxruntime(path)
    assert import_onnx(path).item_shape == item_shape
    with torch.no_grad():
        inputs = torch.rand(3, *item_shape, generator=torch.Generator().manual_seed(2))
        assert torch.allclose(imported(inputs), model(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_quantised_network_gives_logits_close_to_the_file(tmp_path: Path, kind: str) -> None:
    model, item_shape = NETWORKS[kind]()
    pictures = images(item_shape)
    path = saved(tmp_path / "net.onnx", exported(model, item_shape))
    quantised = quantise(import_onnx(path).model, to_float(pictures), name=kind, input_grid=PIXELS)
    card = quantised.card
    assert card.input_shape == pictures.shape[1:]
    expected = ask_onnxruntime(path, to_float(pictures).numpy())
    found = card.read_logits(quantised.run(card.quantise_input(pictures)))
    if kind == "dense":  # its file ends in a Softmax, which is the reader's here
        found = card.probabilities(quantised.run(card.quantise_input(pictures)))
    assert float(np.abs(found - expected).max()) < 0.06 * float(np.ptp(expected))
    assert float((found.argmax(1) == expected.argmax(1)).mean()) >= 0.9


def written(build: Callable[[Writer], str], shape: tuple[Any, ...] = ("batch", 6), opset: int = 17) -> onnx.ModelProto:
    writer = Writer()
    return writer.finish(build(writer), list(shape), opset)


RANDOM = np.random.default_rng(8)
MATRIX = RANDOM.normal(size=(6, 4)).astype(np.float32)
KERNEL = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
VECTOR = RANDOM.normal(size=4).astype(np.float32)
IMAGE = ("batch", 3, 6, 8)


def matmul_add(writer: Writer) -> str:
    return writer.add("Add", writer.hold(VECTOR), writer.add("MatMul", "image", writer.hold(MATRIX)))


def gemm_scaled(writer: Writer) -> str:
    held = writer.hold(MATRIX), writer.hold(VECTOR[None])
    return writer.add("Gemm", "image", *held, alpha=0.5, beta=2.0)


def gemm_scalar_bias(writer: Writer) -> str:
    return writer.add("Gemm", "image", writer.hold(MATRIX), writer.hold(np.float32(0.3)))


def transposed_weight(writer: Writer) -> str:
    turned = writer.add("Transpose", writer.hold(np.ascontiguousarray(MATRIX.T)), perm=[1, 0])
    return writer.add("MatMul", "image", writer.add("Identity", turned))


def constant_node(writer: Writer) -> str:
    return writer.add("MatMul", "image", writer.add("Constant", value=numpy_helper.from_array(MATRIX)))


def conv_add(writer: Writer) -> str:
    summed = writer.add("Add", writer.add("Conv", "image", writer.hold(KERNEL)), writer.hold(VECTOR[:, None, None]))
    return writer.add("Flatten", writer.add("Relu", summed))


def conv_named(writer: Writer, **attributes: Any) -> str:
    return writer.add("Flatten", writer.add("Conv", "image", writer.hold(KERNEL), writer.hold(VECTOR), **attributes))


def conv_odd(writer: Writer) -> str:
    kernel = writer.hold(KERNEL[:, :, :2, :])
    return writer.add("Flatten", writer.add("Conv", "image", kernel, pads=[0, 1, 1, 1]))


def clip_is_relu(writer: Writer) -> str:
    return writer.add("Clip", writer.add("MatMul", "image", writer.hold(MATRIX)), writer.hold(np.float32(0)))


def reshaped(*shape: int) -> Callable[[Writer], str]:
    def build(writer: Writer) -> str:
        pooled = writer.add("GlobalMaxPool", writer.add("Conv", "image", writer.hold(KERNEL)))
        return writer.add("Reshape", pooled, writer.hold(np.array(shape)))

    return build


def view_of_size(writer: Writer) -> str:
    """What older exporters write for x.view(x.size(0), -1)."""
    value = writer.add("Relu", writer.add("Conv", "image", writer.hold(KERNEL)))
    size = writer.add("Gather", writer.add("Shape", value), writer.hold(np.array(0)), axis=0)
    rows = writer.add("Unsqueeze", size, writer.hold(np.array([0])))
    return writer.add("Reshape", value, writer.add("Concat", rows, writer.hold(np.array([-1])), axis=0))


def mean_of_pixels(writer: Writer) -> str:
    return writer.add("ReduceMean", writer.add("Conv", "image", writer.hold(KERNEL)), axes=[2, 3], keepdims=0)


def squeezed(writer: Writer) -> str:
    pooled = writer.add("GlobalAveragePool", writer.add("Conv", "image", writer.hold(KERNEL)))
    return writer.add("Squeeze", pooled, writer.hold(np.array([2, 3])))


def padded_pools(writer: Writer) -> str:
    value = writer.add("Conv", "image", writer.hold(KERNEL), auto_pad="SAME_UPPER")
    value = writer.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1])
    value = writer.add("AveragePool", value, kernel_shape=[3, 2], pads=[1, 0, 1, 0], count_include_pad=1)
    return writer.add("Flatten", value)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (matmul_add, ("batch", 6)),
        (gemm_scaled, ("batch", 6)),
        (gemm_scalar_bias, ("batch", 6)),
        (transposed_weight, ("batch", 6)),
        (constant_node, ("batch", 6)),
        (clip_is_relu, ("batch", 6)),
        (conv_add, IMAGE),
        (conv_odd, IMAGE),
        (lambda writer: conv_named(writer, strides=[2, 1], pads=[1, 2, 1, 2]), IMAGE),
        (lambda writer: conv_named(writer, auto_pad="SAME_LOWER"), IMAGE),
        (lambda writer: conv_named(writer, auto_pad="VALID"), IMAGE),
        (lambda writer: conv_named(writer, dilations=[1, 2]), IMAGE),
        (reshaped(-1, 4), IMAGE),
        (reshaped(0, -1), IMAGE),
        (view_of_size, IMAGE),
        (mean_of_pixels, IMAGE),
        (squeezed, IMAGE),
        (padded_pools, IMAGE),
    ],
)
def test_form_that_exporters_write_is_taken_over(
    tmp_path: Path, build: Callable[[Writer], str], shape: tuple[Any, ...]
) -> None:
    assert_equal_to_onnxruntime(saved(tmp_path / "net.onnx", written(build, shape)))


def test_network_of_channels_last_is_taken_over_without_its_transpose(tmp_path: Path) -> None:
    def build(writer: Writer) -> str:
        value = writer.add("Transpose", "image", perm=[0, 3, 1, 2])
        return writer.add("Flatten", writer.add("Conv", value, writer.hold(KERNEL)))

    path = saved(tmp_path / "net.onnx", written(build, ("batch", 6, 8, 3)))
    imported = import_onnx(path)
    assert imported.item_shape == (3, 6, 8)
    pictures = RANDOM.random((2, 6, 8, 3), dtype=np.float32)
    with torch.no_grad():
        found = imported.model(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found, ask_onnxruntime(path, pictures), rtol=1e-4, atol=1e-5)


def test_modules_have_the_names_of_the_nodes(tmp_path: Path) -> None:
    model, item_shape = vgg()
    imported = import_onnx(saved(tmp_path / "net.onnx", exported(model, item_shape))).model
    assert next(iter(imported._modules)) == "/net/conv_0"
    writer = Writer()
    value = writer.add("MatMul", "image", writer.hold(MATRIX))
    for name in ("forward", "forward", "", "training"):
        writer.nodes.append(helper.make_node("Relu", [value], [f"{value}x"], name=name))
        value = f"{value}x"
    names = list(import_onnx(saved(tmp_path / "odd.onnx", writer.finish(value, ["n", 6]))).model._modules)
    assert names == ["/net/matmul_0", "forward_2", "forward_3", "matmul_0xxx", "training_2"]


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        import_onnx(path)
    text = str(caught.value)
    assert text.startswith(f"ONNX model {path}: ")
    assert text.isprintable()
    return text


def node(op: str, *weights: NDArray[Any], **attributes: Any) -> Callable[[Writer], str]:
    return lambda writer: writer.add(op, "image", *map(writer.hold, weights), **attributes)


def twice(writer: Writer) -> str:
    return writer.add("Add", "image", "image")


def three_ways(writer: Writer) -> str:
    ways = [writer.add("Relu", "image") for _ in range(3)]
    return writer.add("Add", writer.add("Add", *ways[:2]), ways[2])


def nested(writer: Writer) -> str:
    inner = writer.add("Relu", "image")
    inner = writer.add("Add", writer.add("Relu", inner), inner)
    return writer.add("Add", inner, "image")


def product(writer: Writer) -> str:
    return writer.add("Mul", writer.add("Sigmoid", "image"), "image")


def computed_weight(writer: Writer) -> str:
    return writer.add("MatMul", "image", writer.add("Relu", writer.add("Tanh", writer.hold(MATRIX))))


def add_to_relu(writer: Writer) -> str:
    return writer.add("Add", writer.add("Relu", "image"), writer.hold(np.ones(6, np.float32)))


def add_rows(writer: Writer) -> str:
    conv = writer.add("Conv", "image", writer.hold(KERNEL))
    return writer.add("Add", conv, writer.hold(np.ones((4, 1, 6), np.float32)))


def dropout_in_training(writer: Writer) -> str:
    return writer.add("Dropout", "image", writer.hold(np.float32(0.5)), writer.hold(np.array(True)))


ONES = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (
            node("LeakyRelu"),
            ("n", 6),
            "node '/net/leakyrelu.0' (LeakyRelu) cannot be made exact; supported: Add, Average",
        ),
        (node("Sigmoid"), ("n", 6), "(Sigmoid) cannot be made exact; supported"),
        (node("Clip", np.float32(0), np.float32(6)), ("n", 6), "it clips to 0.0 .. 6.0; only ReLU, 0 .. infinity"),
        (node("Clip", np.float32(0), np.float32("nan")), ("n", 6), "it clips to 0.0 .. nan"),
        (node("Clip", np.float32(-1)), ("n", 6), "it clips to -1.0 .. None"),
        (node("Softmax", axis=2), ("n", 6, 4), "(not over the classes)"),
        (node("Transpose", perm=[0, 3, 2, 1]), IMAGE, "(Transpose) cannot be made exact"),
        (node("Reshape", np.array([-1, 3])), ("n", 6), "it makes [2, 3] of [1, 6], not features of each item"),
        (node("Reshape", np.array([-1, 1, 2, 3])), ("n", 6), "it makes [1, 1, 2, 3] of [1, 6]"),
        (node("Flatten", axis=2), IMAGE, "it makes [3, 48] of [1, 3, 6, 8]"),
        (node("Conv", KERNEL, pads=[1, 0, 0, 0]), IMAGE, "it pads [1, 0, 0, 0], not alike on both sides"),
        (
            node("Conv", KERNEL, auto_pad="SAME_UPPER", strides=[2, 2]),
            IMAGE,
            "auto_pad b'SAME_UPPER' with strides [2, 2]",
        ),
        (node("Conv", KERNEL[..., 0]), ("n", 3, 9), "a kernel of 1 dimensions"),
        (node("MaxPool", kernel_shape=[2]), ("n", 3, 9), "only images are pooled"),
        (node("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]), IMAGE, "it pads more on one side"),
        (node("BatchNormalization", ONES, ONES, ONES, ONES), ("n", 3, 9), "it normalizes items of shape [3, 9]"),
        (node("ReduceMean", axes=[1]), IMAGE, "not the mean over height and width"),
        (node("MatMul", np.ones((6, 1), np.float32)), ("n", 5, 6), "not items of features times a matrix"),
        (node("Gemm", np.ones((1, 6), np.float32), transA=1, transB=0), (1, 6), "its items are turned"),
        (node("Gemm", MATRIX, np.ones((5, 4), np.float32)), (5, 6), "it adds numbers of the shape [5, 4]"),
        (computed_weight, ("n", 6), "its input 1 is computed, not a weight"),
        (add_to_relu, ("n", 6), "it adds weights to something else than a bare MatMul or Conv"),
        (add_rows, IMAGE, "it adds numbers of the shape [4, 1, 6] to 4 outputs"),
        (twice, ("n", 6), "'image' is read 2 times; known are two branches that an Add joins"),
        (three_ways, ("n", 6), "'image' is read 3 times"),
        (nested, ("n", 6), "on a branch from 'image', it is read 2 times"),
        (product, ("n", 6), "(Mul) on a branch|on a branch from 'image', it is read 0 times"),
        (dropout_in_training, ("n", 6), "it is in training mode"),
    ],
)
def test_operator_that_is_not_exact_is_refused_by_its_nodes_name(
    tmp_path: Path, build: Callable[[Writer], str], shape: tuple[Any, ...], message: str
) -> None:
    text = refused(saved(tmp_path / "net.onnx", written(build, shape)))
    assert any(part in text for part in message.split("|")), text
    assert "node '/net/" in text


def test_what_the_splitter_refuses_has_the_nodes_name(tmp_path: Path) -> None:
    grouped = written(lambda writer: writer.add("Conv", "image", writer.hold(KERNEL[:3, :1]), group=3), IMAGE)
    model = import_onnx(saved(tmp_path / "net.onnx", grouped)).model
    with pytest.raises(UnsupportedModule, match=r"module 'Conv2d' at '/net/conv_0' .*it has 3 groups"):
        quantise(model, torch.rand(4, 3, 6, 8), name="grouped")


def graph_of(**changes: Any) -> onnx.ModelProto:
    model = exported(*dense())
    for name, value in changes.items():
        getattr(model.graph, name).extend(value)
    return model


def external() -> onnx.ModelProto:
    model = exported(*dense())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model


def hidden_external() -> onnx.ModelProto:
    model = exported(*dense())
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/dev/zero")
    model.graph.node.append(helper.make_node("Constant", [], ["far"], value=tensor))
    return model


def of_domain() -> onnx.ModelProto:
    model = exported(*dense())
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def of_opset(version: int) -> onnx.ModelProto:
    model = exported(*dense())
    model.opset_import[0].version = version
    return model


def of_kind(kind: int) -> onnx.ModelProto:
    model = exported(*dense())
    model.graph.input[0].type.tensor_type.elem_type = kind
    return model


def short_weight() -> onnx.ModelProto:
    model = exported(*dense())
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model


def huge_weight() -> onnx.ModelProto:
    model = exported(*dense())
    model.graph.initializer[0].dims[:] = [2**40, 2**20]
    return model


def unknown_size() -> onnx.ModelProto:
    model = exported(*dense())
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    return model


def odd_weight() -> onnx.ModelProto:
    model = exported(*vgg())
    index = next(number for number, each in enumerate(model.graph.node) if each.op_type == "BatchNormalization")
    name = model.graph.node[index].input[2]
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(5, np.float32), name))
    return model


def escapes() -> onnx.ModelProto:
    model = written(node("Sigmoid"))
    model.graph.node[0].name = "\x1b[31mred\nline"
    return model


def constant_output() -> onnx.ModelProto:
    writer = Writer()
    return writer.finish(writer.add("Relu", writer.hold(MATRIX)), ["n", 6])


def hostile() -> dict[str, tuple[bytes, str]]:
    good = exported(*dense()).SerializeToString()
    value = helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 3])
    models = {
        "external": (external(), "is kept in another file; save the model as one file"),
        "external in a node": (hidden_external(), "'far' is kept in another file"),
        "another domain": (of_domain(), "'com.example', not of ONNX"),
        "old operators": (of_opset(6), "operator set 6, known are 7 to"),
        "new operators": (of_opset(99), "operator set 99"),
        "two inputs": (graph_of(input=[value]), "2 inputs and 1 outputs, expected one of each"),
        "two outputs": (graph_of(output=[value]), "1 inputs and 2 outputs"),
        "integers": (of_kind(TensorProto.INT64), "must be a batch of float items of a fixed size"),
        "unknown size": (unknown_size(), "must be a batch of float items of a fixed size"),
        "weight too short": (short_weight(), "inconsistent|unreadable"),
        "weight of an exabyte": (huge_weight(), "inconsistent|unreadable"),
        "unknown operator": (written(node("Magic")), "inconsistent"),
        "missing value": (graph_of(node=[helper.make_node("Relu", ["nowhere"], ["z"])]), "inconsistent"),
        "weights that do not fit": (odd_weight(), "inconsistent|has the shape [5], expected [8]"),
        "terminal commands in a name": (escapes(), "node '?[31mred?line' (Sigmoid) cannot"),
        "output without the input": (constant_output(), "'image' does not lead to the output"),
    }
    files = {name: (model.SerializeToString(), message) for name, (model, message) in models.items()}
    return {
        **files,
        "empty": (b"", "damaged or not an ONNX file (it has no nodes)"),
        "text": (b"hello world, this is no model", "damaged or not an ONNX file"),
        "truncated": (good[: len(good) // 2], "damaged|inconsistent"),
        "pickle": (b"\x80\x02cos\nsystem\n.", "damaged or not an ONNX file"),
    }


@pytest.mark.parametrize("kind", sorted(hostile()))
def test_hostile_or_damaged_file_is_refused(tmp_path: Path, kind: str) -> None:
    data, message = hostile()[kind]
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    text = refused(path)
    assert any(part in text for part in message.split("|")), text


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.onnx: cannot be read \(No such file"):
        import_onnx(tmp_path / "none.onnx")


def test_any_changed_byte_of_the_graph_gives_a_network_or_one_error(tmp_path: Path) -> None:
    model, item_shape = residual()
    data = exported(model, item_shape).SerializeToString()
    path = tmp_path / "net.onnx"
    random = np.random.default_rng(4)
    outcomes: set[type] = set()
    for place in random.choice(len(data), 150, replace=False).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ int(random.integers(1, 256))]) + data[place + 1 :])
        try:
            outcomes.add(type(import_onnx(path).model))
        except ModelError as error:
            outcomes.add(type(error))
            assert str(error).isprintable(), place  # noqa: PT017
    assert nn.Sequential in outcomes
    assert outcomes & {ModelError, UnsupportedModule}


def test_constants_are_no_nodes_and_shapes_are_known(tmp_path: Path) -> None:
    graph = read_graph(saved(tmp_path / "net.onnx", written(transposed_weight)))
    assert [each.op for each in graph.nodes] == ["MatMul"]
    assert graph.shapes[graph.output] == (1, 4)
