"""Where the time of each hop went, as the actor that served it measured it; for `deepring trail --timing`."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from deepring_chain.types import Attempt, Hop, QueryId

KEPT = 1024
"""Most hops that an actor remembers."""


@dataclass(slots=True)
class HopTiming:
    """One turn of an actor. A turn that failed and was tried again is told twice.

    Attributes:
        query, attempt, hop: whose.
        began, ended: Unix time in seconds, by this machine's clock.
        phases: seconds by the name of the phase; phases on two threads overlap, so their sum may be more than the turn.
    """

    query: QueryId
    attempt: Attempt
    hop: Hop
    began: float
    ended: float
    phases: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        place = {"query": self.query, "attempt": self.attempt, "hop": self.hop}
        rounded = {name: round(seconds, 6) for name, seconds in self.phases.items()}
        return {**place, "began": round(self.began, 6), "ended": round(self.ended, 6), "phases": rounded}


class HopTimings:
    """The last turns of one actor. Durations and places only: nothing in them is secret, or tells what was computed.

    Args:
        now: Unix time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._turns: deque[HopTiming] = deque(maxlen=KEPT)
        self._running: ContextVar[HopTiming | None] = ContextVar("running", default=None)

    @contextmanager
    def turn(self, query: QueryId, attempt: Attempt, hop: Hop) -> Iterator[None]:
        """Measures the block as a turn; phases in it count to it, also on threads that have its context."""
        timing = HopTiming(query, attempt, hop, self._now(), 0.0)
        token = self._running.set(timing)
        try:
            yield
        finally:
            self._running.reset(token)
            timing.ended = self._now()
            self._turns.append(timing)

    def add(self, phase: str, seconds: float) -> None:
        """Counts a phase to the turn that runs, if one does."""
        running = self._running.get()
        if running is not None:
            running.phases[phase] += seconds

    def plain(self) -> list[dict[str, Any]]:
        """For JSON, the oldest first."""
        return [turn.plain() for turn in tuple(self._turns)]
