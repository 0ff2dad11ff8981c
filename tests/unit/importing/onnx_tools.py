"""ONNX files of torch networks, written node by node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference
from torch import nn

from deepring_chain.model.front.blocks import Residual


@dataclass
class Writer:
    """A graph in the making."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def hold(self, values: Any, name: str = "") -> str:
        """Adds a weight; returns its name."""
        found = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        name = name or f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(found, order="C"), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node; returns its output's name."""
        output = f"{op.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"/net/{output}", **attributes))
        return output

    def take(self, module: nn.Module, value: str) -> str:
        """Adds what a torch module does with a value."""
        if isinstance(module, nn.Sequential):
            for part in module:
                value = self.take(part, value)
            return value
        if isinstance(module, Residual):
            return self.add("Add", self.take(module.body, value), self.take(module.shortcut, value))
        return self._take_leaf(module, value)

    def _take_leaf(self, module: nn.Module, value: str) -> str:
        match module:
            case nn.Linear():
                return self.add("Gemm", value, self.hold(module.weight), self.hold(module.bias), transB=1)
            case nn.Conv2d():
                weights = [self.hold(each) for each in (module.weight, module.bias) if each is not None]
                pads = [*module.padding, *module.padding]
                return self.add("Conv", value, *weights, strides=list(module.stride), pads=pads)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                held = (module.weight, module.bias, module.running_mean, module.running_var)
                return self.add("BatchNormalization", value, *map(self.hold, held), epsilon=module.eps)
            case nn.MaxPool2d() | nn.AvgPool2d():
                sizes = {"kernel_shape": [module.kernel_size] * 2, "strides": [module.stride] * 2}
                return self.add("MaxPool" if isinstance(module, nn.MaxPool2d) else "AveragePool", value, **sizes)
            case nn.AdaptiveAvgPool2d():
                return self.add("GlobalAveragePool", value)
            case nn.Softmax():
                return self.add("Softmax", value, axis=1)
        return self.add({nn.ReLU: "Relu", nn.Flatten: "Flatten", nn.Dropout: "Dropout"}[type(module)], value)

    def finish(self, output: str, shape: list[Any], opset: int = 17, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """The model that makes `output` of the input "image"."""
        given = helper.make_tensor_value_info("image", kind, shape)
        made = helper.make_tensor_value_info(output, kind, None)
        graph = helper.make_graph(self.nodes, "net", [given], [made], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        inferred = shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
        sizes = [f"size{number}" for number in range(len(inferred.dim))]
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(output, kind, sizes))
        return model


def exported(model: nn.Module, item_shape: tuple[int, ...], opset: int = 17) -> onnx.ModelProto:
    """A torch network as an ONNX model for batches of any size."""
    writer = Writer()
    return writer.finish(writer.take(model, "image"), ["batch", *item_shape], opset)


def saved(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def seeded(model: nn.Sequential, seed: int = 5) -> nn.Sequential:
    """The network with weights and running figures as after a training."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor, low, high in ((module.weight, 0.7, 1.3), (module.bias, -0.2, 0.4)):
                tensor.data.uniform_(low, high, generator=generator)
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.3, 1.0, generator=generator)  # type: ignore[union-attr]
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            limit = (3 / module.weight[0].numel()) ** 0.5
            module.weight.data.uniform_(-limit, limit, generator=generator)
    return model.eval()


def dense() -> tuple[nn.Sequential, tuple[int, ...]]:
    parts = (nn.Linear(35, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, 4), nn.Softmax(dim=1))
    return seeded(nn.Sequential(nn.Flatten(), *parts)), (7, 5)


def vgg() -> tuple[nn.Sequential, tuple[int, ...]]:
    first = (nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, (3, 1), stride=(2, 1)), nn.AvgPool2d(2))
    last = (nn.Flatten(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 5))
    return seeded(nn.Sequential(*first, *second, *last)), (3, 12, 8)


def residual() -> tuple[nn.Sequential, tuple[int, ...]]:
    def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
        made = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        return [made, nn.BatchNorm2d(outputs)]

    plain = Residual(nn.Sequential(*conv(6, 6), nn.ReLU(), *conv(6, 6)))
    narrow = nn.Sequential(*conv(6, 8, stride=2), nn.ReLU(), *conv(8, 8))
    blocks = (plain, nn.ReLU(), Residual(narrow, nn.Sequential(*conv(6, 8, kernel=1, stride=2))), nn.ReLU())
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    return seeded(nn.Sequential(*conv(3, 6), nn.ReLU(), *blocks, *ends)), (3, 8, 8)


NETWORKS = {"dense": dense, "vgg": vgg, "residual": residual}


def images(item_shape: tuple[int, ...], count: int = 60) -> NDArray[np.uint8]:
    """Pictures as they are stored: channels last."""
    shape = (*item_shape[1:], item_shape[0]) if len(item_shape) == 3 else item_shape
    return np.random.default_rng(3).integers(0, 256, (count, *shape), dtype=np.uint8)
