"""Convolutional networks: split into layers, close to the float network, refused by name and place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.blocks import build_resnet18
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.importing.split import UnsupportedModule, split_model
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.residual import ResidualLayer
from deepring_chain.training.zoo import find_entry
from tests.unit.model.image_tools import with_statistics


def seeded(build: Callable[[], nn.Sequential]) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return with_statistics(build(), images(40))


def images(count: int, channels: int = 3, size: int = 8, seed: int = 1) -> torch.Tensor:
    """Noise of a different brightness in each image and channel, so that the logits differ between images."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.rand(count, channels, 1, 1, generator=generator)
    return torch.rand(count, channels, size, size, generator=generator) * brightness


def logits(model: QuantisedModel, x: torch.Tensor) -> torch.Tensor:
    stored = x.permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(model.card.read_logits(model.run(model.card.quantise_input(stored))))


def relative_error(model: nn.Sequential, quantised: QuantisedModel, x: torch.Tensor) -> float:
    """Root mean square of the logits' differences, relative to the logits' standard deviation."""
    with torch.no_grad():
        expected = model(x).double()
    return float((logits(quantised, x) - expected).square().mean().sqrt() / expected.std())


def conv(inputs: int, outputs: int, **options: Any) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **options), nn.BatchNorm2d(outputs), nn.ReLU()]


def head(features: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(features, 4)]


def without_last(*modules: nn.Module) -> nn.Sequential:
    """A network that is cut from a longer one."""
    cut = nn.Sequential(*modules)[:-1]
    assert isinstance(cut, nn.Sequential)
    return cut


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "small VGG": lambda: without_last(
        nn.Sequential(*conv(3, 6), *conv(6, 6), nn.MaxPool2d(2), *conv(6, 8), nn.MaxPool2d(2)),
        nn.Flatten(), nn.Linear(32, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, 4), nn.Softmax(dim=1),
    ),
    "averages": lambda: nn.Sequential(*conv(3, 6), nn.AvgPool2d(2), *conv(6, 6), nn.AdaptiveAvgPool2d(1), *head(6)),
    "average without activation": lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d((2, 3)), *head(36)),
    "adaptive pooling that does nothing": lambda: nn.Sequential(
        *conv(3, 6), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((4, None)), *head(96)
    ),
    "uneven padding": lambda: nn.Sequential(nn.Conv2d(3, 6, (4, 2), padding="same"), nn.ReLU(), *head(384)),
    "strides and a valid border": lambda: nn.Sequential(
        nn.Conv2d(3, 6, (3, 2), (2, 3), padding="valid"), nn.ReLU(), nn.Conv2d(6, 5, 1, 2, padding=(1, 0)), *head(30)
    ),
    "norm of the images": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3), nn.ReLU(), *head(180)),
    "norm after the pooling": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.Conv2d(5, 6, 2), *head(24)
    ),
    "norm before and after flattening": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 3, 2), nn.ReLU(), nn.BatchNorm2d(5), nn.Flatten(), nn.BatchNorm1d(45), nn.Linear(45, 4)
    ),
    "relu after the maximum": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.MaxPool2d([3, 2], 2), nn.ReLU(), *head(30)  # type: ignore[arg-type]
    ),
    "padded poolings": lambda: nn.Sequential(
        *conv(3, 5), nn.MaxPool2d(3, 2, padding=1), *conv(5, 5), nn.AvgPool2d(3, 2, padding=1), *head(20)
    ),
    "dense layers alone": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Linear(9, 4)),
    "block of one convolution": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), Residual(nn.Sequential(nn.Conv2d(5, 5, 1))), nn.MaxPool2d(2), *head(45)
    ),
    "block with poolings within": lambda: nn.Sequential(
        *conv(3, 5), Residual(nn.Sequential(*conv(5, 5), nn.MaxPool2d(2), *conv(5, 6)[:2]),
                              nn.Sequential(nn.Conv2d(5, 6, 1, 2))), nn.ReLU(), *head(96)
    ),
    "block before a norm": lambda: nn.Sequential(
        Residual(nn.Sequential(*conv(3, 3)[:2], nn.Identity())), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 2), *head(196)
    ),
    "narrow ResNet-18": lambda: build_resnet18(3, 4, (6, 6, 8, 8)),
}  # fmt: skip


DEEP_OR_WIDE = ("narrow ResNet-18", "norm before and after flattening")
"""Seventeen roundings, and channels of very different ranges under one scale."""


@pytest.mark.parametrize("name", NETWORKS)
def test_quantised_network_is_close_to_the_float_one(name: str) -> None:
    model = seeded(NETWORKS[name])
    x = images(40)
    quantised = quantise(model, x, name=name, input_grid=PIXELS)
    assert quantised.card.input_shape == (8, 8, 3)
    assert quantised.layers[0].input_shape == (8, 8, 3)
    assert relative_error(model, quantised, x) < (0.16 if name in DEEP_OR_WIDE else 0.07)


def test_pooling_and_norms_are_fused_into_their_convolution() -> None:
    layers = quantise(seeded(NETWORKS["small VGG"]), images(4), name="vgg").layers
    assert [layer.operator for layer in layers] == ["conv", "conv", "conv", "dense", "dense"]
    assert [layer.attributes["relu"] for layer in layers] == [1, 1, 1, 1, 0]
    assert [layer.attributes.get("pool") for layer in layers] == [0, 1, 1, None, None]
    assert [layer.output_shape for layer in layers] == [(8, 8, 6), (4, 4, 6), (2, 2, 8), (9,), (4,)]


def test_flatten_keeps_the_order_of_the_float_network() -> None:
    """The dense layer takes [H, W, C]; its rows are those of the Linear, which takes [C, H, W]."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 12, bias=False))
    model[1].weight.data = torch.eye(12)
    (unit,) = split_model(model, (3, 2, 2)).layers
    x = torch.arange(12, dtype=torch.float64).view(1, 3, 2, 2)
    assert unit.item_shape == (2, 2, 3)
    assert unit.forward(x.permute(0, 2, 3, 1)).tolist() == [list(range(12))]


def test_full_resnet18_is_ten_layers_and_runs_one_image() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = find_entry("cifar10-resnet18").build().eval()
    quantised = quantise(model, images(1, size=32), name="resnet", input_grid=PIXELS)
    kinds = [layer.operator for layer in quantised.layers]
    assert kinds == ["conv", *["residual"] * 8, "dense"]
    assert [layer.output_shape for layer in quantised.layers][-2:] == [(1, 1, 512), (10,)]
    blocks = [layer for layer in quantised.layers if isinstance(layer, ResidualLayer)]
    assert [block.shortcut is not None for block in blocks] == [False, False, True, False, True, False, True, False]
    assert isinstance(quantised.layers[-1], DenseLayer)
    assert logits(quantised, images(1, size=32)).argmax() == model(images(1, size=32)).argmax()


LINEAR = [nn.Flatten(), nn.Linear(4, 4)]
CONV = nn.Conv2d(3, 3, 3, padding=1)
UNSUPPORTED = [
    ([nn.Conv2d(3, 3, 3, groups=3)], r"'Conv2d' at '0' cannot be made exact \(it has 3 groups\)"),
    ([nn.Conv2d(3, 3, 3, dilation=2)], r"'Conv2d' at '0' .*\(it is dilated by \(2, 2\)\)"),
    ([nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")], r"'Conv2d' at '0' .*\(it pads by reflect\)"),
    ([nn.Conv2d(3, 3, 1, stride=5000)], r"'Conv2d' at '0' .*5000.*strides are 1 to 4096"),
    ([nn.ConvTranspose2d(3, 3, 3)], "'ConvTranspose2d' at '0' cannot be made exact; supported: Conv2d"),
    ([CONV, nn.MaxPool2d(2, ceil_mode=True)], r"'MaxPool2d' at '1' .*ceil_mode"),
    ([CONV, nn.MaxPool2d(2, dilation=2)], r"'MaxPool2d' at '1' .*dilation"),
    ([CONV, nn.MaxPool2d(2, return_indices=True)], r"'MaxPool2d' at '1' .*return_indices"),
    ([CONV, nn.AvgPool2d(2, ceil_mode=True)], r"'AvgPool2d' at '1' .*ceil_mode"),
    ([CONV, nn.AvgPool2d(2, divisor_override=3)], r"'AvgPool2d' at '1' .*divisor_override"),
    ([CONV, nn.AvgPool2d(3, padding=1, count_include_pad=False)], r"'AvgPool2d' at '1' .*border count fewer"),
    ([CONV, nn.AvgPool2d(300)], r"'AvgPool2d' at '1' .*over 90000 pixels"),
    ([CONV, nn.AdaptiveAvgPool2d(3)], r"'AdaptiveAvgPool2d' at '1' .*8 x 8 to 3 x 3, which does not divide it"),
    ([CONV, nn.AdaptiveAvgPool2d(16)], r"'AdaptiveAvgPool2d' at '1' .*does not divide it"),
    ([CONV, nn.AdaptiveMaxPool2d(1)], "'AdaptiveMaxPool2d' at '1' cannot be made exact"),
    ([CONV, nn.AvgPool2d(2), nn.ReLU()], r"'ReLU' at '2' .*\(it follows an average pooling\)"),
    ([CONV, nn.MaxPool2d(2), nn.MaxPool2d(2)], r"'MaxPool2d' at '2' .*\(it follows no convolution\)"),
    ([nn.MaxPool2d(2), CONV], r"'MaxPool2d' at '0' .*follows no Linear or Conv2d"),
    ([CONV, nn.ReLU(), nn.BatchNorm2d(3), CONV], r"'Conv2d' at '3' .*pads after the BatchNorm2d at '2'"),
    ([CONV, nn.ReLU(), nn.BatchNorm2d(3), nn.MaxPool2d(2)], r"'MaxPool2d' at '3' .*follows no"),
    ([CONV, nn.Sigmoid()], "'Sigmoid' at '1'"),
    ([Residual(nn.Sequential(CONV, nn.ReLU()))], r"'Residual' at '0' .*without activation or pooling"),
    ([Residual(nn.Sequential(CONV, nn.MaxPool2d(2)))], r"'Residual' at '0' .*without activation or pooling"),
    ([Residual(nn.Sequential(CONV), nn.Sequential(CONV, nn.ReLU()))], r"'Residual' at '0' .*a shortcut is"),
    ([Residual(nn.Sequential(CONV), nn.Sequential(CONV, CONV))], r"'Residual' at '0' .*one convolution"),
    ([Residual(nn.Sequential())], r"'Residual' at '0' .*a body ends"),
    ([Residual(CONV)], r"'Residual' at '0' .*a branch is a Conv2d, not an nn.Sequential"),  # type: ignore[arg-type]
    ([Residual(nn.Sequential(CONV, nn.GELU(), CONV))], r"'GELU' at '0\.body\.1'"),
    ([Residual(nn.Sequential(CONV), nn.Sequential(nn.AvgPool2d(2)))], r"'AvgPool2d' at '0\.shortcut\.0'"),
    ([Residual(nn.Sequential(Residual(nn.Sequential(CONV)), CONV))], r"'Residual' at '0' .*something else than conv"),
    ([Residual(nn.Sequential(CONV, nn.Flatten()))], r"'Residual' at '0' .*something else than convolutions"),
]


@pytest.mark.parametrize(("modules", "message"), UNSUPPORTED, ids=[message for _, message in UNSUPPORTED])
def test_unsupported_module_is_refused_by_name_and_place(modules: list[nn.Module], message: str) -> None:
    with pytest.raises(UnsupportedModule, match=message) as caught:
        quantise(nn.Sequential(*modules, *LINEAR), images(2), name="refused")
    assert "\n" not in str(caught.value)


def norm_with_variance(value: float) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(3)
    assert norm.running_var is not None
    norm.running_var.fill_(value)
    return norm


MISFITS = [
    ([nn.Conv2d(4, 3, 3), *LINEAR], "'Conv2d' at '0' takes 4 channels, gets 3"),
    ([nn.Conv2d(3, 3, 9), *LINEAR], r"'Conv2d' at '0': its kernel does not fit into \(3, 8, 8\)"),
    ([CONV, nn.MaxPool2d(9), *LINEAR], r"'MaxPool2d' at '1': its window does not fit into \(3, 8, 8\)"),
    ([CONV, nn.Linear(8, 4)], r"'Linear' at '1' gets items of shape \(3, 8, 8\); put a Flatten before it"),
    ([nn.Flatten(), CONV], r"'Conv2d' at '1' gets items of shape \(192,\), takes images \[C, H, W\]"),
    ([CONV, nn.BatchNorm2d(4), *LINEAR], "'BatchNorm2d' at '1' takes 4 features, gets 3"),
    ([CONV, norm_with_variance(-1.0), *LINEAR], "'BatchNorm2d' at '1': its running_var holds a negative number"),
    ([CONV, norm_with_variance(float("nan")), *LINEAR], "'BatchNorm2d' at '1': its running_var holds NaN"),
    ([CONV], "must end with a Linear module, whose outputs are the logits; its last is a Conv2d at '0'"),
    ([CONV, nn.Flatten()], "must end with a Linear module, .* its last is a Conv2d at '0'"),
    ([CONV, Residual(nn.Sequential(CONV))], "must end with a Linear module, .* its last is a Residual at '1'"),
    ([CONV, nn.Flatten(), nn.Linear(191, 4)], "'Linear' at '2' takes 191 features, gets 192"),
    ([Residual(nn.Sequential(nn.Conv2d(3, 4, 1))), *LINEAR], r"'Residual' at '0': body gives \(8, 8, 4\), shortcut"),
    ([CONV, nn.ReLU(), nn.BatchNorm2d(3), Residual(nn.Sequential(CONV)), *LINEAR], "'BatchNorm' at '2': no Linear or"),
    ([Residual(nn.Sequential(nn.BatchNorm2d(3))), *LINEAR], r"'BatchNorm' at '0\.body\.0': no Linear or Conv2d"),
    (
        [Residual(nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 10)), nn.Flatten(), nn.Linear(192, 4)],
        r"'Residual' at '0' cannot be quantised: .*9 inner convolutions \(at most 8",
    ),
]


@pytest.mark.parametrize(("modules", "message"), MISFITS, ids=[message for _, message in MISFITS])
def test_network_that_does_not_fit_together_is_refused(modules: list[nn.Module], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        quantise(nn.Sequential(*modules), images(2), name="refused")
    assert "\n" not in str(caught.value)


class Flipped(nn.Conv2d):
    pass


def test_subclass_of_a_convolution_is_refused() -> None:
    with pytest.raises(UnsupportedModule, match="'Flipped' at '0'"):
        split_model(nn.Sequential(Flipped(3, 3, 1)), (3, 8, 8))


def test_network_that_torch_itself_cannot_run_is_refused_in_one_line() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(192, 4))
    model[0].register_forward_pre_hook(lambda _module, inputs: (inputs[0][:, :2],))
    with pytest.raises(ModelError, match=r"^the model does not take its calibration inputs \[2, 3, 8, 8\]: ") as caught:
        quantise(model, images(2), name="hooked")
    assert "\n" not in str(caught.value)


def test_output_channel_whose_weights_are_all_zero_delivers_its_bias() -> None:
    """As in a block whose last normalization starts at zero."""
    norm = nn.BatchNorm2d(3)
    block = Residual(nn.Sequential(nn.Conv2d(3, 3, 1), norm))
    model = seeded(lambda: nn.Sequential(block, nn.ReLU(), *head(192)))
    norm.weight.data.zero_()
    assert relative_error(model, quantise(model, images(20), name="zero", input_grid=PIXELS), images(20)) < 0.1
