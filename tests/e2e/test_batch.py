"""Batched settlement on live rings: the same answers, trail, blame and audit as hop by hop, and nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.protocol.events import AnswerDelivered, UpdatePosted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Address, Digest, Hop, QueryId, QueryPhase, RingMode
from tests.chain.clock import Clock
from tests.e2e.incidents import convicted, faults, hops_by_attempt, order, stopped
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

HOP_SECONDS = 6


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trouble")


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory, trouble: Path) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("batch") / "ring"
    with running_ring(path, tiny_model(), faults=trouble, relay=True, arrange_every=100) as live:
        live.await_mode(RingMode.QUERY)  # a worker that a test stops before would keep the ring attesting
        yield live


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A ring whose actors soon settle what stands still. The ledger's clock stands still: nobody is late for it."""
    path = tmp_path_factory.mktemp("hasty") / "ring"
    deadlines = Deadlines(HOP_SECONDS, 60)
    with running_ring(path, tiny_model(), deadlines=deadlines, relay=True, arrange_every=100) as live:
        live.await_mode(RingMode.QUERY)
        Clock(connect(live.devnet.url)).stop()
        yield live


def images_of(number: int) -> NDArray[np.uint8]:
    return random_images(2, seed=number)


def entries(ring: LiveRing, query: QueryId) -> list[tuple[Hop | None, Digest]]:
    """Each hop and the answer (None) of a query, with the transaction that it came in."""
    client = ring.client()
    found: list[tuple[Hop | None, Digest]] = []
    for logged in client.events(ring.deployment.first_block, client.head().number):
        match logged.event:
            case UpdatePosted() as event if event.signed.update.query == query:
                found.append((event.signed.update.hop, logged.transaction_hash))
            case AnswerDelivered() as event if event.query == query:
                found.append((None, logged.transaction_hash))
    return found


def carrier(ring: LiveRing, transaction: Digest) -> Address:
    """Who sent a transaction."""
    return Address(ring.client().web3.eth.get_transaction(transaction)["from"])  # type: ignore[arg-type]


def assert_whole(ring: LiveRing, query: QueryId, number: int) -> list[Digest]:
    """The answer is right, each hop is on the trail once, and the audit passes; the transactions it took."""
    assert wait_for(ring.querent(), query).output == ring.plain_output(images_of(number))
    found = entries(ring, query)
    assert [hop for hop, _ in found] == [0, 1, 2, 3, None]
    assert ring.audit().failure is None
    return [transaction for _, transaction in found]


def test_whole_query_is_settled_in_one_transaction_of_the_ouroboros(ring: LiveRing) -> None:
    query = ring.querent().submit(images_of(1))
    transactions = assert_whole(ring, query, 1)
    assert len(set(transactions)) == 1
    assert carrier(ring, transactions[0]) == ring.client().ouroboros


def test_queries_side_by_side_share_transactions(ring: LiveRing) -> None:
    querent = ring.querent()
    with stopped(ring, "worker-1"):  # else the first may be settled before the last is asked
        queries = [querent.submit(images_of(number)) for number in range(8)]
        wait_until(lambda: all(ring.session(query).phase is QueryPhase.ROUTED for query in queries), "all are routed")
    used: Counter[Digest] = Counter()
    for number, query in enumerate(queries):
        used.update(set(assert_whole(ring, query, number)))
    assert sum(used.values()) == len(queries)
    assert len(used) < len(queries)


@pytest.mark.parametrize(
    ("actor", "place"),
    [
        ("worker-2", "RelayClient.send before"),  # signed and in the journal, not handed in
        ("worker-2", "RelayClient.send after"),  # handed in, and it does not know
        ("ouroboros", "Relay.take after"),  # relayed, not settled
        ("ouroboros", "LedgerClient.settle before"),  # all computed, nothing settled
        ("ouroboros", "LedgerClient.settle after"),  # settled, and it does not know
    ],
)
def test_kill_between_signing_and_settling_loses_nothing(ring: LiveRing, trouble: Path, actor: str, place: str) -> None:
    (trouble / f"{actor} {place}").touch()
    query = ring.querent().submit(images_of(2))
    assert ring.await_state(actor, "exited").code == -9
    ring.start(actor)
    assert_whole(ring, query, 2)


def relayed(ring: LiveRing, query: QueryId) -> int:
    """How many hops of a query the relay has taken in and not settled."""
    journal = ring.journal("ouroboros")
    found = len(journal.keys(f"relayed/{query}/"))
    journal.close()
    return found


def test_relay_that_does_not_answer_is_passed_by(hasty: LiveRing) -> None:
    """Without the ouroboros the workers bring what was relayed to the ledger; it delivers when it is back."""
    with ExitStack() as later:
        worker = later.enter_context(ExitStack())
        worker.enter_context(stopped(hasty, "worker-2"))
        query = hasty.querent().submit(images_of(3))
        # A hop that takes its signer long to hand in goes past the relay.
        wait_until(lambda: relayed(hasty, query) == 2 or hasty.session(query).next_hop == 2, "two hops are in")
        later.enter_context(stopped(hasty, "ouroboros"))
        worker.close()
        hasty.await_session(query, lambda session: session.next_hop == 4)
    transactions = assert_whole(hasty, query, 3)
    # The first two hops it may have settled itself, if they stood still for long before it was stopped.
    assert hasty.client().ouroboros not in {carrier(hasty, transaction) for transaction in transactions[2:-1]}


@pytest.mark.parametrize(
    ("liar", "lie", "attempts"),
    [
        ("worker-1", Lie.PERTURBED_INPUT, {1: [0, 1], 2: [1, 2, 3]}),
        ("worker-2", Lie.ECHO, {1: [0, 1, 2], 2: [2, 3]}),
        ("worker-2", Lie.BOGUS_NEXT, {1: [0, 1, 2, 3], 2: [2, 3]}),
        ("worker-3", Lie.MISSING_BLOB, {1: [0, 1, 2, 3], 2: [3]}),
        ("worker-3", Lie.FALSE_COMPLAINT, {1: [0, 1, 2], 2: [2, 3]}),
    ],
    ids=lambda value: value.value if isinstance(value, Lie) else "",
)
def test_liar_is_convicted_alone_through_the_relay_too(
    ring: LiveRing, liar: str, lie: Lie, attempts: dict[int, list[int]]
) -> None:
    ring.await_mode(RingMode.QUERY)
    order(ring, liar, lie)
    querent = ring.querent()
    query = querent.submit(images_of(4))
    assert wait_for(querent, query).output == ring.plain_output(images_of(4))
    assert faults(ring, query) == convicted(int(liar[-1]))
    assert hops_by_attempt(ring, query) == attempts
    assert ring.audit().failure is None


def test_silent_worker_is_blamed_for_its_own_hop_and_nobody_before_it(hasty: LiveRing) -> None:
    """What was relayed is settled before the silent hop's time runs out: the ledger waits for the right one."""
    hasty.await_mode(RingMode.QUERY)
    querent = hasty.querent()
    with stopped(hasty, "worker-2"):
        query = querent.submit(images_of(5))
        hasty.await_session(query, lambda session: session.next_hop == 2)
        hasty.pass_deadline(HOP_SECONDS)
        hasty.await_session(query, lambda session: bool(session.faults))
    assert wait_for(querent, query).output == hasty.plain_output(images_of(5))
    assert faults(hasty, query) == [(Hop(2), FaultKind.SILENT)]
    assert hasty.audit().failure is None
