"""The model that an auditor was given, to run the layers again."""

from __future__ import annotations

from pathlib import Path

import torch

from deepring_chain.audit.replay import LayerRunner
from deepring_chain.errors import ProtocolError
from deepring_chain.model.checkpoint import load_model
from deepring_chain.model.layer import run_layer
from deepring_chain.types import ModelRoot, TensorBytes


def load_runner(path: Path) -> tuple[ModelRoot, LayerRunner]:
    """The model's root, and what computes O_0 .. O_n from an input.

    Raises:
        ModelError: no usable model.
    """
    model = load_model(path)
    device = torch.device("cpu")

    def run(entered: TensorBytes) -> list[TensorBytes]:
        if entered.dtype != "int8" or entered.shape[1:] != model.card.input_shape:
            raise ProtocolError(f"an input {entered.dtype}{list(entered.shape)} that the model does not take")
        outputs = [entered]
        for index in range(1, model.card.layers + 1):
            outputs.append(run_layer(model.layer(index), outputs[-1], device))
        return outputs

    return model.manifest().root(), run
