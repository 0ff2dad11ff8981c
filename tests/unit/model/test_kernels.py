"""The kernels are exact wherever the self-test passes, and the self-test finds those that are not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepring_chain.model.kernels import CUDA_MULTIPLE, CUDA_ROWS, INT8, Kernel, _padded_matmul, int8_matmul
from deepring_chain.model.layer import Part
from deepring_chain.model.self_test import SelfTestError, run_self_test
from tests.unit.model.image_reference import item
from tests.unit.model.image_tools import small_conv, small_residual
from tests.unit.model.isa_child import make_cases, make_image_cases, make_image_specs
from tests.unit.model.model_tools import small_layer

ROOT = Path(__file__).parents[3]
CHILD = [sys.executable, "-m", "tests.unit.model.isa_child"]
LEVELS = ["DEFAULT", "AVX512_CORE", "AVX2", "SSE41"]
CPU = torch.device("cpu")


@cache
def run_under(level: str) -> dict[str, Any]:
    # Waiting threads that spin make two threads many times slower than one where the cores are busy.
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": level, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(CHILD, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def reference_digest() -> str:
    """The same layers in numpy int64, which no kernel touches."""
    state = hashlib.sha256()
    for layer, inputs in make_cases():
        real = inputs.numpy().astype(np.int64) - layer.input_zero_point
        acc = real @ layer.weight.numpy().astype(np.int64) + layer.bias.numpy()
        shift = layer.shift.numpy().astype(np.int64)
        y = (acc * layer.multiplier.numpy() + (1 << (shift - 1))) >> shift
        state.update(np.clip(y, 0, 2**31 - 1).astype("<i4").tobytes())
    return state.hexdigest()


@pytest.mark.parametrize("level", LEVELS)
def test_layers_give_the_reference_bytes_for_every_batch_and_thread_count(level: str) -> None:
    digests = run_under(level)["digests"]
    assert len(digests) == 6
    assert set(digests.values()) == {reference_digest()}, digests


@cache
def reference_image_digest() -> str:
    """The same layers of images in plain integers, window by window."""
    state = hashlib.sha256()
    for spec, (_, inputs) in zip(make_image_specs(), make_image_cases(), strict=True):
        expected = [item(spec, image) for image in inputs.tolist()]
        state.update(np.array(expected, np.int8).tobytes())
    return state.hexdigest()


@pytest.mark.parametrize("level", LEVELS)
def test_layers_of_images_give_the_reference_bytes_for_every_batch_and_thread_count(level: str) -> None:
    digests = run_under(level)["images"]
    assert len(digests) == 6
    assert set(digests.values()) == {reference_image_digest()}, digests


@pytest.mark.parametrize("level", LEVELS)
def test_self_test_passes_with_the_shipped_kernel(level: str) -> None:
    assert run_under(level)["shipped"] == "exact"


def test_self_test_rejects_8_bit_weights_without_vnni() -> None:
    message = run_under("SSE41")["saturating"]
    assert "kernel '8-bit weights' is not exact on cpu" in message
    assert "difference" in message


def saturating_pairs(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """What a CPU without VNNI does: unsigned inputs, pairs of products added in 16 bits."""
    unsigned = a.to(torch.int32) + 128
    products = unsigned[:, :, None] * w.to(torch.int32)[None]
    if products.shape[1] % 2:
        products = torch.nn.functional.pad(products, (0, 0, 0, 1))
    pairs = (products[:, 0::2] + products[:, 1::2]).clamp(-(2**15), 2**15 - 1)
    return (pairs.sum(1) - 128 * w.to(torch.int32).sum(0)).to(torch.int32)


SMALL_SIZES = ((1, 9, 1), (3, 63, 5), (2, 64, 4))


def test_self_test_finds_simulated_saturation_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepring_chain.model.self_test.SIZES", SMALL_SIZES)
    run_self_test(Kernel("simulated, 7 bits", saturating_pairs, -64, 63), CPU)
    with pytest.raises(SelfTestError, match=r"simulated, 8 bits.*cpu.*difference"):
        run_self_test(Kernel("simulated, 8 bits", saturating_pairs, -128, 127), CPU)


def drop_last(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(a, w) if a.shape[1] % 8 == 0 else torch._int_mm(a[:, :-1].contiguous(), w[:-1])


def swap_rows(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(a, w).flip(0)


def through_float16(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return int8_matmul(a, w).to(torch.float16).to(torch.int32)


def wrong_dtype(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return int8_matmul(a, w).to(torch.int64)


@pytest.mark.parametrize("defect", [drop_last, swap_rows, through_float16, wrong_dtype])
def test_self_test_rejects_a_defective_kernel(defect: Any) -> None:
    with pytest.raises(SelfTestError, match="broken"):
        run_self_test(Kernel("broken", defect, -64, 63), CPU)


def test_operand_with_degenerate_strides_gives_the_exact_product() -> None:
    """A [1, K] view may carry any stride; the library's product reads beyond it."""
    row = torch.arange(100, dtype=torch.int8)[:, None].T
    column = torch.as_strided(torch.full((1000,), 3, dtype=torch.int8), (100, 1), (1, 7))
    assert row.stride() == (1, 1)
    assert int8_matmul(row, column).tolist() == [[3 * 4950]]
    assert int8_matmul(row, torch.full((100, 9), 2, dtype=torch.int8)).tolist() == [[2 * 4950] * 9]


@pytest.mark.parametrize("size", [(1, 1, 1), (16, 8, 8), (17, 9, 10), (33, 784, 3)])
def test_padding_to_the_sizes_of_cuda_changes_nothing(size: tuple[int, int, int]) -> None:
    rows, inner, columns = size
    generator = torch.Generator().manual_seed(5)
    a = torch.randint(-128, 128, (rows, inner), generator=generator).to(torch.int8)
    w = torch.randint(-64, 64, (inner, columns), generator=generator).to(torch.int8)
    product = _padded_matmul(a, w, CUDA_ROWS, CUDA_MULTIPLE)
    assert torch.equal(product, a.to(torch.int32) @ w.to(torch.int32))


@pytest.mark.parametrize("batch", [1, 5])
def test_layers_of_images_are_the_same_with_the_padding_of_cuda(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every product takes the way that it takes on a CUDA device, with the sizes that `torch._int_mm` takes there."""
    expected = [layer.forward(inputs[:batch]) for layer, inputs in make_image_cases()]
    sizes: list[tuple[int, int, int]] = []

    def product(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        sizes.append((*a.shape, w.shape[1]))
        return int_mm(a, w)

    int_mm = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", product)
    padded = replace_kernels(make_image_cases(), lambda a, w: _padded_matmul(a, w, CUDA_ROWS, CUDA_MULTIPLE))
    found = [layer.forward(inputs[:batch]) for layer, inputs in padded]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert len(sizes) >= 2 * len(found)
    assert all(m >= CUDA_ROWS and k % CUDA_MULTIPLE == 0 and n % CUDA_MULTIPLE == 0 for m, k, n in sizes)


def replace_kernels(cases: Any, matmul: Any) -> list[tuple[Any, torch.Tensor]]:
    """The same layers with another matrix product, in a residual block's parts too."""
    return [(with_kernel(layer, Kernel("other", matmul, -64, 63)), inputs) for layer, inputs in cases]


def with_kernel(value: Any, kernel: Kernel) -> Any:
    if isinstance(value, tuple):
        return tuple(with_kernel(part, kernel) for part in value)
    if not isinstance(value, Part):
        return kernel if isinstance(value, Kernel) else value
    return replace(value, **{each.name: with_kernel(getattr(value, each.name), kernel) for each in fields(value)})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_bytes_of_the_cpu() -> None:
    device = torch.device("cuda")
    run_self_test(INT8, device)
    for layer, inputs in (*make_cases(), *make_image_cases()):
        for batch in (1, 7, 64):
            there = layer.to(device).forward(inputs[:batch].to(device)).cpu()
            assert torch.equal(there, layer.forward(inputs[:batch]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_layer_has_the_content_of_the_cpu_layer() -> None:
    for layer in (small_layer(), small_conv(), small_residual()):
        there = layer.to(torch.device("cuda"))
        assert {tensor.device.type for tensor in there.tensors.values()} == {"cuda"}
        assert there.content().header == layer.content().header
        assert [bytes(view) for view in there.content().tensors] == [bytes(view) for view in layer.content().tensors]
