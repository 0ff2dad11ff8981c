"""Copies with other weights: right where asked, apart from the original, and exact for all 256 values of a byte."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from deepring_chain.attacks.weights import WIDE_KERNEL, BitFlip, apply_flips, copy_model, weight_tensors, with_weight
from deepring_chain.errors import ModelError
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.kernels import INT8, Kernel
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.self_test import run_self_test
from deepring_chain.types import TensorBytes
from tests.unit.attacks.conftest import Victim

CPU = torch.device("cpu")


def weights_of(model: QuantisedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in weight_tensors(model.layers).items()}


def kernels(model: QuantisedModel) -> set[Kernel]:
    dense = [layer for layer in model.layers if isinstance(layer, DenseLayer)]
    assert len(dense) == len(model.layers)
    return {layer.kernel for layer in dense}


def answers(victim: Victim, model: QuantisedModel) -> bytes:
    return bytes(model.run(model.card.quantise_input(victim.data.images[:20])).data)


def test_copy_answers_the_same_from_memory_of_its_own(victim: Victim) -> None:
    copied = copy_model(victim.model)
    expected = answers(victim, victim.model)
    assert answers(victim, copied) == expected
    for tensor in weight_tensors(copied.layers).values():
        tensor.zero_()
    assert answers(victim, copied) != expected
    assert answers(victim, victim.model) == expected


def test_flip_changes_one_bit_of_one_weight_of_a_copy(victim: Victim) -> None:
    before = weights_of(victim.model)
    flipped = weights_of(apply_flips(victim.model, [BitFlip("layer.2.weight", 8 * 10 + 5)]))
    assert torch.equal(flipped["layer.1.weight"], before["layer.1.weight"])
    changed = flipped["layer.2.weight"].view(-1).long() - before["layer.2.weight"].view(-1).long()
    assert changed.nonzero().tolist() == [[10]]
    assert abs(int(changed[10])) == 32
    assert all(torch.equal(tensor, before[name]) for name, tensor in weight_tensors(victim.model.layers).items())


def test_bit_flipped_twice_is_as_it_was(victim: Victim) -> None:
    flips = [BitFlip("layer.1.weight", 3), BitFlip("layer.3.weight", 9), BitFlip("layer.1.weight", 3)]
    twice = weights_of(apply_flips(victim.model, flips))
    once = weights_of(apply_flips(victim.model, flips[1:2]))
    assert all(torch.equal(twice[name], once[name]) for name in once)


@pytest.mark.parametrize("bit", range(8))
def test_bits_zero_to_five_and_no_others_keep_every_legal_weight_legal(bit: int) -> None:
    legal = torch.arange(-64, 64).to(torch.int8)
    flipped = (legal.view(torch.uint8) ^ (1 << bit)).view(torch.int8)
    stay = (flipped >= -64) & (flipped <= 63)
    assert bool(stay.all()) == BitFlip("layer.1.weight", bit).is_in_range == bool(stay.any())


def test_parts_of_a_flip_are_read_from_its_name_and_number() -> None:
    flip = BitFlip("layer.12.inner.0.weight", 8 * 7 + 6)
    assert (flip.layer, flip.element, str(flip)) == (12, 7, "layer.12.inner.0.weight[7] bit 6")


@pytest.mark.parametrize(
    ("flip", "reason"),
    [
        (BitFlip("layer.1.bias", 0), r"no weight layer.1.bias; there are layer.1.weight, "),
        (BitFlip("layer.9.weight", 0), r"no weight layer.9.weight"),
        (BitFlip("layer.3.weight", 8 * 64), r"no bit 512, it has 512"),
        (BitFlip("layer.3.weight", -1), r"no bit -1"),
    ],
)
def test_flip_of_what_is_not_there_is_refused(victim: Victim, flip: BitFlip, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        apply_flips(victim.model, [flip])


def test_weight_is_replaced_in_a_copy(victim: Victim) -> None:
    before = answers(victim, victim.model)
    weight = victim.model.layer(2).tensors["weight"].flip(0)
    changed = with_weight(victim.model, 2, weight)
    assert torch.equal(changed.layer(2).tensors["weight"], weight)
    assert answers(victim, changed) != before == answers(victim, victim.model)


@pytest.mark.parametrize("weight", [torch.zeros(3, 3, dtype=torch.int8), torch.zeros(24, 16)])
def test_weight_of_another_shape_or_dtype_is_refused(victim: Victim, weight: torch.Tensor) -> None:
    with pytest.raises(ModelError, match=r"weight layer.2.weight: .* expected int8 \[24, 16\]"):
        with_weight(victim.model, 2, weight)


def test_layer_or_weight_that_is_not_there_is_refused(victim: Victim) -> None:
    with pytest.raises(ModelError, match="no layer 4"):
        with_weight(victim.model, 4, torch.zeros(1, 1, dtype=torch.int8))
    with pytest.raises(ModelError, match=r"no weight layer.0.weight"):
        with_weight(victim.model, 0, torch.zeros(1, 1, dtype=torch.int8))


def test_wide_kernel_is_exact_for_eight_bit_weights() -> None:
    run_self_test(WIDE_KERNEL, CPU)


def test_wide_kernel_is_exact_where_plain_products_of_eight_bit_weights_saturate() -> None:
    """On a CPU without VNNI; the same check refuses the plain kernel there, so it would see a difference."""
    code = (
        "import sys, torch; from dataclasses import replace\n"
        "from deepring_chain.attacks.weights import WIDE_KERNEL\n"
        "from deepring_chain.model.kernels import int8_matmul\n"
        "from deepring_chain.model.self_test import SelfTestError, run_self_test\n"
        "run_self_test(WIDE_KERNEL, torch.device('cpu'))\n"
        "try:\n    run_self_test(replace(WIDE_KERNEL, matmul=int8_matmul), torch.device('cpu'))\n"
        "except SelfTestError:\n    print('saturates')\n"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "saturates\n"), done.stderr


def test_wide_kernel_gives_what_int64_gives_for_all_bytes() -> None:
    a = torch.randint(-128, 128, (5, 256), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    w = torch.stack([torch.arange(-128, 128), torch.arange(127, -129, -1), torch.full((256,), -128)], 1)
    assert torch.equal(WIDE_KERNEL.matmul(a, w.to(torch.int8)).long(), a.long() @ w)


def test_model_with_an_illegal_weight_is_computed_exactly_and_one_without_as_before(victim: Victim) -> None:
    flips = [BitFlip("layer.1.weight", 8 * element + 7) for element in range(384)]
    attacked = apply_flips(victim.model, flips)
    assert kernels(attacked) == {WIDE_KERNEL}
    assert kernels(apply_flips(victim.model, [BitFlip("layer.1.weight", 5)])) == {INT8}
    x = victim.model.card.quantise_input(victim.data.images[:7])
    first = attacked.layer(1)
    acc = (
        torch.frombuffer(bytearray(x.data), dtype=torch.int8).view(7, -1).long() - first.attributes["input_zero_point"]
    )
    acc = acc @ first.tensors["weight"].long() + first.tensors["bias"]
    scaled = (acc * first.tensors["multiplier"] + (1 << first.tensors["shift"].long() - 1)) >> first.tensors["shift"]
    zero = first.attributes["output_zero_point"]
    expected = (scaled + zero).clamp(zero, 127).to(torch.int8)
    output = first.forward(torch.frombuffer(bytearray(x.data), dtype=torch.int8).view(x.shape))
    assert TensorBytes("int8", tuple(output.shape), output.numpy().tobytes()).data == expected.numpy().tobytes()
