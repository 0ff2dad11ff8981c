"""Deadlines that anyone may call, a ring without its ouroboros, and a querent that gives up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.keys import load_keys
from deepring_chain.protocol.events import HopTimedOut
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Hop, QueryId, QueryPhase, RingMode
from tests.chain.clock import Clock
from tests.e2e.command import Terminal
from tests.e2e.incidents import events_since, faults, hops_by_attempt, order, stopped
from tests.e2e.live_ring import PASSWORD, LiveRing, random_images, running_ring, tiny_model, wait_for

IMAGES = random_images(2, seed=6)
HOP_SECONDS = 4
"""After which the ouroboros asks for a timeout, by its own clock; the ledger's stands still until a test moves it."""
WITHDRAW_SECONDS = 6


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("liveness") / "ring"
    lab, deadlines = "deepring_chain.attacks", Deadlines(HOP_SECONDS, WITHDRAW_SECONDS)
    with running_ring(path, tiny_model(), host_module=lab, arrange_every=100, deadlines=deadlines) as ring:
        Clock(connect(ring.devnet.url)).stop()
        yield ring


@pytest.fixture(scope="module")
def stranger(lab: LiveRing, tmp_path_factory: pytest.TempPathFactory) -> LedgerClient:
    """An account with no part in the ring."""
    folder = tmp_path_factory.mktemp("stranger")
    lab.new_querent(folder)
    return LedgerClient.open(lab.deployment.rpc_url, lab.deployment.ledger, load_keys(folder, PASSWORD).account)


def is_timed_out(lab: LiveRing, client: LedgerClient, query: QueryId) -> bool:
    try:
        client.time_out(query, lab.session(query).state(client.block_time))
    except LedgerReverted as refusal:
        if refusal.name != "DeadlineAhead":
            raise
        return False
    return True


def test_silent_worker_is_timed_out_by_the_ouroboros_and_asked_again(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    order(lab, "worker-2", Lie.SILENCE)
    querent = lab.querent()
    query = querent.submit(IMAGES)
    lab.await_session(query, lambda session: session.next_hop == 2)
    lab.pass_deadline(HOP_SECONDS)
    lab.await_session(query, lambda session: bool(session.faults))
    lab.kill("worker-2")
    lab.start("worker-2")
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert faults(lab, query) == [(Hop(2), FaultKind.SILENT)]
    assert hops_by_attempt(lab, query) == {1: [0, 1], 2: [2, 3]}
    assert lab.audit().failure is None


def test_stranger_may_call_the_timeout_once_the_deadline_is_over_and_not_before(
    lab: LiveRing, stranger: LedgerClient
) -> None:
    """The ouroboros is dead, a worker as well: nobody of the ring is needed to end the attempt."""
    lab.await_mode(RingMode.QUERY)
    querent = lab.querent()
    block = lab.client().head().number
    with stopped(lab, "worker-3"):
        query = querent.submit(IMAGES)
        lab.await_session(query, lambda session: session.next_hop == 3)
        lab.kill("ouroboros")
        assert not is_timed_out(lab, stranger, query)
        lab.pass_deadline(HOP_SECONDS)
        assert is_timed_out(lab, stranger, query)
    assert [event.hop for event in events_since(lab, block) if isinstance(event, HopTimedOut)] == [3]
    assert lab.session(query).phase is QueryPhase.INTERRUPTED
    lab.start("ouroboros")
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert hops_by_attempt(lab, query) == {1: [0, 1, 2], 2: [3]}
    assert lab.audit().failure is None


def test_dead_ouroboros_loses_nothing(lab: LiveRing) -> None:
    """It dies when a query is in the ring and another one waits; both are answered after its return."""
    lab.await_mode(RingMode.QUERY)
    querent = lab.querent()
    with stopped(lab, "worker-2"):
        query = querent.submit(IMAGES)
        lab.await_session(query, lambda session: session.next_hop == 2)
        lab.kill("ouroboros")
        waiting = querent.submit(IMAGES[:1])
    lab.await_session(query, lambda session: session.phase is QueryPhase.COMPUTED)
    assert lab.session(waiting).phase is QueryPhase.SUBMITTED
    lab.start("ouroboros")
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert wait_for(querent, waiting).output == lab.plain_output(IMAGES[:1])
    assert lab.session(query).attempt == lab.session(waiting).attempt == 1


def test_querent_gives_up_after_the_long_deadline_and_nobody_else_does(
    lab: LiveRing, tmp_path: Path, terminal: Terminal
) -> None:
    lab.await_mode(RingMode.QUERY)
    lab.kill("ouroboros")
    foreign = lab.new_querent(tmp_path / "other").submit(IMAGES)
    query = lab.querent().submit(IMAGES)
    withdraw = ("withdraw", "--ring", lab.folder.path)
    assert "DeadlineAhead" in terminal.refusal(*withdraw, query)
    assert "another account asked it" in terminal.refusal(*withdraw, foreign)
    assert "the ledger has no such query" in terminal.refusal(*withdraw, query + 100)
    lab.pass_deadline(WITHDRAW_SECONDS)
    assert "another account asked it" in terminal.refusal(*withdraw, foreign)
    assert terminal.said(*withdraw, query) == f"query {query}: withdrawn\n"
    assert lab.session(query).phase is QueryPhase.WITHDRAWN
    assert "QueryNotOpen" in terminal.refusal(*withdraw, query)
    lab.start("ouroboros")
    assert lab.ask(IMAGES).output == lab.plain_output(IMAGES)
    assert lab.session(query).phase is QueryPhase.WITHDRAWN
    assert lab.audit().failure is None
