"""For how long something has been what it is: decisions are told seconds, never a clock."""

from __future__ import annotations


class Stopwatch:
    """Measures for how long a subject has been the same."""

    def __init__(self) -> None:
        self._running: tuple[object, float] | None = None

    def held(self, subject: object, now: float) -> float:
        """Return for how many seconds the subject has been equal to this one, as far as was looked.

        Args:
            subject: what it is now; another one starts the watch anew.
            now: seconds.
        """
        if self._running is None or self._running[0] != subject:
            self._running = (subject, now)
        return now - self._running[1]

    def restart(self, now: float) -> None:
        """Measure from now on, with the same subject."""
        if self._running is not None:
            self._running = (self._running[0], now)
