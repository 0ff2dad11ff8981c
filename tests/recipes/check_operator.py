"""Run in a copy of the package with `sigmoid.py` in it: from torch and ONNX to an answer, against plain integers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from assurance.fuzz import model_targets
from deepring_chain.attacks.gradient import weight_gradients
from deepring_chain.errors import ModelError
from deepring_chain.importing.onnx_import import import_onnx
from deepring_chain.importing.onnx_modules import HANDLERS
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.importing.split import SUPPORTED
from deepring_chain.model import operators
from deepring_chain.model.checkpoint import load_model, save_model
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.layer import Layer
from deepring_chain.model.operators import OPERATORS
from deepring_chain.model.quantised import QuantisedModel
from tests.recipes.copied_package import is_copied
from tests.unit.actors.fake_ring import IMAGES, FakeRing, session_of
from tests.unit.importing.onnx_tools import Writer, saved, seeded
from tests.unit.model.model_reference import dense_batch
from tests.unit.model.operator_checks import check_example, check_layers
from tests.unit.model.operator_formulas import formulas


def network() -> nn.Sequential:
    return seeded(nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3)))


def through_onnx(model: nn.Sequential, path: Path) -> nn.Sequential:
    writer = Writer()
    value = "image"
    for module in model:
        value = writer.add("Sigmoid", value) if isinstance(module, nn.Sigmoid) else writer.take(module, value)
    return import_onnx(saved(path, writer.finish(value, ["batch", 6]))).model


def referenced(layer: Layer, batch: list[list[int]]) -> list[list[int]]:
    """One layer in plain Python integers."""
    held = {name: tensor.tolist() for name, tensor in layer.tensors.items()}
    if isinstance(layer, DenseLayer):
        return dense_batch({**held, **layer.attributes}, batch)
    return [[held["table"][value + 128] for value in item] for item in batch]


def check_answers(model: QuantisedModel, inputs: torch.Tensor) -> None:
    given = model.card.quantise_input(inputs.numpy())
    batch: list[list[int]] = torch.frombuffer(bytearray(given.data), dtype=torch.int8).view(given.shape).tolist()
    for layer in model.layers:
        batch = referenced(layer, batch)
    answer = model.run(given)
    assert torch.frombuffer(bytearray(answer.data), dtype=torch.int32).view(answer.shape).tolist() == batch


def check_places() -> None:
    """It may stand before or after a Flatten, not after a normalization that waits, and ReLU does not follow it."""
    conv, linear = nn.Conv2d(1, 2, 3), nn.Linear(8, 3)
    inputs = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    orders = [(conv, nn.Sigmoid(), nn.Flatten(), linear), (conv, nn.Flatten(), nn.Sigmoid(), linear)]
    roots = {quantise(seeded(nn.Sequential(*order)), inputs, name="images").manifest().root() for order in orders}
    assert len(roots) == 1
    for modules, reason in (
        ((nn.Sigmoid(), nn.ReLU(), linear), "it follows a Sigmoid"),
        ((nn.BatchNorm1d(8), nn.Sigmoid(), linear), "it follows the BatchNorm at '0'"),
    ):
        with pytest.raises(ModelError, match=reason):
            quantise(nn.Sequential(*modules).eval(), torch.rand(9, 8), name="refused")


def check_gradient(model: QuantisedModel) -> None:
    """Attacks find their way back through it."""
    x = torch.randint(-128, 128, (50, 6), generator=torch.Generator().manual_seed(8)).to(torch.int8)
    gradients = weight_gradients(model, x, torch.arange(50) % 3)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients.values())
    assert list(gradients) == ["layer.1.weight", "layer.3.weight", "layer.5.weight"]


def check_ring() -> None:
    """A worker of its own computes and attests it."""
    layers = (nn.Flatten(), nn.Linear(12, 8), nn.Sigmoid(), nn.Linear(8, 3))
    inputs = torch.rand(20, 3, 4, generator=torch.Generator().manual_seed(6))
    model = quantise(seeded(nn.Sequential(*layers)), inputs, name="ring", input_grid=PIXELS)
    ring = FakeRing.make(Path.cwd() / "ring", model)
    ring.settle()
    query = ring.ask()
    ring.settle()
    assert not session_of(ring, query).faults
    answer = ring.querent.wait(query, 0, lambda _session, _mode: None).output
    assert answer == model.run(model.card.quantise_input(IMAGES))


def main() -> None:
    assert is_copied(operators.__file__)
    form = OPERATORS["sigmoid"].floats
    assert form is not None
    assert "Sigmoid" in SUPPORTED.split(", ")
    assert "Sigmoid" in HANDLERS
    assert "y[i] = table[x[i] + 128]" in formulas()
    assert "sigmoid" in model_targets.kinds()
    inputs = torch.rand(200, 6, generator=torch.Generator().manual_seed(3)) * 4 - 2
    given = network()
    model = quantise(given, inputs, name="toy")
    assert [layer.operator for layer in model.layers] == ["dense", "sigmoid", "dense", "sigmoid", "dense"]
    imported = quantise(through_onnx(given, Path("toy.onnx")), inputs, name="toy")
    assert imported.manifest().root() == model.manifest().root()
    save_model(Path("toy.safetensors"), model)
    read = load_model(Path("toy.safetensors"))
    assert read.manifest().root() == model.manifest().root()
    for made in (model, imported, read):
        check_answers(made, inputs)
    check_example("sigmoid", form)
    check_layers(form)
    check_places()
    check_gradient(model)
    check_ring()


if __name__ == "__main__":
    main()
