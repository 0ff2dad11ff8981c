"""Searched flips hurt more than random ones, each raises the loss, and all are the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from deepring_chain.attacks.bit_search import FoundFlip, flipped_tensors, progressive_flips, random_flips
from deepring_chain.attacks.gradient import weight_gradients
from deepring_chain.attacks.weights import BitFlip, apply_flips, weight_tensors
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.training.evaluate import evaluate_quantised
from tests.unit.attacks.conftest import Victim, bright_quarters

SEEN = bright_quarters(200, 5)


@pytest.mark.parametrize("in_range", [True, False], ids=["within the range", "any bit"])
def test_searched_flips_lower_the_accuracy_and_random_ones_hardly_do(victim: Victim, in_range: bool) -> None:
    found = progressive_flips(victim.model, SEEN, count=12, seed=1, in_range=in_range)
    clean = evaluate_quantised(victim.model, victim.data)
    searched = evaluate_quantised(apply_flips(victim.model, found), victim.data)
    drawn = random_flips(victim.model, 12, 1, in_range=in_range)
    assert searched < clean - 0.3
    assert evaluate_quantised(apply_flips(victim.model, drawn), victim.data) > searched + 0.15
    assert len(set(found)) == 12


def test_every_searched_flip_raises_the_loss_and_is_told_at_once(victim: Victim) -> None:
    told: list[FoundFlip] = []
    found = progressive_flips(victim.model, SEEN, count=5, seed=1, on_flip=told.append)
    assert list(found) == told
    losses = [flip.loss for flip in found]
    assert losses == sorted(set(losses))
    assert found[-1].accuracy < found[0].accuracy <= 1


def test_search_reports_what_the_flipped_model_does(victim: Victim) -> None:
    """The batch is all of the images here, so the accuracy can be had in another way."""
    found = progressive_flips(victim.model, SEEN, count=4, seed=1, batch=200, candidates=2)
    assert evaluate_quantised(apply_flips(victim.model, found), SEEN) == pytest.approx(found[-1].accuracy)


def test_first_flip_is_the_best_of_all_legal_single_flips_of_the_last_layer_or_better(victim: Victim) -> None:
    """Against exhaustive search: one candidate per tensor finds at least what the gradient's own layer has to give."""
    (found,) = progressive_flips(victim.model, SEEN, count=1, seed=1, batch=200, candidates=16)
    size = weight_tensors(victim.model.layers)["layer.3.weight"].numel()
    accuracies = [
        evaluate_quantised(apply_flips(victim.model, [BitFlip("layer.3.weight", 8 * element + 5)]), SEEN)
        for element in range(size)
    ]
    assert found.accuracy <= sorted(accuracies)[2]


def test_flips_within_the_range_leave_it_never_and_others_do(victim: Victim) -> None:
    legal = progressive_flips(victim.model, SEEN, count=8, seed=1)
    assert all(flip.is_in_range for flip in legal)
    model = apply_flips(victim.model, legal)
    limits = [(int(weight.min()), int(weight.max())) for weight in weight_tensors(model.layers).values()]
    assert all(low >= -64 and high <= 63 for low, high in limits)
    free = progressive_flips(victim.model, SEEN, count=2, seed=1, in_range=False)
    assert not any(flip.is_in_range for flip in free)
    assert free[-1].loss > legal[1].loss


def test_flips_depend_on_their_seed_alone_and_leave_the_model_as_it_is(victim: Victim) -> None:
    before = {name: tensor.clone() for name, tensor in weight_tensors(victim.model.layers).items()}
    first, again, other = (progressive_flips(victim.model, SEEN, count=3, seed=seed, batch=20) for seed in (1, 1, 2))
    assert first == again != other
    assert random_flips(victim.model, 9, 1) == random_flips(victim.model, 9, 1) != random_flips(victim.model, 9, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weight_tensors(victim.model.layers).items())


def test_random_flips_are_distinct_and_reach_every_weight_and_bit(victim: Victim) -> None:
    total = 8 * sum(tensor.numel() for tensor in weight_tensors(victim.model.layers).values())
    flips = random_flips(victim.model, total, 3, in_range=False)
    assert len(set(flips)) == total
    assert set(flipped_tensors(flips)) == {"layer.1.weight", "layer.2.weight", "layer.3.weight"}
    apply_flips(victim.model, flips)
    legal = random_flips(victim.model, total * 6 // 8, 3)
    assert set(legal) == {flip for flip in flips if flip.is_in_range}


@pytest.mark.parametrize("count", [-1, 10**6])
def test_more_random_flips_than_bits_are_refused(victim: Victim, count: int) -> None:
    with pytest.raises(ModelError, match=rf"{count} flips: the weights have \d+ such bits"):
        random_flips(victim.model, count, 1)


def test_search_without_images_is_refused(victim: Victim) -> None:
    none = LabeledImages(SEEN.images[:0], SEEN.labels[:0])
    with pytest.raises(ModelError, match="no images to attack with"):
        progressive_flips(victim.model, none, count=1, seed=1)


def test_search_ends_when_no_flip_raises_the_loss(victim: Victim) -> None:
    """All images of one class that a huge bias always finds: nothing that a weight can do matters any more."""
    model = apply_flips(victim.model, [])
    model.layer(3).tensors["bias"].copy_(torch.tensor([2**30, -(2**30), -(2**30), -(2**30)]))
    zeros = LabeledImages(SEEN.images, SEEN.labels * 0)
    assert progressive_flips(model, zeros, count=3, seed=1) == ()


def test_gradient_foretells_what_a_small_change_of_a_weight_does(victim: Victim) -> None:
    """Against the float network itself: the loss's gradient by its weights, in the integer network's steps."""
    x = torch.frombuffer(bytearray(victim.model.card.quantise_input(SEEN.images).data), dtype=torch.int8).view(-1, 4, 4)
    labels = torch.from_numpy((SEEN.labels + 1) % 4).long()  # wrong ones, for gradients well above the rounding
    found = weight_gradients(victim.model, x, labels)
    loss = torch.nn.functional.cross_entropy(victim.network(torch.from_numpy(SEEN.images / 255).float()), labels)
    for index, place in enumerate(("1", "3", "5"), start=1):
        weight = victim.network.get_parameter(f"{place}.weight")
        (expected,) = torch.autograd.grad(loss, weight, retain_graph=True)
        scales = weight.abs().amax(dim=1, keepdim=True) / 63
        mine = found[f"layer.{index}.weight"].T
        torch.testing.assert_close(mine, expected * scales, atol=float(mine.abs().max()) * 0.1, rtol=0.1)
