"""One standby per layer: who does not answer, does not attest or lies is replaced, and the query goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Hop, RingMode
from tests.e2e.incidents import PATIENCE, arrange, await_that, convicted, faults, hops_by_attempt, order, stopped
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for

IMAGES = random_images(2, seed=4)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("standbys") / "ring"
    lab, deadlines = "deepring_chain.attacks", Deadlines(5, 120)
    with running_ring(path, tiny_model(), host_module=lab, arrange_every=100, standbys=1, deadlines=deadlines) as ring:
        yield ring


def seated(ring: LiveRing, layer: int) -> str:
    """The name of the worker of a layer that is in the ring now."""
    current = ring.state().arrangement
    assert current is not None
    (name,) = [
        entry.name
        for entry in ring.folder.load_config().workers
        if entry.layer == layer and entry.address in current.arranged.seats
    ]
    return name


def other(name: str) -> str:
    """The other candidate for a layer."""
    return name.removesuffix("-standby-1") if name.endswith("-standby-1") else f"{name}-standby-1"


def test_first_choices_are_seated_while_nobody_fails(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY, PATIENCE)
    assert [seated(lab, layer) for layer in (1, 2, 3)] == ["worker-1", "worker-2", "worker-3"]


def test_convicted_liar_is_replaced_and_the_hop_before_seals_its_envelope_anew(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY, PATIENCE)
    liar = seated(lab, 1)
    order(lab, liar, Lie.PERTURBED_INPUT)
    querent = lab.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert faults(lab, query) == convicted(1)
    assert seated(lab, 1) == other(liar)
    # The ouroboros's envelope was sealed to the liar: hop 0 is made again, as it has another reader now.
    assert hops_by_attempt(lab, query) == {1: [0, 1], 2: [0, 1, 2, 3]}
    assert lab.audit().failure is None


def test_dead_worker_times_out_and_its_standby_takes_over(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY, PATIENCE)
    dead = seated(lab, 3)
    lab.kill(dead)
    querent = lab.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert faults(lab, query) == [(Hop(3), FaultKind.SILENT)]
    assert seated(lab, 3) == other(dead)
    assert hops_by_attempt(lab, query) == {1: [0, 1, 2], 2: [2, 3]}
    assert lab.audit().failure is None
    lab.start(dead)


def test_worker_that_never_attests_is_replaced(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY, PATIENCE)
    silent = seated(lab, 2)
    with stopped(lab, silent):
        arrange(lab)
        await_that(lambda: lab.client().mode() is not RingMode.QUERY, "a new arrangement")
        query = lab.querent().submit(IMAGES)
        assert wait_for(lab.querent(), query).output == lab.plain_output(IMAGES)
        assert seated(lab, 2) == other(silent)
    assert lab.session(query).attempt == 1
    assert lab.audit().failure is None
