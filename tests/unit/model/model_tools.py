"""Layers and networks for the tests of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deepring_chain.importing.quantise import quantise
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.types import LayerIndex, TensorBytes


def layer_of(spec: dict[str, Any]) -> DenseLayer:
    """Layer of a vector or of the reference."""
    return DenseLayer(
        LayerIndex(spec["index"]),
        weight=torch.tensor(spec["weight"], dtype=torch.int8),
        bias=torch.tensor(spec["bias"], dtype=torch.int32),
        multiplier=torch.tensor(spec["multiplier"], dtype=torch.int32),
        shift=torch.tensor(spec["shift"], dtype=torch.int32),
        item_shape=tuple(spec["item_shape"]),
        input_zero_point=spec["input_zero_point"],
        output_zero_point=spec["output_zero_point"],
        relu=bool(spec["relu"]),
        output_dtype=f"int{spec['output_bits']}",
    )


def small_layer(index: int = 1, seed: int = 0, features: int = 6, outputs: int = 4, **changes: Any) -> DenseLayer:
    generator = torch.Generator().manual_seed(seed)
    fields: dict[str, Any] = {
        "weight": torch.randint(-64, 64, (features, outputs), generator=generator).to(torch.int8),
        "bias": torch.randint(-1000, 1000, (outputs,), generator=generator).to(torch.int32),
        "multiplier": torch.randint(2**30, 2**31, (outputs,), generator=generator).to(torch.int32),
        "shift": torch.full((outputs,), 38, dtype=torch.int32),
        "item_shape": (features,),
        "input_zero_point": -128,
        "output_zero_point": -128,
        "relu": True,
    }
    return DenseLayer(LayerIndex(index), **{**fields, **changes})


def small_network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 5)
        ).eval()


def small_model() -> QuantisedModel:
    calibration = torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(4))
    return quantise(small_network(), calibration, name="small", classes=("a", "b", "c", "d", "e"))


def tensor_bytes(tensor: torch.Tensor) -> TensorBytes:
    return TensorBytes(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), tensor.numpy().tobytes())
