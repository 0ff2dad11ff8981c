"""Gaussian noise on the input of one layer (paper, sections 4.2 and 5: of the third), float and integer.

An int8 input cannot leave its code: noise that would bring a value below the smallest or above the largest one that
calibration saw is cut off there. After a ReLU, nothing becomes negative. The float network has no such bounds.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.attacks.importance import affine_places
from deepring_chain.datasets.pixels import to_float
from deepring_chain.errors import ModelError
from deepring_chain.model.layer import run_layer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.types import TensorBytes


def add_input_noise(tensor: TensorBytes, steps: float, seed: int) -> TensorBytes:
    """Adds Gaussian noise to int8 activations, rounded and cut to [-128, 127].

    Args:
        tensor: int8, any shape.
        steps: standard deviation in steps of the int8 code; `sigma / activation_scale` for one in real units.
        seed: the same seed, steps and shape give the same noise.

    Raises:
        ModelError: another dtype, or a standard deviation that is negative or not finite.
    """
    if tensor.dtype != "int8" or not 0 <= steps < np.inf:
        raise ModelError(f"noise of {steps} steps on {tensor.dtype}: expected int8, and 0 steps or more")
    clean = np.frombuffer(tensor.data, np.int8).reshape(tensor.shape)
    noise = np.rint(np.random.default_rng(seed).standard_normal(tensor.shape) * steps)
    noisy = np.clip(clean + noise, -128, 127).astype(np.int8)
    return TensorBytes("int8", tensor.shape, noisy.tobytes())


def run_with_input_noise(
    model: QuantisedModel, inputs: TensorBytes, index: int, steps: float, seed: int, device: torch.device | None = None
) -> TensorBytes:
    """The plain integer model, with noise on the input of one layer.

    Args:
        model: only read.
        inputs: int8 inputs of layer 1.
        index: of the layer whose input is perturbed, from 1.
        steps: see `add_input_noise`.
        seed: of the noise.
        device: where to compute; the CPU by default.

    Raises:
        ModelError: no such layer, or inputs that do not fit.
    """
    device = device or torch.device("cpu")
    _check_index(model, index)
    for layer in model.layers:
        if layer.index == index:
            inputs = add_input_noise(inputs, steps, seed)
        inputs = run_layer(layer.to(device), inputs, device)
    return inputs


def with_input_noise(model: nn.Sequential, place: str, sigma: float, seed: int) -> nn.Sequential:
    """A copy of a float network that adds Gaussian noise to the input of one module.

    Args:
        model: only read.
        place: of a Linear or Conv2d, as in `LayerImportance`.
        sigma: standard deviation, in units of the activations.
        seed: the same batches in the same order get the same noise.

    Raises:
        ModelError: no such module.
    """
    noisy = copy.deepcopy(model)
    _find(noisy, place).register_forward_pre_hook(_Noise(sigma, seed))
    return noisy


class _Noise:
    """A forward pre-hook; its random state goes on from batch to batch."""

    def __init__(self, sigma: float, seed: int) -> None:
        self._sigma, self._rng = sigma, np.random.default_rng(seed)

    def __call__(self, _module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = arguments[0]
        noise = torch.from_numpy(self._rng.standard_normal(tuple(x.shape)) * self._sigma)
        return (x + noise.to(x), *arguments[1:])


def activation_scale(
    model: nn.Sequential, quantised: QuantisedModel, place: str, index: int, images: NDArray[np.uint8]
) -> float:
    """Real value of one int8 step of a layer's input, measured: quantised models do not carry it.

    It is the ratio of the float to the integer activations' root mean squares on some images, good to about 1 in 1,000.

    Args:
        model: the float network, only read.
        quantised: what was made of it.
        place: of the layer's (first) module in `model`.
        index: of the layer.
        images: uint8 [N, ...]; a hundred do.

    Raises:
        ModelError: no such module or layer, or images on which all of its inputs are zero.
    """
    _check_index(quantised, index)
    if index == 1:
        return quantised.card.input_scale
    inputs = quantised.card.quantise_input(images)
    for layer in quantised.layers[: index - 1]:
        inputs = run_layer(layer, inputs, torch.device("cpu"))
    attributes = quantised.layer(index).attributes
    zero_point = next(value for name, value in attributes.items() if name.endswith("input_zero_point"))
    steps = np.frombuffer(inputs.data, np.int8).astype(np.float64) - zero_point
    real = _inputs_of(model, place, images)
    if len(real) != len(steps) or not steps.any():
        raise ModelError(f"'{place}' is not layer {index}, or its inputs are all zero on these images")
    return float(np.sqrt(np.square(real).mean() / np.square(steps).mean()))


def _inputs_of(model: nn.Sequential, place: str, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What reaches a module, flat."""
    seen: list[NDArray[np.float64]] = []
    watched = copy.deepcopy(model).cpu().eval()
    _find(watched, place).register_forward_pre_hook(lambda _, given: seen.append(given[0].double().numpy().ravel()))
    with torch.no_grad():
        watched(to_float(images))
    return np.concatenate(seen)


def _find(model: nn.Sequential, place: str) -> nn.Module:
    known = [found for found, _ in affine_places(model)]
    if place not in known:
        raise ModelError(f"no Linear or Conv2d at '{place}'; there are {', '.join(known)}")
    return model.get_submodule(place)


def _check_index(model: QuantisedModel, index: int) -> None:
    if not 1 <= index <= len(model.layers):
        raise ModelError(f"model {model.card.name}: no layer {index}, it has 1..{len(model.layers)}")
