"""Runs in a process of its own under ONEDNN_MAX_CPU_ISA; prints what the kernels give there, as JSON."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from model_tools import small_layer

from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.kernels import INT8, Kernel
from deepring_chain.model.self_test import SelfTestError, run_self_test

ITEMS = 64
SHAPES = ((784, 900), (900, 600), (300, 100), (100, 10), (63, 33), (130, 1))
SATURATING = Kernel("8-bit weights", torch._int_mm, -128, 127)


def make_cases() -> list[tuple[DenseLayer, torch.Tensor]]:
    """Layers with weights and inputs that are mostly extreme, which is what saturates."""
    cases = []
    for number, (features, outputs) in enumerate(SHAPES, start=1):
        generator = torch.Generator().manual_seed(number)
        weight = (torch.rand(features, outputs, generator=generator) < 0.9).to(torch.int8) * 127 - 64
        layer = small_layer(number, number, features, outputs, weight=weight, output_zero_point=0, output_dtype="int32")
        inputs = (torch.rand(ITEMS, features, generator=generator) < 0.9).to(torch.int16) * 255 - 128
        cases.append((layer, inputs.to(torch.int8)))
    return cases


def digest_outputs(batch: int) -> str:
    state = hashlib.sha256()
    for layer, inputs in make_cases():
        for part in inputs.split(batch):
            state.update(layer.forward(part).numpy().tobytes())
    return state.hexdigest()


def try_kernel(kernel: Kernel) -> str:
    try:
        run_self_test(kernel, torch.device("cpu"))
    except SelfTestError as error:
        return str(error)
    return "exact"


def main() -> None:
    digests = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for batch in (1, 7, 64):
            digests[f"batch {batch}, {threads} threads"] = digest_outputs(batch)
    print(json.dumps({"digests": digests, "shipped": try_kernel(INT8), "saturating": try_kernel(SATURATING)}))


if __name__ == "__main__":
    main()
