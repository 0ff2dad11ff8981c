"""kill -9 in mid-query, at every point that matters: the query completes, and every hop is on the ledger once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepring_chain.actors.querent import Querent
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.update import decode_signed_update
from deepring_chain.types import QueryId, QueryPhase, SignedUpdate
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> Iterator[LiveRing]:
    with running_ring(tmp_path_factory.mktemp("kills") / "ring", tiny_model(), faults=faults) as live:
        yield live


def posted_updates(ring: LiveRing, query: QueryId) -> list[SignedUpdate]:
    client = ring.client()
    logged = client.events(ring.deployment.first_block, client.head().number)
    updates = [entry.event.signed for entry in logged if isinstance(entry.event, UpdatePosted)]
    return [signed for signed in updates if signed.update.query == query]


def journaled_updates(ring: LiveRing, name: str, query: QueryId) -> list[SignedUpdate]:
    journal = ring.journal(name)
    found = [journal.read(key) for key in journal.keys(f"update/{query}/")]
    journal.close()
    return [decode_signed_update(record) for record in found if record is not None]


def assert_completed(ring: LiveRing, querent: Querent, query: QueryId, images: NDArray[np.uint8]) -> None:
    assert wait_for(querent, query).output == ring.plain_output(images)
    assert [signed.update.hop for signed in posted_updates(ring, query)] == [0, 1, 2, 3]
    assert ring.audit().failure is None


@pytest.mark.parametrize(
    ("actor", "place"),
    [
        ("worker-1", "ContentStore.put after"),  # its envelope is stored, nothing is signed
        ("worker-2", "LedgerClient.post before"),  # signed and in the journal, not posted
        ("worker-3", "LedgerClient.post after"),  # posted and mined, and it does not know
        ("ouroboros", "LedgerClient.open_route before"),  # route drawn, its notes stored
        ("ouroboros", "LedgerClient.open_route after"),
        ("ouroboros", "LedgerClient.post before"),  # hop 0
        ("ouroboros", "LedgerClient.post after"),
        ("ouroboros", "LedgerClient.deliver before"),  # answer sealed and stored
        ("ouroboros", "LedgerClient.deliver after"),
        ("ouroboros", "LedgerClient.arrange before"),  # challenge drawn
        ("ouroboros", "LedgerClient.arrange after"),
        ("ouroboros", "LedgerClient.attest before"),  # all leaves collected
        ("ouroboros", "LedgerClient.attest after"),
        ("worker-2", "ContentStore.leave before"),  # leaf signed
        ("worker-2", "ContentStore.leave after"),
    ],
)
def test_query_completes_after_a_kill(ring: LiveRing, faults: Path, actor: str, place: str) -> None:
    (faults / f"{actor} {place}").touch()
    images = random_images(2, seed=len(place))
    querent = ring.querent()
    query = querent.submit(images)
    assert ring.await_state(actor, "exited").code == -9
    signed = journaled_updates(ring, actor, query)
    ring.start(actor)
    assert_completed(ring, querent, query, images)
    assert all(update in posted_updates(ring, query) for update in signed)


def test_update_that_was_signed_before_the_kill_is_the_one_that_is_posted(ring: LiveRing, faults: Path) -> None:
    (faults / "worker-2 LedgerClient.post before").touch()
    querent = ring.querent()
    query = querent.submit(random_images(1))
    ring.await_state("worker-2", "exited")
    (signed,) = journaled_updates(ring, "worker-2", query)
    assert [update.update.hop for update in posted_updates(ring, query)] == [0, 1]
    ring.start("worker-2")
    wait_for(querent, query)
    assert posted_updates(ring, query)[2] == signed
    assert journaled_updates(ring, "worker-2", query) == [signed]


def test_worker_that_was_killed_before_its_turn_catches_up_from_the_chain(ring: LiveRing) -> None:
    images = random_images(3)
    ring.await_new_arrangement(after=ring.ask(images).query)
    ring.kill("worker-3")  # with nothing to do until its turn
    querent = ring.querent()
    query = querent.submit(images)
    ring.await_session(query, lambda session: session.next_hop == 3)
    ring.start("worker-3")
    assert_completed(ring, querent, query, images)


def test_query_that_was_asked_while_the_ouroboros_was_dead_is_answered(ring: LiveRing) -> None:
    images = random_images(3)
    ring.kill("ouroboros")
    querent = ring.querent()
    query = querent.submit(images)
    assert ring.session(query).phase is QueryPhase.SUBMITTED
    ring.start("ouroboros")
    assert_completed(ring, querent, query, images)


def test_all_workers_killed_at_once_go_on_where_they_were(ring: LiveRing, faults: Path) -> None:
    images = random_images(4)
    workers = [name for name in ring.names if name != "ouroboros"]
    (faults / "worker-2 ContentStore.put after").touch()
    querent = ring.querent()
    query = querent.submit(images)
    ring.await_state("worker-2", "exited")
    ring.kill("worker-1", "worker-3")
    assert ring.session(query).next_hop == 2
    ring.start(*workers)
    assert_completed(ring, querent, query, images)


def test_actors_end_with_their_killed_host_and_a_new_ring_goes_on(ring: LiveRing, faults: Path) -> None:
    images = random_images(4)
    (faults / "worker-3 LedgerClient.post before").touch()
    querent = ring.querent()
    query = querent.submit(images)
    ring.await_state("worker-3", "exited")
    ring.kill_host()
    ring.restart_all(restarts=False)
    assert_completed(ring, querent, query, images)


def test_actor_that_vanishes_is_started_again_by_the_host(ring: LiveRing) -> None:
    ring.restart_all(restarts=True)
    images = random_images(4)
    for name in ("worker-1", "ouroboros"):
        killed = ring.pid(name)
        querent = ring.querent()
        query = querent.submit(images)
        ring.kill(name)
        assert_completed(ring, querent, query, images)
        assert ring.await_state(name, "ready").pid != killed
    ring.restart_all(restarts=False)
