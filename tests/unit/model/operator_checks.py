"""What holds of every operator that float networks lead to, by its own example."""

from __future__ import annotations

import torch

from deepring_chain.importing.quantise import quantise
from deepring_chain.importing.split import to_ring
from deepring_chain.model.checkpoint import decode_layers, encode_layers
from deepring_chain.model.operator import FloatForm
from deepring_chain.model.operators import TWINS
from deepring_chain.model.quantised import QuantisedModel
from tests.unit.importing.onnx_tools import seeded


def quantised_example(form: FloatForm) -> tuple[QuantisedModel, torch.Tensor, torch.Tensor]:
    """The example in integers, inputs as its network takes them, and what that makes of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        network = seeded(form.example.network()).double()
    inputs = torch.rand(40, *form.example.item_shape, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        return quantise(network, inputs, name="example"), inputs, network(inputs)


def check_example(name: str, form: FloatForm) -> None:
    """The example has a layer of the operator, and answers as the float network does."""
    model, inputs, expected = quantised_example(form)
    assert name in {layer.operator for layer in model.layers}
    answer = model.run(model.card.quantise_input(to_ring(inputs).numpy()))
    noise = torch.from_numpy(model.card.read_logits(answer)) - expected
    assert float(noise.pow(2).mean()) < 0.01 * float((expected - expected.mean()).pow(2).mean())


def check_layers(form: FloatForm) -> None:
    """Each layer: read back from its bytes it is the same; an item's result does not hang on the others."""
    model, inputs, _ = quantised_example(form)
    given = model.card.quantise_input(to_ring(inputs).numpy())
    x = torch.frombuffer(bytearray(given.data), dtype=torch.int8).view(given.shape)
    for layer, read in zip(model.layers, decode_layers(encode_layers(model.layers), "layers"), strict=True):
        assert [bytes(part) for part in read.content().tensors] == [bytes(part) for part in layer.content().tensors]
        assert read.content().header == layer.content().header
        weights = {key: tensor.float() for key, tensor in layer.tensors.items() if key.endswith("weight")}
        y = layer.forward(x)
        assert torch.equal(y, read.forward(x))
        assert torch.equal(y, torch.cat([layer.forward(item[None]) for item in x]))
        # Each rounding on the way is worth half a step: one, or two in a block that has an inner convolution.
        assert float((TWINS[layer.operator](layer, x.float(), weights) - y).abs().max()) < 1.5
        x = y
