"""Following the ledger: new events into a `LedgerState`, from the first block after a start or a reorganization."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.errors import ChainError, ProtocolError
from deepring_chain.follow.continuity import take_in
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import QueryId

LOG = logging.getLogger(__name__)

PIECE = 250
"""Blocks that are read at a time. An actor that reads a long chain anew would otherwise keep the memory of its longest
answer."""


class LedgerFollower:
    """Keeps a projection of the ledger up to date, whenever it is told to look; by one thread, its owner's.

    Args:
        client: the ledger.
        first_block: where it begins.
        metrics: told how far it read.
        keeps_ended: whether the projection keeps ended queries.

    Attributes:
        state: the projection up to the last `refresh`.
    """

    def __init__(
        self,
        client: LedgerClient,
        first_block: int,
        metrics: ActorMetrics | None = None,
        *,
        keeps_ended: bool = True,
    ) -> None:
        self._client = client
        self._metrics = metrics or ActorMetrics()
        self._first_block = first_block
        self._cursor: BlockPlace | None = None
        self._keeps_ended = keeps_ended
        self.state = LedgerState(keeps_ended)

    def refresh(self, announced: Sequence[BlockPlace] = ()) -> bool:
        """Takes in what happened since the last call.

        A block that was taken in and is gone (a reorganization, a node that was set back) makes it start anew: nothing
        but the chain decides what happened.

        Args:
            announced: the blocks that the node announced last, oldest first. Where they lead on from the last block
                that was taken in, their logs are all that has to be asked for.

        Returns:
            Whether the chain moved.
        """
        following = self._following(announced)
        return self._refresh() if following is None else self._follow(following)

    def _following(self, announced: Sequence[BlockPlace]) -> list[BlockPlace] | None:
        """The announced blocks after the last one that was taken in; None if they do not lead on from it."""
        last = self._cursor
        if last is None or not announced:
            return None
        found: list[BlockPlace] = []
        for place in announced:
            if place.follows(last):
                found.append(place)
                last = place
        return found if last == announced[-1] else None

    def _follow(self, blocks: Sequence[BlockPlace]) -> bool:
        """Takes announced blocks in; asks what there is if the node refuses: it may have set them aside meanwhile."""
        before = self._cursor
        try:
            return self._take_announced(blocks)
        except TransactionFailed:
            self._client.forget_times()
            return self._refresh() or self._cursor != before

    def _take_announced(self, blocks: Sequence[BlockPlace]) -> bool:
        """Takes blocks in, of which is known that each one follows the last."""
        self._client.note_times(blocks)
        for place in blocks:
            self._metrics.saw_head(blocks[-1].number)
            self._take_in(self._client.events_of(place))
            self._cursor = place
        if blocks:
            self._metrics.took_in(blocks[-1].number, self.state)
        return bool(blocks)

    def _take_in(self, events: Sequence[LoggedEvent]) -> None:
        try:
            take_in(self.state, events)
        except ProtocolError:  # the chain changed between two answers, or the node lies: half a piece is no good
            self._start_anew()
            raise

    def _refresh(self) -> bool:
        head = self._client.head()
        self._metrics.saw_head(head.number)
        if head == self._cursor:
            return False
        if self._cursor is not None and not self._continues(head, self._cursor):
            LOG.warning("the chain was reorganized below block %d; reading it anew", self._cursor.number)
            self._start_anew()
        self._read_up_to(head)
        self._metrics.took_in(head.number, self.state)
        return True

    def _read_up_to(self, head: BlockPlace) -> None:
        """Takes in what is new, piece by piece: what a piece takes of memory is given back before the next one."""
        start = self._first_block if self._cursor is None else self._cursor.number + 1
        for first in range(start, head.number + 1, PIECE):
            last = min(first + PIECE - 1, head.number)
            place = head if last == head.number else self._client.block_at(last)
            self._take_in(self._client.events(first, last))
            self._cursor = place

    def _start_anew(self) -> None:
        self._cursor, self.state = None, LedgerState(self._keeps_ended)
        self._client.forget_times()

    def _continues(self, head: BlockPlace, cursor: BlockPlace) -> bool:
        if head.number == cursor.number + 1 and head.parent is not None:
            return head.parent == cursor.block_hash  # mostly: one request less
        return head.number > cursor.number and self._client.block_at(cursor.number) == cursor


def read_session(client: LedgerClient, first_block: int, query: QueryId) -> Session:
    """A query, for one look.

    Raises:
        ChainError: there is no such query, or the node fails.
    """
    follower = LedgerFollower(client, first_block)
    follower.refresh()
    session = follower.state.sessions.get(query)
    if session is None:
        raise ChainError(f"query {query}: the ledger has no such query")
    return session
