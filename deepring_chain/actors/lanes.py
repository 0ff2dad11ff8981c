"""Queries side by side: each has a lane of its own, so that one that waits or is disputed holds up no other.

A lane is a query's line of steps, one at a time. What concerns the whole ring stays in the actor's loop; it decides
which step is due, and the lanes run it. A step touches what it was given, and what is safe for threads; what it found
out comes to the loop when it has ended.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from deepring_chain.actors.guard import SessionGuard
from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.errors import ChainError
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import QueryId

Step = Callable[[Session], bool]
"""Does what is due for a query; returns whether it did anything."""

LANES = 16
"""Queries that an actor serves at once. Their threads mostly wait for the node; computing has a gate of its own."""

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds until a step that came to nothing is tried again, if nothing new is known of its query."""

STOP_SECONDS = 2.0
"""Seconds that running steps get to end when the actor is told to stop. Cut off, they lose nothing: the journal."""


class Bell:
    """Wakes an actor's main loop, from any thread."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Ends the wait that is under way, or the next one."""
        self._rings.put(None)

    def wait(self, seconds: float) -> bool:
        """Waits until it is rung; returns whether it was. All rings up to now count as one."""
        try:
            self._rings.get(timeout=seconds)
        except queue.Empty:
            return False
        while not self._rings.empty():
            self._rings.get_nowait()
        return True


def _nothing() -> None:
    """Take no notice of an ended step."""


@dataclass
class _Lane:
    """What is known of a query's steps.

    Attributes:
        seen: the query as the last step saw it.
        is_busy: a step runs, or has ended since the last `settle`.
        after: called on the loop when the step has ended, whatever came of it.
        retry_at, pause: when the same step may be tried again, and how long that took last.
    """

    seen: Session
    is_busy: bool = False
    after: Callable[[], None] = _nothing
    retry_at: float = 0.0
    pause: float = 0.0


@dataclass(frozen=True)
class _Ended:
    """How a step ended: what it returned, or what it raised."""

    query: QueryId
    moved: bool = False
    error: BaseException | None = None


class QueryLanes:
    """Runs the steps of queries: at once where it is called, or after `opened` in threads of their own.

    All methods are for the actor's loop.

    Args:
        metrics: told what fails, and when it is well again.
        clock: seconds, for pauses.
    """

    def __init__(self, metrics: ActorMetrics | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = SessionGuard(metrics)
        self._clock = clock
        self._lanes: dict[QueryId, _Lane] = {}
        self._pool: ThreadPool | None = None
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._bell = Bell()

    @contextmanager
    def opened(self, bell: Bell, threads: int = LANES) -> Iterator[None]:
        """Steps run in up to `threads` threads as long as the block does; each end rings the bell."""
        self._pool, self._bell = ThreadPool(threads, "lane"), bell
        try:
            yield
        finally:
            pool, self._pool = self._pool, None
            pool.stop(STOP_SECONDS)

    @property
    def is_quiet(self) -> bool:
        """Whether no step runs."""
        return not any(lane.is_busy for lane in self._lanes.values())

    def is_free(self, session: Session) -> bool:
        """Whether a step of this query would begin now: none runs, nor came to nothing just before, without news."""
        lane = self._lanes.get(session.query)
        return lane is None or not (lane.is_busy or (lane.seen is session and self._clock() < lane.retry_at))

    def run(self, session: Session, step: Step, after: Callable[[], None] = _nothing) -> bool:
        """Runs `step`, and returns whether it did something; or has it run in a thread, whose end rings the bell.

        A step that came to nothing is not tried again at once, unless there is news of its query.

        Args:
            session: of the query.
            step: what is due for it.
            after: takes over what the step found out; called on the loop when it has ended, whatever came of it.
        """
        lane = self._lanes.setdefault(session.query, _Lane(session))
        if self._pool is None:
            try:
                return self._guard.run(session, step)
            finally:
                after()
        if not self.is_free(session):
            return False
        lane.is_busy, lane.seen, lane.after = True, session, after
        future = self._pool.submit(lambda: self._guard.run(session, step))
        future.add_done_callback(lambda done: self._end(session.query, done))
        return False

    def settle(self) -> bool:
        """Frees the lanes whose steps have ended; returns whether there were any.

        To be called before the ledger is read: what a step has posted is then known before the next step is chosen.

        Raises:
            NodeUnreachable: what a step raised; the others are freed all the same. Any other error of the chain is that
                query's own trouble, and an error that is none of ours ends the actor, as it would in its main loop.
        """
        ended = [self._ended.get() for _ in range(self._ended.qsize())]
        for outcome in ended:
            self._free(outcome)
        grave = [outcome.error for outcome in ended if outcome.error is not None and self._concerns_all(outcome)]
        if grave:
            raise grave[0]
        return bool(ended)

    def keep_only(self, queries: Set[QueryId]) -> None:
        """Drops what is known of all other queries: they have ended."""
        for query in [query for query, lane in self._lanes.items() if query not in queries and not lane.is_busy]:
            del self._lanes[query]
            self._guard.forget(query)

    def _end(self, query: QueryId, done: Future[bool]) -> None:
        """On the step's thread: tells the loop."""
        error = done.exception()
        self._ended.put(_Ended(query, error=error) if error else _Ended(query, done.result()))
        self._bell.ring()

    def _free(self, outcome: _Ended) -> None:
        lane = self._lanes[outcome.query]
        lane.is_busy = False
        lane.after, after = _nothing, lane.after
        after()
        lane.pause = 0.0 if outcome.moved else min(max(SHORTEST_PAUSE, 2 * lane.pause), LONGEST_PAUSE)
        lane.retry_at = self._clock() + lane.pause

    def _concerns_all(self, outcome: _Ended) -> bool:
        """Whether an error is more than one query's; if not, it is logged here."""
        error = outcome.error
        if not isinstance(error, ChainError) or isinstance(error, NodeUnreachable):
            return True
        self._guard.report(outcome.query, error)
        return False
