"""What comes out of a ring is what the model says, and only the one who asked can read it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepring_chain.actors.querent import QueryFailed
from deepring_chain.crypto.keys import load_keys
from deepring_chain.crypto.sealing import SealBroken
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.protocol.envelope import answer_context, open_content
from deepring_chain.types import Hop, QueryPhase
from tests.e2e.live_ring import PASSWORD, LiveRing, random_images, running_ring, tiny_model, wait_for


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_answer_of_the_shipped_model_is_the_plain_model_bit_for_bit(mnist_ring: LiveRing, batch: int) -> None:
    samples = load_mnist_samples()
    images, labels = samples.images[:batch], samples.labels[:batch]
    result = mnist_ring.ask(images)
    assert result.output == mnist_ring.plain_output(images)
    assert np.mean(result.predictions == labels) >= 0.98
    assert result.probabilities.sum(axis=1) == pytest.approx(np.ones(batch))
    session = mnist_ring.session(result.query)
    assert session.phase is QueryPhase.DELIVERED
    assert sorted(session.updates) == list(range(6))
    report = mnist_ring.audit()
    assert report.failure is None
    assert report.trail.ended[QueryPhase.DELIVERED] >= 1


def test_trail_passes_the_audit_after_many_arrangements(tiny_ring: LiveRing) -> None:
    for seed in range(3):
        images = random_images(2, seed)
        assert tiny_ring.ask(images).output == tiny_ring.plain_output(images)
    report = tiny_ring.audit()
    assert report.failure is None
    assert report.trail.events["RingArranged"] >= 3


def test_queries_of_two_querents_at_once_are_all_answered_right(tiny_ring: LiveRing, tmp_path: Path) -> None:
    askers = [tiny_ring.querent(), tiny_ring.new_querent(tmp_path / "second")]
    asked = []
    for seed in range(6):
        images = random_images(1 + seed, seed)
        asked.append((askers[seed % 2], askers[seed % 2].submit(images), images))
    for querent, query, images in asked:
        assert wait_for(querent, query).output == tiny_ring.plain_output(images)
    assert tiny_ring.audit().failure is None


def test_an_answer_is_refused_to_another_querent_and_its_key_does_not_open_it(
    tiny_ring: LiveRing, tmp_path: Path
) -> None:
    first, second = tiny_ring.querent(), tiny_ring.new_querent(tmp_path / "second")
    query = first.submit(random_images(1))
    wait_for(first, query)
    with pytest.raises(QueryFailed, match="only that account can read the answer") as refused:
        wait_for(second, query)
    assert "\n" not in str(refused.value)
    session = tiny_ring.session(query)
    assert session.answer is not None
    blob = tiny_ring.store().get(session.answer.answer)
    place = answer_context(tiny_ring.client().domain, query, session.sealing_key)
    assert open_content(load_keys(tiny_ring.folder.querent, PASSWORD).sealing, blob, place)
    with pytest.raises(SealBroken):
        open_content(load_keys(tmp_path / "second", PASSWORD).sealing, blob, place)


def test_ring_of_twenty_workers_starts_and_answers(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    images = random_images(3)
    begin = time.monotonic()
    with running_ring(tmp_path / "ring", tiny_model(layers=20)) as ring:
        ready = time.monotonic()
        result = ring.ask(images)
        seconds = f"ring of 20 up after {ready - begin:.1f} s, answer after {time.monotonic() - ready:.1f} s more"
        assert result.output == ring.plain_output(images)
        assert sorted(ring.session(result.query).updates) == [Hop(hop) for hop in range(21)]
    record_property("seconds", seconds)
    print(seconds)


@pytest.mark.ganache
def test_the_same_query_on_ganache_has_the_same_answer_and_a_sound_trail(tmp_path: Path) -> None:
    images = load_mnist_samples().images[:5]
    with running_ring(tmp_path / "ring", shipped_model(), kind="ganache") as ring:
        assert ring.ask(images).output == ring.plain_output(images)
        assert ring.audit().failure is None
