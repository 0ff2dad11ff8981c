"""kill -9 while a query is disputed or a block restored: it ends well all the same, and nobody signs twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.update import decode_signed_update
from deepring_chain.types import QueryId, QueryPhase, RingMode, SignedUpdate
from tests.e2e.incidents import (
    arrange,
    await_restored,
    convicted,
    events_since,
    faults,
    flip_in_memory,
    height,
    order,
    reports_since,
)
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for

IMAGES = random_images(2, seed=8)


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, armed: Path) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("dispute-kills") / "ring"
    with running_ring(path, tiny_model(), faults=armed, arrange_every=100) as live:
        yield live


def posted(ring: LiveRing, query: QueryId) -> list[SignedUpdate]:
    history = events_since(ring, ring.deployment.first_block - 1)
    updates = [event.signed for event in history if isinstance(event, UpdatePosted)]
    return [signed for signed in updates if signed.update.query == query]


def signed_by(ring: LiveRing, name: str, query: QueryId) -> list[SignedUpdate]:
    journal = ring.journal(name)
    records = [journal.read(key) for key in journal.keys(f"update/{query}/")]
    journal.close()
    return [decode_signed_update(record) for record in records if record is not None]


def assert_nobody_signed_twice(ring: LiveRing, query: QueryId) -> None:
    """Each place (attempt, hop) is on the ledger once, and in one journal once, as the very same update."""
    on_ledger = posted(ring, query)
    in_journals = [signed for name in ring.names for signed in signed_by(ring, name, query)]
    for updates in (on_ledger, in_journals):
        places = Counter((signed.update.attempt, signed.update.hop) for signed in updates)
        assert set(places.values()) == {1}
    assert {signed.signature for signed in on_ledger} == {signed.signature for signed in in_journals}


def die_and_start_again(ring: LiveRing, name: str) -> None:
    assert ring.await_state(name, "exited").code == -9
    ring.start(name)


def ask_with_liar_and_kill(ring: LiveRing, armed: Path, liar: str, lie: Lie, name: str, place: str) -> QueryId:
    """A query with a liar, in which another fault kills an actor at a place; it is answered right all the same."""
    ring.await_mode(RingMode.QUERY)
    order(ring, liar, lie)
    (armed / f"{name} {place}").touch()
    querent = ring.querent()
    query = querent.submit(IMAGES)
    die_and_start_again(ring, name)
    assert wait_for(querent, query).output == ring.plain_output(IMAGES)
    assert not list(armed.iterdir())
    assert_nobody_signed_twice(ring, query)
    assert ring.audit().failure is None
    return query


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("worker-2", "LedgerClient.post after"),  # the sender, with its lie on the ledger
        ("worker-3", "Journal.record_once after"),  # the receiver, its note opened or its complaint signed
        ("worker-3", "LedgerClient.complain before"),
        ("worker-3", "LedgerClient.complain after"),
        ("ouroboros", "LedgerClient.judge before"),  # verdict signed, evidence stored
        ("ouroboros", "LedgerClient.judge after"),
        ("ouroboros", "LedgerClient.arrange before"),
        ("ouroboros", "LedgerClient.arrange after"),
        ("ouroboros", "LedgerClient.attest before"),
        ("worker-1", "ContentStore.leave before"),  # uninvolved, when the ring attests anew
        ("worker-1", "ContentStore.leave after"),
        ("ouroboros", "LedgerClient.resume_route before"),
        ("ouroboros", "LedgerClient.resume_route after"),
    ],
)
def test_kill_in_a_disputed_query_changes_nothing(ring: LiveRing, armed: Path, name: str, place: str) -> None:
    """Worker 2 sends worker 3 another tensor than it committed to."""
    query = ask_with_liar_and_kill(ring, armed, "worker-2", Lie.ECHO, name, place)
    assert faults(ring, query) == convicted(2)


@pytest.mark.parametrize(
    ("liar", "lie", "name", "place", "guilty"),
    [
        # The receiver of a contradiction, its lie on the ledger.
        ("worker-2", Lie.PERTURBED_INPUT, "worker-2", "LedgerClient.post after", 2),
        # The honest neighbor that was framed, before it contradicts and after it.
        ("worker-1", Lie.BOGUS_NEXT, "worker-2", "LedgerClient.post before", 1),
        ("worker-1", Lie.BOGUS_NEXT, "worker-2", "LedgerClient.post after", 1),
        # The last edge, on which the ouroboros is the recipient.
        ("worker-3", Lie.GARBAGE_KEY, "ouroboros", "LedgerClient.complain before", 3),
        ("worker-3", Lie.GARBAGE_KEY, "ouroboros", "LedgerClient.complain after", 3),
        ("worker-3", Lie.BOGUS_NEXT, "ouroboros", "LedgerClient.deliver before", 3),
        ("worker-3", Lie.BOGUS_NEXT, "ouroboros", "LedgerClient.deliver after", 3),
    ],
)
def test_kill_on_any_edge_convicts_the_liar_alone(
    ring: LiveRing, armed: Path, liar: str, lie: Lie, name: str, place: str, guilty: int
) -> None:
    query = ask_with_liar_and_kill(ring, armed, liar, lie, name, place)
    assert faults(ring, query) == convicted(guilty)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("ouroboros", "LedgerClient.order_restore before"),  # challenge drawn, parameters sealed
        ("ouroboros", "LedgerClient.order_restore after"),
        ("worker-2", "Block.restore before"),  # comes back with the good parameters of its file
        ("worker-2", "Block.restore after"),  # nothing but its journal knows any more what had changed
        ("worker-2", "LedgerClient.report_restore before"),
        ("worker-2", "LedgerClient.report_restore after"),  # restored and reported, not attested
    ],
)
def test_kill_while_a_block_is_restored_changes_nothing(ring: LiveRing, armed: Path, name: str, place: str) -> None:
    ring.await_mode(RingMode.QUERY)
    block = height(ring)
    flip_in_memory(ring, "worker-2", "layer.3.weight", 21)
    (armed / f"{name} {place}").touch()
    arrange(ring)
    die_and_start_again(ring, name)
    await_restored(ring, block, 0)
    assert reports_since(ring, block) == {("worker-2", "layer.3.weight")}
    assert ring.ask(IMAGES).output == ring.plain_output(IMAGES)
    assert ring.audit().failure is None


def test_all_actors_killed_in_a_disputed_query_and_started_again_end_it_well(ring: LiveRing, armed: Path) -> None:
    ring.await_mode(RingMode.QUERY)
    order(ring, "worker-2", Lie.ECHO)
    (armed / "ouroboros LedgerClient.judge before").touch()
    querent = ring.querent()
    query = querent.submit(IMAGES)
    ring.await_state("ouroboros", "exited")
    assert ring.session(query).phase is QueryPhase.DISPUTED
    ring.kill("worker-1", "worker-2", "worker-3")
    ring.start(*ring.names)
    assert wait_for(querent, query).output == ring.plain_output(IMAGES)
    assert faults(ring, query) == convicted(2)
    assert_nobody_signed_twice(ring, query)
    assert ring.audit().failure is None
