"""Several threads may ask with one querent: their looks at the ledger come one after the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepring_chain.protocol.events import LoggedEvent
from tests.unit.actors.fake_client import FakeClient
from tests.unit.actors.fake_ring import IMAGES, FakeRing, make_querent
from tests.waiting import FOREVER


def test_two_threads_take_each_event_in_once(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.settle()
    ring.ask()
    querent = make_querent(ring.ledger, ring.store, 60)
    client = querent._client
    assert isinstance(client, FakeClient)
    honest, first_reads, second_reads = client.events, threading.Event(), threading.Event()

    def events(first_block: int, last_block: int) -> list[LoggedEvent]:
        if first_reads.is_set():
            second_reads.set()
        first_reads.set()
        assert not second_reads.wait(0.05)
        return honest(first_block, last_block)

    monkeypatch.setattr(client, "events", events)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(querent.read_card)
        assert first_reads.wait(FOREVER)
        second = threads.submit(querent.read_card)
        assert first.result() == second.result()
    assert len(client.ranges) == 1
    monkeypatch.undo()
    assert querent.submit(IMAGES) == 2
