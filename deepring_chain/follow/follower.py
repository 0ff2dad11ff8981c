"""Following the ledger: what a stream tells, into a `LedgerState`."""

from __future__ import annotations

from collections.abc import Sequence

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.ports import LedgerReader
from deepring_chain.errors import ChainError, ProtocolError
from deepring_chain.follow.continuity import take_in
from deepring_chain.follow.stream import Advance, BlockStream, Head, Rewind
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import QueryId


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
        client: LedgerReader,
        first_block: int,
        metrics: ActorMetrics | None = None,
        *,
        keeps_ended: bool = True,
    ) -> None:
        self._stream = BlockStream(client, first_block)
        self._metrics = metrics or ActorMetrics()
        self._keeps_ended = keeps_ended
        self.state = LedgerState(keeps_ended)

    def refresh(self, announced: Sequence[BlockPlace] = ()) -> bool:
        """Takes in what happened since the last call.

        Args:
            announced: the blocks that the node announced last, oldest first, as `BlockStream.news` takes them.

        Returns:
            Whether the chain moved.
        """
        last, has_rewound = None, False
        for told in self._stream.news(announced):
            match told:
                case Head(place):
                    self._metrics.saw_head(place.number)
                case Rewind():
                    self.state, has_rewound = LedgerState(self._keeps_ended), True
                case Advance(place, events):
                    self._take_in(events)
                    last = place
        if last is not None:
            self._metrics.took_in(last.number, self.state)
        return last is not None or has_rewound

    def _take_in(self, events: Sequence[LoggedEvent]) -> None:
        try:
            take_in(self.state, events)
        except ProtocolError:  # the chain changed between two answers, or the node lies: half a piece is no good
            self._stream.rewind()
            self.state = LedgerState(self._keeps_ended)
            raise


def read_session(client: LedgerReader, first_block: int, query: QueryId) -> Session:
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
