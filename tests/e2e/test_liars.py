"""Scripted liars: each is caught, the right one is convicted, no honest worker is, and the answer is right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepring_chain.attacks.orders import MEMORY_LIES, LabOrder, Lie, give_order
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import Hop, RingMode
from tests.chain.clock import Clock
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for

LIAR = "worker-2"
LIAR_HOP = Hop(2)
HOP_SECONDS = 3


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("lab") / "ring"
    deadlines = Deadlines(HOP_SECONDS, 60)
    with running_ring(path, tiny_model(), host_module="deepring_chain.attacks", deadlines=deadlines) as ring:
        Clock(connect(ring.devnet.url)).stop()  # nobody is late, but where a test says so
        yield ring


def ask_with_liar(ring: LiveRing, order: LabOrder) -> Session:
    """One query with a liar in the ring; the answer must be right all the same."""
    ring.await_mode(RingMode.QUERY)
    images = random_images(2, seed=3)
    give_order(ring.folder.path / LIAR, order)
    querent = ring.querent()
    query = querent.submit(images)
    assert wait_for(querent, query).output == ring.plain_output(images)
    assert ring.audit().failure is None
    return ring.session(query)


LIES = [lie for lie in Lie if lie not in {*MEMORY_LIES, Lie.SILENCE}]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.value)
def test_liar_is_convicted_alone_and_the_answer_is_right(lab: LiveRing, lie: Lie) -> None:
    session = ask_with_liar(lab, LabOrder(lie, steps=60.0, seed=1))
    assert [(fault.hop, fault.kind) for fault in session.faults] == [(LIAR_HOP, FaultKind.GUILTY)]
    assert session.attempt == 2


def test_silent_worker_times_out_and_is_asked_again(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    images = random_images(1)
    give_order(lab.folder.path / LIAR, LabOrder(Lie.SILENCE))
    querent = lab.querent()
    query = querent.submit(images)
    lab.await_session(query, lambda session: session.next_hop == LIAR_HOP)
    lab.pass_deadline(HOP_SECONDS)
    lab.await_session(query, lambda session: bool(session.faults))
    give_order(lab.folder.path / LIAR, LabOrder(Lie.FLIP_MEMORY_BIT, "layer.2.weight", 3))
    assert wait_for(querent, query).output == lab.plain_output(images)
    faults = lab.session(query).faults
    assert (faults[0].hop, faults[0].kind) == (LIAR_HOP, FaultKind.SILENT)
