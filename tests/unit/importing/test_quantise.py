"""Quantisation keeps a network's function, and refuses by name what cannot be made exact."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.quantise import PIXELS, Grid, Span, quantise
from deepring_chain.importing.split import UnsupportedModule, split_model
from deepring_chain.model.quantised import QuantisedModel
from tests.unit.model.model_tools import small_model, small_network, tensor_bytes


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_random_weights(*modules: nn.Module) -> nn.Sequential:
    model = nn.Sequential(*modules)
    generator = seeded(11)
    for parameter in model.parameters():
        parameter.data.uniform_(-1, 1, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2, generator=generator)
    return model.eval()


def norm_without_offset(features: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(features)
    norm.bias = None  # type: ignore[assignment]
    return norm


def relative_error(model: nn.Sequential, quantised: QuantisedModel, inputs: torch.Tensor) -> float:
    """Largest difference of the logits, relative to the largest logit."""
    with torch.no_grad():
        expected = model(inputs).double()
    found = torch.from_numpy(quantised.card.read_logits(quantised.run(quantised.card.quantise_input(inputs.numpy()))))
    return float((found - expected).abs().max() / expected.abs().max())


NETWORKS = {
    "dense": lambda: with_random_weights(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 5)),
    "nested": lambda: with_random_weights(
        nn.Sequential(nn.Linear(12, 9), nn.Sequential(nn.ReLU(), nn.Dropout(0.5))), nn.Identity(), nn.Linear(9, 4)
    ),
    "no activation": lambda: with_random_weights(nn.Linear(12, 9), nn.Linear(9, 4, bias=False)),
    "relu at the end": lambda: with_random_weights(nn.Linear(12, 9), nn.ReLU()),
    "one layer, one output": lambda: with_random_weights(nn.Linear(12, 1)),
    "norm before relu": lambda: with_random_weights(nn.Linear(12, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 4)),
    "norm after relu": lambda: with_random_weights(nn.Linear(12, 9), nn.ReLU(), nn.BatchNorm1d(9), nn.Linear(9, 4)),
    "two norms at the start": lambda: with_random_weights(
        nn.BatchNorm1d(12), nn.BatchNorm1d(12, affine=False), nn.Linear(12, 4)
    ),
    "norm without offset": lambda: with_random_weights(nn.Linear(12, 4), norm_without_offset(4)),
    "norm at the end": lambda: with_random_weights(nn.Linear(12, 4), nn.BatchNorm1d(4)),
    "relu twice": lambda: with_random_weights(nn.Linear(12, 9), nn.ReLU(), nn.ReLU(inplace=True), nn.Linear(9, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_quantised_network_is_close_to_the_float_one(name: str, signed: bool) -> None:
    model = NETWORKS[name]()
    inputs = torch.rand(200, 12, generator=seeded(1)) * 2 - (1 if signed else 0)
    quantised = quantise(model, inputs, name=name)
    assert quantised.card.input_zero_point == (0 if signed else -128)
    assert relative_error(model, quantised, inputs) < 0.03


def test_layers_are_affine_maps_with_their_activation_numbered_from_one() -> None:
    model = small_model()
    assert [layer.index for layer in model.layers] == [1, 2, 3]
    assert [layer.attributes["relu"] for layer in model.layers] == [1, 1, 0]
    assert [layer.output_dtype for layer in model.layers] == ["int8", "int8", "int32"]
    assert [layer.input_shape for layer in model.layers] == [(3, 4), (9,), (8,)]
    assert [layer.output_shape for layer in model.layers] == [(9,), (8,), (5,)]
    assert [layer.attributes["output_zero_point"] for layer in model.layers] == [-128, -128, 0]
    assert (model.card.layers, model.card.classes) == (3, ("a", "b", "c", "d", "e"))


def test_weights_use_the_range_of_each_output() -> None:
    for layer in small_model().layers:
        largest = layer.tensors["weight"].to(torch.int32).abs().amax(dim=0)
        assert largest.tolist() == [63] * len(largest)


def test_layers_without_activation_have_symmetric_outputs() -> None:
    model = quantise(NETWORKS["no activation"](), torch.rand(20, 12), name="linear")
    assert model.layers[0].attributes["output_zero_point"] == 0


@pytest.mark.parametrize("reader", [nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)])
def test_softmax_at_the_end_is_left_to_the_reader(reader: nn.Module) -> None:
    plain, inputs = NETWORKS["dense"](), torch.rand(50, 12, generator=seeded(2))
    with_reader = nn.Sequential(plain, nn.Sequential(reader), nn.Dropout())
    first, second = (quantise(model, inputs, name="same") for model in (plain, with_reader))
    assert first.manifest() == second.manifest()


def test_quantising_twice_gives_the_same_model_and_leaves_the_network_alone() -> None:
    model, inputs = small_network().train(), torch.rand(30, 3, 4, generator=seeded(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (quantise(model, inputs, name="same") for _ in range(2))
    assert first.manifest().root() == second.manifest().root()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_module_used_twice_becomes_two_layers() -> None:
    shared = nn.Linear(12, 12)
    model = quantise(nn.Sequential(shared, nn.ReLU(), shared), torch.rand(20, 12), name="shared")
    assert len(model.layers) == 2


def test_pixels_grid_keeps_pixels_whatever_the_calibration_holds() -> None:
    model = quantise(small_network(), torch.rand(20, 3, 4) * 0.1, name="images", input_grid=PIXELS)
    assert (model.card.input_scale, model.card.input_zero_point) == (1 / 255, -128)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 2.55], (0.01, -128)), ([-1.27, 1.0], (0.01, 0)), ([0.0, 0.0], (1.0, -128))],
)
def test_grid_spans_the_values(values: list[float], expected: tuple[float, int]) -> None:
    grid = Grid.spanning(Span.of(torch.tensor(values, dtype=torch.float64)))
    assert grid.scale == pytest.approx(expected[0])
    assert grid.zero_point == expected[1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_of_other_float_types_are_accepted(dtype: torch.dtype) -> None:
    inputs = torch.rand(20, 3, 4, generator=seeded(4))
    quantised = quantise(small_network().to(dtype), inputs, name="other")
    assert relative_error(small_network(), quantised, inputs) < 0.05


def test_output_whose_weights_are_all_zero_delivers_its_bias() -> None:
    linear = nn.Linear(12, 4)
    model = with_random_weights(linear)
    linear.weight.data[1] = 0
    inputs = torch.rand(20, 12, generator=seeded(5))
    quantised = quantise(model, inputs, name="zero")
    logits = quantised.card.read_logits(quantised.run(quantised.card.quantise_input(inputs.numpy())))
    assert logits[:, 1] == pytest.approx(float(linear.bias[1].detach()), abs=1e-4)


def test_bias_far_above_its_weights_still_fits() -> None:
    linear = nn.Linear(12, 4)
    model = with_random_weights(linear)
    linear.weight.data[0] *= 1e-9
    linear.bias.data[0] = 50.0
    inputs = torch.rand(20, 12, generator=seeded(6))
    assert relative_error(model, quantise(model, inputs, name="bias"), inputs) < 0.03


class Own(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class OwnSequential(nn.Sequential):
    pass


class OwnLinear(nn.Linear):
    pass


LINEAR = nn.Linear(12, 12)
UNSUPPORTED = [
    (
        nn.Sequential(LINEAR, nn.ReLU(), LINEAR, nn.Tanh()),
        "'Tanh' at '3' cannot be made exact; supported: Conv2d, Lin",
    ),
    (nn.Sequential(LINEAR, nn.Sequential(nn.ReLU(), nn.GELU())), "'GELU' at '1.1'"),
    (nn.Sequential(OrderedDict(stem=LINEAR, act=nn.Sigmoid())), "'Sigmoid' at 'act'"),
    (nn.Sequential(nn.Conv1d(1, 1, 3)), "'Conv1d' at '0'"),
    (nn.Sequential(nn.LayerNorm(12), LINEAR), "'LayerNorm' at '0'"),
    (nn.Sequential(LINEAR, Own()), "'Own' at '1'"),
    (nn.Sequential(OwnLinear(12, 2)), "'OwnLinear' at '0'"),
    (nn.Sequential(LINEAR, OwnSequential(nn.ReLU())), "'OwnSequential' at '1'"),
    (
        nn.Sequential(LINEAR, nn.Softmax(dim=1), LINEAR),
        r"'Linear' at '2' cannot .*\(it follows a Softmax\)",
    ),
    (nn.Sequential(nn.Softmax(dim=1), LINEAR), r"'Softmax' at '0' .*follows no Linear"),
    (nn.Sequential(LINEAR, nn.Softmax(dim=0)), r"'Softmax' at '1' .*dimension 0"),
    (nn.Sequential(nn.ReLU(), LINEAR), r"'ReLU' at '0' .*follows no Linear"),
    (nn.Sequential(LINEAR, nn.ReLU(), nn.BatchNorm1d(12), nn.ReLU()), r"'ReLU' at '3' .*follows no Linear"),
    (nn.Sequential(nn.Flatten(0), LINEAR), r"'Flatten' at '0' .*dimensions 0 to -1"),
    (nn.Sequential(LINEAR, nn.BatchNorm1d(12, track_running_stats=False)), "'BatchNorm1d' at '1' .*no running"),
    (Own(), "the model is a Own; expected nn.Sequential"),
]


@pytest.mark.parametrize(("model", "message"), UNSUPPORTED, ids=[message for _, message in UNSUPPORTED])
def test_unsupported_module_is_refused_by_name_and_place(model: Any, message: str) -> None:
    with pytest.raises(UnsupportedModule, match=message):
        quantise(model, torch.rand(4, 12), name="refused")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(11, 3)), "'Linear' at '0' takes 11 features, gets 12"),
        (nn.Sequential(LINEAR, nn.BatchNorm1d(11)), "'BatchNorm1d' at '1' takes 11 features, gets 12"),
        (
            nn.Sequential(LINEAR, nn.ReLU(), nn.BatchNorm1d(12)),
            "'BatchNorm' at '2': no Linear or Conv2d to fold it into",
        ),
        (nn.Sequential(nn.Flatten()), "must end with a Linear module, whose outputs are the logits; it has none"),
        (nn.Sequential(), "must end with a Linear module, whose outputs are the logits; it has none"),
    ],
)
def test_network_that_does_not_fit_together_is_refused(model: nn.Sequential, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        quantise(model, torch.rand(4, 12), name="refused")


def test_linear_on_items_with_several_dimensions_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'Linear' at '0' gets items of shape \(3, 12\); put a Flatten before it"):
        split_model(nn.Sequential(nn.Linear(12, 3)), (3, 12))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    model = small_network()
    getattr(model[3], name).data.view(-1)[2] = value
    with pytest.raises(ModelError, match=f"'Linear' at '3': its {name} holds NaN or infinity"):
        quantise(model, torch.rand(4, 3, 4), name="refused")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (torch.zeros(4, 3, 4, dtype=torch.uint8), "float batch"),
        (torch.zeros(0, 3, 4), "float batch"),
        (torch.zeros(12), "float batch"),
        (torch.full((4, 3, 4), float("nan")), "NaN"),
    ],
)
def test_unusable_calibration_is_refused(calibration: torch.Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        quantise(small_network(), calibration, name="refused")


def test_network_with_a_hook_that_changes_its_function_is_refused() -> None:
    model = small_network()
    model[1].register_forward_hook(lambda _module, _inputs, output: output * 2)
    with pytest.raises(ModelError, match="computes something else"):
        quantise(model, torch.rand(4, 3, 4, generator=seeded(7)), name="hooked")


def test_weights_beyond_any_usable_range_are_refused() -> None:
    linear = nn.Linear(12, 3).double()
    linear.weight.data.fill_(1e300)
    with pytest.raises(ModelError, match="'Linear' at '0' cannot be quantised"):
        quantise(nn.Sequential(linear), torch.rand(4, 12), name="huge")


def test_model_runs_layer_by_layer_as_a_whole() -> None:
    model = small_model()
    x = torch.randint(-128, 128, (6, 3, 4), generator=seeded(8)).to(torch.int8)
    y = x
    for index in (1, 2, 3):
        y = model.layer(index).forward(y)
    assert model.run(tensor_bytes(x)) == tensor_bytes(y)


def test_next_layer_after_the_last_is_the_identity() -> None:
    model = small_model()
    assert [model.next_index(index) for index in range(4)] == [1, 2, 3, 0]
    assert model.layer(0).operator == "identity"
    with pytest.raises(ModelError, match=r"no layer 4, it has 1..3"):
        model.layer(4)


def test_layers_that_do_not_follow_one_another_are_refused() -> None:
    model = small_model()
    for layers in (model.layers[:2], (model.layers[1], model.layers[0], model.layers[2]), ()):
        with pytest.raises(ModelError, match=r"its card says 1..3"):
            QuantisedModel(model.card, layers)
