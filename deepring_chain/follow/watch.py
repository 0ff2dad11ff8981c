"""When to read the ledger: at a node's announcement where there are any, and at every turn where there are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.connection import Heads

LOOK_SECONDS = 2.0
"""Longest time between two looks: announcements may stop without a word."""


class Watch:
    """Decides for an actor's main loop.

    Args:
        heads: the node's announcements.
        clock: seconds.
    """

    def __init__(self, heads: Heads, clock: Callable[[], float] = time.monotonic) -> None:
        self.heads = heads
        self._clock = clock
        self._seen = self._asked = -1
        self._at = -LOOK_SECONDS
        self._must_ask = True

    def look_again(self) -> None:
        """Something was sent, or the last look failed: the node has to be asked, it may not have announced that yet."""
        self._seen = -1
        self._must_ask = True

    def is_due(self) -> bool:
        """Whether the ledger may have changed since the last look."""
        self._asked = self.heads.count
        return not self.heads.is_live or self._asked != self._seen or self._is_overdue()

    def announced(self) -> Sequence[BlockPlace]:
        """The blocks to go by in the look that is due; none where the node has to be asked what there is."""
        return () if self._must_ask or self._asked == self._seen or self._is_overdue() else self.heads.newest

    def _is_overdue(self) -> bool:
        return self._clock() - self._at >= LOOK_SECONDS

    def looked(self, *, moved: bool) -> None:
        """The look that was due succeeded; `moved` if there was a new block."""
        if moved and self._asked == self._seen:
            self.heads.suspect()
        self._seen, self._at, self._must_ask = self._asked, self._clock(), False
