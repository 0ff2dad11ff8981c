"""Times of the blocks that were read last: the ledger's calls name them again and again."""

from __future__ import annotations

import threading

TIMES_KEPT = 1024
"""Blocks whose times are remembered."""


class BlockTimes:
    """Unix times in seconds by block number, of the last blocks. Any thread may use it."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}
        self._lock = threading.Lock()

    def get(self, number: int) -> int | None:
        """A block's time, if it is still known."""
        return self._times.get(number)

    def keep(self, number: int, seconds: int) -> None:
        """Notes a block's time, in place of the oldest one that is known."""
        with self._lock:
            if number not in self._times and len(self._times) >= TIMES_KEPT:
                del self._times[next(iter(self._times))]
            self._times[number] = seconds

    def clear(self) -> None:
        """After a reorganization a number stands for another block."""
        with self._lock:
            self._times.clear()
