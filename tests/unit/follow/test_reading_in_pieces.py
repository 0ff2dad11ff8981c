"""A long chain is read piece by piece, and a piece that fails leaves nothing half taken in."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.errors import ProtocolError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.follow.stream import PIECE
from deepring_chain.protocol.events import Event, LoggedEvent, QueryRejected, QuerySubmitted
from deepring_chain.types import Address, Digest, QueryId, RejectReason

ASKER = Address("0x" + "11" * 20)
HEIGHT = 2 * PIECE + 10


def hash_of(number: int) -> Any:
    return Digest(number.to_bytes(32, "big"))


class LongChain:
    """One query in every block, and what can go wrong in an answer."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.away_from = HEIGHT + 1
        self.changed_at = 0

    def head(self) -> BlockPlace:
        return self.block_at(HEIGHT)

    def block_at(self, number: int) -> BlockPlace:
        return BlockPlace(number, hash_of(number))

    def events(self, first: int, last: int) -> list[LoggedEvent]:
        if last >= self.away_from:
            raise NodeUnreachable("away")
        self.ranges.append((first, last))
        return [
            LoggedEvent(self._event(number), number, hash_of(number), hash_of(0), 0)
            for number in range(first, last + 1)
        ]

    def _event(self, number: int) -> Event:
        if number == self.changed_at:
            return QueryRejected(QueryId(10**6), RejectReason.MALFORMED)
        return QuerySubmitted(QueryId(number), ASKER, hash_of(1), hash_of(2), hash_of(3))

    def forget_times(self) -> None: ...


def follow(chain: Any) -> LedgerFollower:
    return LedgerFollower(chain, 1)


def test_long_chain_is_read_in_pieces_and_whole() -> None:
    chain = LongChain()
    follower = follow(chain)
    assert follower.refresh()
    assert chain.ranges == [(1, PIECE), (PIECE + 1, 2 * PIECE), (2 * PIECE + 1, HEIGHT)]
    assert list(follower.state.sessions) == list(range(1, HEIGHT + 1))
    assert not follower.refresh()


def test_reading_goes_on_after_the_last_piece_that_arrived() -> None:
    chain = LongChain()
    chain.away_from = PIECE + 1
    follower = follow(chain)
    with pytest.raises(NodeUnreachable):
        follower.refresh()
    chain.away_from = HEIGHT + 1
    assert follower.refresh()
    assert chain.ranges == [(1, PIECE), (PIECE + 1, 2 * PIECE), (2 * PIECE + 1, HEIGHT)]
    assert len(follower.state.sessions) == HEIGHT


def test_piece_that_fits_nothing_before_it_makes_the_reader_start_anew() -> None:
    """Between two answers the chain was reorganized: half of the piece is taken in when that shows."""
    chain = LongChain()
    chain.changed_at = PIECE + 7
    follower = follow(chain)
    with pytest.raises(ProtocolError, match="the events begin after it"):
        follower.refresh()
    assert follower.state.sessions == {}
    chain.changed_at = 0
    assert follower.refresh()
    assert len(follower.state.sessions) == HEIGHT
