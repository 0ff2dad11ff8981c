"""The ledger's blocks as a stream: forward, or back to the beginning where the chain was reorganized."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.chain.ports import LedgerReader
from deepring_chain.protocol.events import LoggedEvent

LOG = logging.getLogger(__name__)

PIECE = 250
"""Blocks that are read at a time. An actor that reads a long chain anew would otherwise keep the memory of its longest
answer."""


@dataclass(frozen=True)
class Head:
    """The source has blocks up to this one."""

    place: BlockPlace


@dataclass(frozen=True)
class Advance:
    """What happened after the last `Advance`, up to this block."""

    place: BlockPlace
    events: tuple[LoggedEvent, ...]


@dataclass(frozen=True)
class Rewind:
    """What was told so far is not the chain any more: all of it is told anew."""


class BlockStream:
    """One source's blocks, each checked to continue the one before. For one thread, its owner's.

    Args:
        source: the ledger.
        first_block: where it begins.
    """

    def __init__(self, source: LedgerReader, first_block: int) -> None:
        self._source = source
        self._first_block = first_block
        self._cursor: BlockPlace | None = None

    def rewind(self) -> None:
        """Tell all anew at the next call: somebody found that what was told cannot be."""
        self._cursor = None
        self._source.forget_times()

    def news(self, announced: Sequence[BlockPlace] = ()) -> Iterator[Head | Advance | Rewind]:
        """Tell what happened since the last call, piece by piece.

        A block that was told and is gone (a reorganization, a node that was set back) is a `Rewind`: nothing but the
        chain decides what happened. What was told counts as taken in when the next piece is asked for.

        Args:
            announced: the blocks that the source announced last, oldest first. If they continue the last block that
                was told, their logs are all that has to be asked for.

        Raises:
            ChainError: the source fails; what was told before stays told.
        """
        following = self._following(announced)
        if following is None:
            yield from self._ask()
            return
        try:
            yield from self._take(following)
        except TransactionFailed:
            # The source refuses: it may have set these blocks aside meanwhile.
            self._source.forget_times()
            yield from self._ask()

    def _following(self, announced: Sequence[BlockPlace]) -> list[BlockPlace] | None:
        """The announced blocks after the last one that was told; None if they do not continue it."""
        last = self._cursor
        if last is None or not announced:
            return None
        found: list[BlockPlace] = []
        for place in announced:
            if place.follows(last):
                found.append(place)
                last = place
        return found if last == announced[-1] else None

    def _take(self, blocks: Sequence[BlockPlace]) -> Iterator[Head | Advance]:
        """Tells blocks of which each one is known to follow the last."""
        self._source.note_times(blocks)
        for place in blocks:
            yield Head(blocks[-1])
            yield from self._advance(place, self._source.events_of(place))

    def _ask(self) -> Iterator[Head | Advance | Rewind]:
        head = self._source.head()
        yield Head(head)
        if head == self._cursor:
            return
        if self._cursor is not None and not self._continues(head, self._cursor):
            LOG.warning("the chain was reorganized below block %d; reading it anew", self._cursor.number)
            self.rewind()
            yield Rewind()
        start = self._first_block if self._cursor is None else self._cursor.number + 1
        for first in range(start, head.number + 1, PIECE):
            last = min(first + PIECE - 1, head.number)
            place = head if last == head.number else self._source.block_at(last)
            yield from self._advance(place, self._source.events(first, last))

    def _advance(self, place: BlockPlace, events: Sequence[LoggedEvent]) -> Iterator[Advance]:
        yield Advance(place, tuple(events))
        self._cursor = place

    def _continues(self, head: BlockPlace, cursor: BlockPlace) -> bool:
        if head.number == cursor.number + 1 and head.parent is not None:
            return head.parent == cursor.block_hash  # mostly: one request less
        return head.number > cursor.number and self._source.block_at(cursor.number) == cursor
