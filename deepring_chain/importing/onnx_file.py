"""Opens ONNX files (onnx.ai/onnx/repo-docs/IR.html): one graph of known operator sets, with all its weights inside."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from deepring_chain.errors import ModelError
from deepring_chain.files import read_limited
from deepring_chain.model.front.nodes import Graph, Node

SIZE_LIMIT = 2 * 2**30
"""Largest file in bytes; a protobuf message can be no larger."""

OPSETS = range(7, 27)
"""Versions of the standard operators whose meaning is known here."""

ITEM_LIMIT = 2**24
"""Most numbers of one input item."""

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def read_graph(path: Path) -> Graph:
    """Reads and checks an ONNX file.

    Raises:
        ModelError: no ONNX file, a damaged or inconsistent one, or one with several inputs or outputs, weights in
            other files, operators of other origin, or sizes that are not fixed.
    """
    source = f"ONNX model {path}"
    model = _parse(source, read_limited(path, SIZE_LIMIT, "ONNX model"))
    opset = _check_origin(source, model)
    given = _check_ends(source, model)
    model = _infer(source, model, given)
    try:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        nodes = tuple(_read_node(number, node) for number, node in enumerate(model.graph.node))
        ends = (given.name, model.graph.output[0].name)
        return _fold_constants(Graph(source, opset, nodes, constants, _read_shapes(model), *ends))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{source}: unreadable constants ({_reason(error)})") from None


def _parse(source: str, data: bytes) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{source}: damaged or not an ONNX file ({_reason(error)})") from None
    if not model.graph.node:
        raise ModelError(f"{source}: damaged or not an ONNX file (it has no nodes)")
    return model


def _check_origin(source: str, model: onnx.ModelProto) -> int:
    """Refuses what would be read from elsewhere or has no known meaning; returns the operators' version."""
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelError(f"{source}: {tensor.name!r:.80} is kept in another file; save the model as one file")
    if model.functions or model.graph.sparse_initializer:
        raise ModelError(f"{source}: it has functions of its own or sparse weights; export it without")
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    opset = int(versions.get("ai.onnx", 0))
    if opset not in OPSETS:
        raise ModelError(f"{source}: operator set {opset}, known are {OPSETS[0]} to {OPSETS[-1]}; export it again")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"{source}: node {node.name!r:.80} is a {node.op_type!r:.80} of {node.domain!r:.80}, not of ONNX"
            )
    return opset


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    held = [attribute.t for attribute in attributes] + [tensor for each in attributes for tensor in each.tensors]
    return [*graph.initializer, *held]


def _check_ends(source: str, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """The one input. A batch of unknown size becomes one item, so that all other sizes can be known."""
    fixed = {tensor.name for tensor in model.graph.initializer}
    inputs: list[onnx.ValueInfoProto] = [value for value in model.graph.input if value.name not in fixed]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ModelError(f"{source}: {len(inputs)} inputs and {len(model.graph.output)} outputs, expected one of each")
    kind = inputs[0].type.tensor_type
    sizes = kind.shape.dim
    item = [size.dim_value for size in sizes[1:]]
    if kind.elem_type not in FLOATS or not 2 <= len(sizes) <= 4 or min(item, default=0) < 1 or prod(item) > ITEM_LIMIT:
        raise ModelError(f"{source}: input {inputs[0].name!r:.80} must be a batch of float items of a fixed size")
    sizes[0].dim_value = max(sizes[0].dim_value, 1)
    return inputs[0]


def _infer(source: str, model: onnx.ModelProto, given: onnx.ValueInfoProto) -> onnx.ModelProto:
    """Checks the graph and finds the shapes of all values, as the batch that `given` says."""
    del model.graph.value_info[:]
    for size in model.graph.output[0].type.tensor_type.shape.dim:
        size.Clear()
    try:
        onnx.checker.check_model(model)
        return shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"{source}: inconsistent, from input {given.name!r:.80} on ({_reason(error)})") from None


def _read_node(number: int, node: onnx.NodeProto) -> Node:
    name = _printable(node.name or (node.output[0] if node.output else f"number {number}"))
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return Node(name, _printable(node.op_type), tuple(node.input), tuple(node.output), attributes)


def _read_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}
    return {name: tuple(sizes) for name, sizes in shapes.items() if all(size > 0 for size in sizes)}


def _fold_constants(graph: Graph) -> Graph:
    """Takes the constants out of the nodes, and the copies and transposes of weights that exporters write."""
    constants, nodes = dict(graph.constants), []
    for node in graph.nodes:
        if node.op == "Constant":
            constants[node.outputs[0]] = _constant(graph.source, node)
        elif node.op in ("Identity", "Transpose") and node.inputs[0] in constants:
            value = constants[node.inputs[0]]
            constants[node.outputs[0]] = (
                value if node.op == "Identity" else value.transpose(node.attributes.get("perm"))
            )
        else:
            nodes.append(node)
    return Graph(graph.source, graph.opset, tuple(nodes), constants, graph.shapes, graph.input, graph.output)


def _constant(source: str, node: Node) -> NDArray[Any]:
    for name, value in node.attributes.items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name in ("value_float", "value_floats", "value_int", "value_ints"):
            return np.asarray(value)
    raise ModelError(f"{source}: node {node.name!r:.80} (Constant) holds no numbers")


def _reason(error: Exception) -> str:
    return _printable(" ".join(str(error).split()))[:200] or type(error).__name__


def _printable(found: str | bytes) -> str:
    """What a terminal may show; protobuf hands out what is no UTF-8 as bytes."""
    text = found.decode(errors="replace") if isinstance(found, bytes) else found
    return "".join(letter if letter.isprintable() else "?" for letter in text)
