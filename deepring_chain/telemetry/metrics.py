"""What one actor counts and measures for its operator (docs/operating.md lists all of it), and how it is just now.

Every actor has a registry of its own. Labels are names out of the program, never values out of queries: their number is
bounded, and nothing in them is secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client import Enum as StateSet

from deepring_chain import __version__
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.telemetry.timings import HopTimings
from deepring_chain.types import Address, ComplaintKind, Domain, QueryPhase, RingMode

WEI = 10**18

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds of the histogram of a phase, from a tiny layer to a large batch on a public chain."""


class Phase(Enum):
    """What the time of a hop goes to."""

    OPEN = "open"
    """Decrypting what the hop before sent, and checking it."""
    COMPUTE = "compute"
    SEAL = "seal"
    STORE = "store"
    """Reading from and writing to the ciphertext store."""
    POST = "post"
    """A transaction, until it is mined."""


@dataclass(frozen=True)
class Identity:
    """Whose metrics these are."""

    name: str
    role: str
    address: Address
    domain: Domain


class ActorMetrics:
    """One actor's counters, gauges and histograms, and its present condition.

    Args:
        clock: seconds, for durations.
        now: Unix time in seconds.

    Attributes:
        registry: what the endpoint shows.
        timings: where the time of the last hops went.
        last_poll: Unix time of the last look at the chain that succeeded; None before the first.
        head: number of the newest block it has read.
        is_announced: whether the node announces its blocks; if not, it is polled.
        troubles: what goes wrong now, in the log's words, by subject.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, now: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self.timings = HopTimings(now)
        self._running: list[Phase] = []
        self.last_poll: float | None = None
        self.head: int | None = None
        self.is_announced = False
        self.troubles: dict[str, str] = {}
        self._clock, self._now = clock, now
        self._make_counters()
        self._make_gauges()
        ProcessCollector(registry=self.registry)

    def _make_counters(self) -> None:
        self._hops = self._counter("hops_computed", "Layer outputs computed, sealed and signed.")
        self._complaints = self._counter("complaints_posted", "Complaints about what the hop before sent.", "kind")
        self._disputes = self._counter("disputes_judged", "Verdicts on disputed edges, by who was guilty.", "guilty")
        self._restores = self._counter("restores", "Restores: ordered by the ouroboros, done by a worker.", "step")
        self._transactions = self._counter("transactions", "Transactions by outcome.", "function", "outcome")
        self._gas = self._counter("gas_used", "Gas of mined transactions.", "function")
        self._errors = self._counter("errors", "Failed looks and steps, by kind of error.", "error")
        name, about = "deepring_phase_seconds", "Seconds of each phase of the work, failed ones too."
        self._phases = Histogram(name, about, ["phase"], buckets=SECONDS, registry=self.registry)
        self._begin_at_zero()

    def _make_gauges(self) -> None:
        self._in_flight = self._gauge("queries_in_flight", "Queries that wait for somebody.")
        self._queries = self._gauge("queries", "Queries on the ledger, by phase.", "phase")
        self._head = self._gauge("head_block", "Number of the newest block that was read.")
        self._lag = self._gauge("lag_blocks", "Blocks that the node had at the last look and that are not read yet.")
        self._polled = self._gauge("last_poll_timestamp_seconds", "Unix time of the last look that succeeded.")
        self._announced = self._gauge("subscription", "1 if the node announces its blocks, 0 while it is polled.")
        self._balance = self._gauge("balance_ether", "What the account can spend, as last looked up.")
        about, states = "The ring's mode, as the ledger derives it.", [mode.name.lower() for mode in RingMode]
        self._mode = StateSet("deepring_ring_mode", about, states=states, registry=self.registry)
        self._info = Info("deepring_actor", "Which actor this is.", registry=self.registry)

    def _begin_at_zero(self) -> None:
        """An alert on what never happened yet needs a zero to start from."""
        for kind in ComplaintKind:
            self._complaints.labels(kind.name.lower())
        for guilty in ("sender", "receiver", "sender_and_receiver", "nobody"):
            self._disputes.labels(guilty)
        for step in ("ordered", "done"):
            self._restores.labels(step)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"deepring_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"deepring_{name}", about, labels, registry=self.registry)

    # ------------------------------------------------------------------ the actor's condition

    def identify(self, actor: Identity) -> None:
        """Says whose metrics these are: public names only."""
        ledger, chain = actor.domain.ledger, str(actor.domain.chain_id)
        known = {"name": actor.name, "role": actor.role, "address": actor.address, "ledger": ledger, "chain_id": chain}
        self._info.info({**known, "version": __version__})

    def saw_head(self, head: int) -> None:
        """The node answered: its newest block is `head`."""
        self.last_poll = self._now()
        self._polled.set(self.last_poll)
        self._lag.set(max(0, head - (self.head if self.head is not None else 0)))

    def follows(self, *, is_announced: bool) -> None:
        """How new blocks are noticed."""
        self.is_announced = is_announced
        self._announced.set(is_announced)

    def took_in(self, head: int, state: LedgerState) -> None:
        """All events up to `head` are read."""
        self.head = head
        self._head.set(head)
        self._lag.set(0)
        self._mode.state(state.mode.name.lower())
        phases = state.phases()
        for phase in QueryPhase:
            if phase is not QueryPhase.NONE:
                self._queries.labels(phase.name.lower()).set(phases[phase])
        self._in_flight.set(len(state.open_sessions()))

    def note_balance(self, wei: int) -> None:
        """What the account has."""
        self._balance.set(wei / WEI)

    def failed(self, subject: str, error: Exception) -> None:
        """Something goes wrong with `subject`: "ring", or a query."""
        self._errors.labels(type(error).__name__).inc()
        self.troubles[subject] = str(error)

    def recovered(self, subject: str) -> None:
        """Nothing is wrong with `subject` any more."""
        self.troubles.pop(subject, None)

    # ------------------------------------------------------------------ work

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Measures the block."""
        started = self._clock()
        self._running.append(phase)
        try:
            yield
        finally:
            self._running.remove(phase)
            elapsed = self._clock() - started
            self._phases.labels(phase.value).observe(elapsed)
            self.timings.add(phase.value, elapsed)

    @property
    def doing(self) -> Phase | None:
        """The phase that runs now; the one that began last if there are two."""
        running = tuple(self._running)
        return running[-1] if running else None

    def computed_hop(self) -> None:
        """A layer's output is computed, sealed and signed."""
        self._hops.inc()

    def complained(self, kind: ComplaintKind) -> None:
        """A complaint is posted."""
        self._complaints.labels(kind.name.lower()).inc()

    def judged(self, *, sender_guilty: bool, receiver_guilty: bool) -> None:
        """A verdict is posted."""
        guilty = [name for name, is_guilty in (("sender", sender_guilty), ("receiver", receiver_guilty)) if is_guilty]
        self._disputes.labels("_and_".join(guilty) or "nobody").inc()

    def ordered_restore(self) -> None:
        """The ouroboros ordered a restore."""
        self._restores.labels("ordered").inc()

    def restored(self) -> None:
        """A worker took over the parameters that it was sent."""
        self._restores.labels("done").inc()

    def transaction_mined(self, function: str, gas: int) -> None:
        """`chain.ports.TransactionObserver`."""
        self._transactions.labels(function, "mined").inc()
        self._gas.labels(function).inc(gas)

    def transaction_failed(self, function: str, error: Exception) -> None:
        """`chain.ports.TransactionObserver`."""
        self._transactions.labels(function, type(error).__name__).inc()
