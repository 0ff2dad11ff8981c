"""Runs in a process of its own under ONEDNN_MAX_CPU_ISA; prints what the kernels give there, as JSON."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any

import torch

from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.kernels import INT8, Kernel
from deepring_chain.model.layer import Layer
from deepring_chain.model.self_test import SelfTestError, run_self_test
from tests.unit.model.image_reference import make_layer, make_residual, make_window
from tests.unit.model.image_tools import image_layer
from tests.unit.model.model_tools import small_layer

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


def make_image_specs() -> list[dict[str, Any]]:
    """Layers as the reference describes them: 27 inputs, one, 72; one output; paddings, poolings, blocks."""
    rng = random.Random(9)  # noqa: S311 (test data)
    same, halves = make_window(3, 3, 1, 1, 1, 1, 1, 1), make_window(2, 2, 2, 2)
    return [
        make_layer(rng, [6, 5, 3], 8, same, relu=1, zero=-128, pool="max", pool_window=halves),
        make_layer(rng, [4, 4, 8], 1, same, zero=0),
        make_layer(rng, [3, 3, 1], 9, make_window(1, 1, 2, 2), zero=0),
        make_layer(rng, [4, 4, 8], 16, same, zero=0, pool="average", pool_window=make_window(4, 4, 4, 4)),
        make_residual(rng, [4, 4, 4], 4, 1, zero=-128),
        make_residual(rng, [4, 4, 4], 7, 2, zero=-128, pool="average", pool_window=halves),
    ]


def make_image_cases() -> list[tuple[Layer, torch.Tensor]]:
    """Weights and inputs that are mostly extreme."""
    cases: list[tuple[Layer, torch.Tensor]] = []
    for number, spec in enumerate(make_image_specs()):
        layer, generator = image_layer(spec), torch.Generator().manual_seed(number)
        inputs = (torch.rand(ITEMS, *layer.input_shape, generator=generator) < 0.8).to(torch.int16) * 255 - 128
        cases.append((layer, inputs.to(torch.int8)))
    return cases


def digest_outputs(cases: Sequence[tuple[Layer, torch.Tensor]], batch: int) -> str:
    state = hashlib.sha256()
    for layer, inputs in cases:
        outputs = torch.cat([layer.forward(part) for part in inputs.split(batch)])  # type: ignore[no-untyped-call]
        state.update(outputs.numpy().tobytes())
    return state.hexdigest()


def try_kernel(kernel: Kernel) -> str:
    try:
        run_self_test(kernel, torch.device("cpu"))
    except SelfTestError as error:
        return str(error)
    return "exact"


def main() -> None:
    digests, images = {}, {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for batch in (1, 7, 64):
            digests[f"batch {batch}, {threads} threads"] = digest_outputs(make_cases(), batch)
            images[f"batch {batch}, {threads} threads"] = digest_outputs(make_image_cases(), batch)
    kernels = {"shipped": try_kernel(INT8), "saturating": try_kernel(SATURATING)}
    print(json.dumps({"digests": digests, "images": images, **kernels}))


if __name__ == "__main__":
    main()
