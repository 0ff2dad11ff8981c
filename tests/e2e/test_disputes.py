"""Liars at both ends of the ring, two at once, a store that loses things: who is blamed, and what is redone.

Every lie at every place, without a chain: tests/unit/actors/test_referee.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Hop, Pointer, QueryId, RingMode
from tests.e2e.incidents import convicted, faults, hops_by_attempt, lose, order, stopped
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for

IMAGES = random_images(2, seed=3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("disputes") / "ring"
    lab = "deepring_chain.attacks"
    with running_ring(path, tiny_model(), host_module=lab) as ring:
        yield ring


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring whose ouroboros waits for a lost blob however long it takes to put it back."""
    path = tmp_path_factory.mktemp("patient") / "ring"
    with running_ring(path, tiny_model(), host_module="tests.e2e.patient_host") as ring:
        yield ring


def ask_with_liars(ring: LiveRing, *liars: tuple[str, Lie]) -> QueryId:
    """One query with liars in the ring; the answer must be right all the same."""
    ring.await_mode(RingMode.QUERY)
    for worker, lie in liars:
        order(ring, worker, lie)
    querent = ring.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == ring.plain_output(IMAGES)
    assert ring.audit().failure is None
    return query


@pytest.mark.parametrize(
    ("lie", "attempts"),
    [
        # Caught by the ledger when hop 1 contradicts hop 0: hop 1 is repeated alone.
        (Lie.PERTURBED_INPUT, {1: [0, 1], 2: [1, 2, 3]}),
        # Caught by hop 2 (or by the ledger at hop 2): hop 1 has to say it anew.
        (Lie.ECHO, {1: [0, 1], 2: [1, 2, 3]}),
        (Lie.BOGUS_NEXT, {1: [0, 1, 2], 2: [1, 2, 3]}),
        # A false complaint about the ouroboros itself.
        (Lie.FALSE_COMPLAINT, {1: [0], 2: [0, 1, 2, 3]}),
    ],
    ids=lambda value: value.value if isinstance(value, Lie) else "redone",
)
def test_lying_first_worker_is_convicted_alone(lab: LiveRing, lie: Lie, attempts: dict[int, list[int]]) -> None:
    query = ask_with_liars(lab, ("worker-1", lie))
    assert faults(lab, query) == convicted(1)
    assert hops_by_attempt(lab, query) == attempts


@pytest.mark.parametrize(
    ("lie", "attempts"),
    [
        (Lie.PERTURBED_INPUT, {1: [0, 1, 2, 3], 2: [3]}),
        # The ouroboros, as the last recipient, complains or contradicts.
        (Lie.ECHO, {1: [0, 1, 2, 3], 2: [3]}),
        (Lie.BOGUS_NEXT, {1: [0, 1, 2, 3], 2: [3]}),
        (Lie.MISSING_BLOB, {1: [0, 1, 2, 3], 2: [3]}),
        (Lie.FALSE_COMPLAINT, {1: [0, 1, 2], 2: [2, 3]}),
    ],
    ids=lambda value: value.value if isinstance(value, Lie) else "redone",
)
def test_lying_last_worker_is_convicted_alone_and_only_its_hop_is_repeated(
    lab: LiveRing, lie: Lie, attempts: dict[int, list[int]]
) -> None:
    query = ask_with_liars(lab, ("worker-3", lie))
    assert faults(lab, query) == convicted(3)
    assert hops_by_attempt(lab, query) == attempts


def test_two_liars_in_one_query_are_both_convicted_and_nobody_else(lab: LiveRing) -> None:
    query = ask_with_liars(lab, ("worker-1", Lie.BOGUS_NEXT), ("worker-3", Lie.ECHO))
    assert faults(lab, query) == convicted(1, 3)


def test_neighbors_that_both_lie_are_both_convicted(lab: LiveRing) -> None:
    """The first sends its neighbor another tensor than it committed to; the neighbor, asked again, does as well."""
    query = ask_with_liars(lab, ("worker-1", Lie.ECHO), ("worker-2", Lie.GARBAGE_KEY))
    assert faults(lab, query) == convicted(1, 2)


def test_neighbors_on_one_edge_are_both_convicted_by_one_verdict(lab: LiveRing) -> None:
    """Hop 1 frames hop 2, and hop 2 computes on something else: eq. 13 fails once, for two reasons."""
    query = ask_with_liars(lab, ("worker-1", Lie.BOGUS_NEXT), ("worker-2", Lie.PERTURBED_INPUT))
    assert faults(lab, query) == convicted(1, 2)
    assert lab.session(query).attempt == 2


def sent_by_worker_1(ring: LiveRing, query: QueryId) -> Pointer:
    session = ring.await_session(query, lambda session: session.next_hop == 2)
    return session.updates[Hop(1)].signed.update.envelope


def test_envelope_that_the_store_lost_is_put_back_and_nobody_is_convicted(patient: LiveRing) -> None:
    patient.await_mode(RingMode.QUERY)
    querent = patient.querent()
    with stopped(patient, "worker-2"):
        query = querent.submit(IMAGES)
        lose(patient, sent_by_worker_1(patient, query))
    assert wait_for(querent, query).output == patient.plain_output(IMAGES)
    assert faults(patient, query) == [(Hop(2), FaultKind.UNSETTLED)]
    assert hops_by_attempt(patient, query) == {1: [0, 1], 2: [2, 3]}
    assert patient.audit().failure is None


def test_envelope_that_the_store_lost_while_its_sender_was_dead_is_made_again(lab: LiveRing) -> None:
    """Nobody but its sender can bring it back: the one who cannot say is taken for the one who did not send."""
    lab.await_mode(RingMode.QUERY)
    querent = lab.querent()
    with stopped(lab, "worker-2"):
        query = querent.submit(IMAGES)
        pointer = sent_by_worker_1(lab, query)
        lab.kill("worker-1")
        lose(lab, pointer)
    lab.await_session(query, lambda session: bool(session.faults))
    assert faults(lab, query) == convicted(1)
    lab.start("worker-1")
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert hops_by_attempt(lab, query) == {1: [0, 1], 2: [1, 2, 3]}
    assert lab.audit().failure is None
