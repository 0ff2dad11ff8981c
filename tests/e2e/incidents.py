"""What tests of disputes, restores and timeouts do to a ring, and how they read its trail afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.attacks.bit_flip import flip_file_bit
from deepring_chain.attacks.orders import ORDER_FILE, LabOrder, Lie, give_order
from deepring_chain.protocol.events import AuthenticityDerived, Event, RestoreReported, RouteOpened, UpdatePosted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import Hop, Pointer, QueryId, RingMode
from tests.e2e.live_ring import LiveRing
from tests.waiting import wait_until

Guilty = list[tuple[Hop, FaultKind]]


def order(ring: LiveRing, worker: str, lie: Lie, tensor: str = "", bit: int = 0) -> None:
    """Orders a worker to lie at its next turn; it has taken the order when this returns."""
    folder = ring.folder.path / worker
    give_order(folder, LabOrder(lie, tensor, bit))
    wait_until(lambda: not (folder / ORDER_FILE).exists(), f"{worker} takes its order")


def flip_in_memory(ring: LiveRing, worker: str, tensor: str, bit: int) -> None:
    """Flips a bit that a running worker computes with."""
    order(ring, worker, Lie.FLIP_MEMORY_BIT, tensor, bit)


def flip_in_file(ring: LiveRing, worker: str, tensor: str, bit: int) -> None:
    """Flips a bit of a parameter file, and has the worker load it."""
    flip_file_bit(ring.folder.path / worker / PARAMS_FILE, tensor, bit)
    ring.kill(worker)
    ring.start(worker)


def arrange(ring: LiveRing) -> None:
    """Asks for a new arrangement, as `deepring arrange` does."""
    request_arrangement(ring.folder.ouroboros)


def height(ring: LiveRing) -> int:
    """Number of the newest block."""
    return ring.client().head().number


def events_since(ring: LiveRing, block: int) -> list[Event]:
    """What happened after a block."""
    client = ring.client()
    return [logged.event for logged in client.events(block + 1, client.head().number)]


def reports_since(ring: LiveRing, block: int) -> set[tuple[str, str]]:
    """Who was restored, and what it says had changed."""
    names = {entry.address: entry.name for entry in ring.folder.load_config().workers}
    found = [event for event in events_since(ring, block) if isinstance(event, RestoreReported)]
    return {(names[event.worker], event.changed) for event in found}


def flags_since(ring: LiveRing, block: int) -> list[bool]:
    """The authenticity flag, each time that the ledger derived it."""
    return [event.is_authentic for event in events_since(ring, block) if isinstance(event, AuthenticityDerived)]


def await_restored(ring: LiveRing, block: int, reports: int) -> None:
    """Waits until so many restores were reported and the ring is authentic again."""
    wait_until(lambda: len(reports_since(ring, block)) >= reports, "the restores")
    ring.await_mode(RingMode.QUERY)


def faults(ring: LiveRing, query: QueryId) -> Guilty:
    """The hops that failed in a query, in order."""
    return [(fault.hop, fault.kind) for fault in ring.session(query).faults]


def convicted(*hops: int) -> Guilty:
    """What `faults` says when these hops, and nobody else, were found guilty."""
    return [(Hop(hop), FaultKind.GUILTY) for hop in hops]


def hops_by_attempt(ring: LiveRing, query: QueryId) -> dict[int, list[int]]:
    """Which hops were executed in each attempt, by the trail."""
    history = events_since(ring, ring.deployment.first_block - 1)
    executed: dict[int, list[int]] = {
        event.attempt: [] for event in history if isinstance(event, RouteOpened) and event.query == query
    }
    for event in history:
        if isinstance(event, UpdatePosted) and event.signed.update.query == query:
            executed[event.signed.update.attempt].append(event.signed.update.hop)
    return executed


def lose(ring: LiveRing, pointer: Pointer) -> None:
    """Removes a blob from the store, as an operator's mistake would."""
    (path,) = (ring.folder.path / "store").rglob(pointer.hex())
    path.unlink()


@contextmanager
def stopped(ring: LiveRing, *names: str) -> Iterator[None]:
    """Actors that do nothing for a while."""
    for name in names:
        os.kill(ring.pid(name), signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            os.kill(ring.pid(name), signal.SIGCONT)
