"""Rings to be measured: a devnet, a ledger and all processes of their own, as `deepring up` runs them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepring_chain.actors.querent import Querent
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.health.timings import Timed, read_turns, time_query
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.folder import RingFolder
from deepring_chain.ring.options import ActorOptions, free_relay_address
from deepring_chain.types import QueryId, RingMode
from tests.e2e.live_ring import LiveRing, wait_for

RARELY = 10**6
"""Queries per arrangement: a query is measured without the arrangement that follows it."""

DEADLINES = Deadlines(hop=600, withdraw=3600)
"""No query is given up because the machine is slow."""

ENDPOINT_SECONDS = 10.0


UPDATE, BATCH = SETTLE = ("update", "batch")
"""Ways to settle: each hop a transaction, or hops that go on from relayed updates and are settled together."""


def options_of(settle: str, threads: int) -> ActorOptions:
    """How the actors run."""
    relay = free_relay_address() if settle == BATCH else None
    return ActorOptions(threads=threads, arrange_every=RARELY, relay=relay)


@contextmanager
def bench_ring(model: QuantisedModel, threads: int, settle: str = UPDATE) -> Iterator[LiveRing]:
    """A ring that is ready for queries, and gone after the block."""
    with tempfile.TemporaryDirectory(prefix="deepring-bench-") as scratch, Devnet() as devnet:
        folder = RingFolder(Path(scratch) / "ring")
        ring = LiveRing(folder, model, devnet, options_of(settle, threads), deadlines=DEADLINES)
        ring.start_all()
        try:
            ring.await_mode(RingMode.QUERY)
            yield ring
        finally:
            ring.processes.stop()


@dataclass(frozen=True)
class Split:
    """Where one query's time went, in seconds.

    Attributes:
        total: from before the submission until the answer was read.
        compute, crypto, store, chain, other: of all turns; crypto is sealing, opening and checking, chain is posting.
        waiting: the rest, when it was nobody's turn.
    """

    total: float
    compute: float
    crypto: float
    store: float
    chain: float
    other: float
    waiting: float

    @classmethod
    def of(cls, total: float, timed: list[Timed]) -> Split:
        """From the turns of the actors."""
        turns = [each.turn for each in timed]
        spent = {name: sum(turn.phases.get(name, 0.0) for turn in turns) for name in _names(turns)}
        crypto = spent.get("open", 0.0) + spent.get("seal", 0.0)
        store, chain, compute = (spent.get(name, 0.0) for name in ("store", "post", "compute"))
        served = sum(turn.seconds for turn in turns)
        other = sum(max(0.0, turn.seconds - sum(turn.phases.values())) for turn in turns)
        return cls(total, compute, crypto, store, chain, other, total - served)

    def parts(self) -> Mapping[str, float]:
        """All but the total."""
        return {member.name: getattr(self, member.name) for member in fields(self) if member.name != "total"}


def _names(turns: list[Any]) -> set[str]:
    return {name for turn in turns for name in turn.phases}


class Asker:
    """Asks a ring and measures.

    Args:
        ring: ready for queries.
    """

    def __init__(self, ring: LiveRing) -> None:
        self._ring = ring
        self.querent: Querent = ring.querent()
        self.queries: list[QueryId] = []
        self.totals: list[float] = []

    def ask(self, images: NDArray[np.uint8]) -> float:
        """Seconds of one query, from images to the answer."""
        begun = time.perf_counter()
        query = self.querent.submit(images)
        wait_for(self.querent, query)
        seconds = time.perf_counter() - begun
        self.queries.append(query)
        self.totals.append(seconds)
        return seconds

    def splits(self, count: int) -> list[Split]:
        """Where the time of the last `count` queries went."""
        turns = read_turns(self._ring.folder.path, ENDPOINT_SECONDS)
        last = zip(self.queries[-count:], self.totals[-count:], strict=True)
        return [Split.of(total, time_query(turns, query)) for query, total in last]

    def turns(self, count: int) -> list[Timed]:
        """The turns of the last `count` queries, with the pauses before them."""
        turns = read_turns(self._ring.folder.path, ENDPOINT_SECONDS)
        return [timed for query in self.queries[-count:] for timed in time_query(turns, query)]
