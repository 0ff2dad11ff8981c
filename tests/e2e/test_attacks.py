"""The experiments' attacks on a live ring: the worker is found, blamed and restored, and the answer is untampered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from deepring_chain.attacks.bit_search import random_flips
from deepring_chain.attacks.input_noise import run_with_input_noise
from deepring_chain.attacks.orders import ORDER_FILE, TENSORS_FILE, order_flips, order_input_noise, order_tensors
from deepring_chain.attacks.overwrite import add_weight_noise, overwrite_file
from deepring_chain.attacks.weights import BitFlip, apply_flips, is_legal, weight_tensors, with_weight
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.protocol.session import Session
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import RingMode
from tests.e2e.incidents import (
    await_restored,
    convicted,
    faults,
    flags_since,
    height,
    reports_since,
)
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

VICTIM, LAYER, TENSOR = "worker-2", 2, "layer.2.weight"
IMAGES = random_images(8, seed=5)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("attacks") / "ring"
    with running_ring(path, tiny_model(), host_module="deepring_chain.attacks") as running:
        yield running


def noisy(model: QuantisedModel) -> torch.Tensor:
    return add_weight_noise(model.layer(LAYER).tensors["weight"], 30, seed=3)


def strike(ring: LiveRing, give: Callable[[Path], None]) -> None:
    """Gives the victim an order; it has taken it when this returns."""
    ring.await_mode(RingMode.QUERY)
    folder = ring.folder.path / VICTIM
    give(folder)
    wait_until(lambda: not (folder / ORDER_FILE).exists(), "the order is taken")


def assert_found_restored_and_right(ring: LiveRing, before: int, session: Session) -> None:
    assert faults(ring, session.query) == convicted(LAYER)
    await_restored(ring, before, 1)
    assert reports_since(ring, before) == {(VICTIM, TENSOR)}
    assert False in flags_since(ring, before)
    assert ring.audit().failure is None


def ask(ring: LiveRing) -> Session:
    """One query, whose answer must be the untampered model's."""
    querent = ring.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == ring.plain_output(IMAGES)
    return ring.session(query)


def test_worker_with_noise_on_its_weights_is_found_and_restored_and_the_answer_is_right(ring: LiveRing) -> None:
    attacked = with_weight(ring.model, LAYER, noisy(ring.model))
    assert attacked.run(attacked.card.quantise_input(IMAGES)) != ring.plain_output(IMAGES)
    ring.await_mode(RingMode.QUERY)
    before = height(ring)
    strike(ring, lambda folder: order_tensors(folder, {TENSOR: noisy(ring.model)}))
    assert_found_restored_and_right(ring, before, ask(ring))
    assert not (ring.folder.path / VICTIM / TENSORS_FILE).exists()
    assert not ask(ring).faults


@pytest.mark.parametrize("in_range", [True, False], ids=["legal weights", "illegal weights"])
def test_worker_with_flipped_bits_is_found_and_restored_and_the_answer_is_right(ring: LiveRing, in_range: bool) -> None:
    drawn = random_flips(ring.model, 100, seed=2, in_range=in_range)
    flips = [flip for flip in drawn if flip.layer == LAYER] or [BitFlip(TENSOR, 5)]
    attacked = apply_flips(ring.model, flips)
    assert is_legal(weight_tensors(attacked.layers)[TENSOR]) is in_range
    assert attacked.run(attacked.card.quantise_input(IMAGES)) != ring.plain_output(IMAGES)
    ring.await_mode(RingMode.QUERY)
    before = height(ring)
    strike(ring, lambda folder: order_flips(folder, flips))
    assert_found_restored_and_right(ring, before, ask(ring))


def test_worker_with_a_noisy_input_is_convicted_and_has_nothing_to_restore(ring: LiveRing) -> None:
    inputs = ring.model.card.quantise_input(IMAGES)
    assert run_with_input_noise(ring.model, inputs, LAYER, 40, 7) != ring.plain_output(IMAGES)
    ring.await_mode(RingMode.QUERY)
    before = height(ring)
    strike(ring, lambda folder: order_input_noise(folder, 40, 7))
    session = ask(ring)
    assert faults(ring, session.query) == convicted(LAYER)
    ring.await_new_arrangement(session.query)
    assert reports_since(ring, before) <= {(VICTIM, "nothing")}
    assert ring.audit().failure is None


def test_worker_that_loads_a_file_with_noise_is_found_and_restored(ring: LiveRing) -> None:
    ring.await_mode(RingMode.QUERY)
    before = height(ring)
    overwrite_file(ring.folder.path / VICTIM / PARAMS_FILE, {TENSOR: noisy(ring.model)})
    ring.kill(VICTIM)
    ring.start(VICTIM)
    assert_found_restored_and_right(ring, before, ask(ring))
