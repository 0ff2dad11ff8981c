"""Batched settlement: what was relayed, and the answers, go to the ledger many at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from deepring_chain.actors.guard import OVERTAKEN
from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.chain.ports import Ledger
from deepring_chain.chain.settlement import Settlement
from deepring_chain.errors import ChainError
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.session import Session
from deepring_chain.types import Delivery, Digest, QueryId, QueryPhase, SignedUpdate

LOG = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
"""A finished query waits so long for others that are still computed."""

STALLED_PART = 6
"""After this part of a hop's time without progress what there is goes to the ledger: the next signer's clock starts."""

MOST_BYTES = 96 * 1024
"""Of calldata in one transaction; nodes take 128 KiB."""

BYTES_PER_HOP, BYTES_PER_QUERY = 160, 1_200

SEEN_SECONDS = 5.0
"""Until then a settlement that was mined shows in what is read of the ledger."""

RETRY_SECONDS = 1.0
"""Until one that came to nothing is tried again."""

LATE = "DeadlinePassed"
"""The ledger's refusal of hops that were relayed in time and come to it too late: a timeout alone ends the attempt."""


@dataclass(frozen=True)
class _Due:
    """What can be settled of one query.

    Attributes:
        chain: the query as the ledger has it.
        settlement: what is to be posted.
        size: of the calldata, about.
    """

    chain: Session
    settlement: Settlement
    size: int


class Settler:
    """Settles for the ouroboros. All methods are for its loop, but for `hold`.

    Args:
        client: the ledger.
        hops: what was relayed.
        wake: called, from another thread, when a settlement has ended.
        clock: seconds.
    """

    def __init__(
        self,
        client: Ledger,
        hops: RelayedHops,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._hops, self._wake, self._clock = client, hops, wake, clock
        self._answers: dict[QueryId, tuple[Digest, Delivery, bytes, float]] = {}
        self._progress: dict[QueryId, tuple[Digest, float]] = {}
        self._sent: dict[QueryId, tuple[Digest, float]] = {}
        self._sender = ThreadPool(1, "settler")
        self._sending: Future[list[Session]] | None = None
        self._under_way: list[_Due] = []

    def hold(self, session: Session, delivery: Delivery, signature: bytes) -> None:
        """Takes the closing entry of a computed query, to be settled with its hops."""
        self._answers[session.query] = (session.trail, delivery, signature, self._clock())

    def holds(self, session: Session) -> bool:
        """Whether the closing entry over this history is here."""
        held = self._answers.get(session.query)
        return held is not None and held[0] == session.trail

    def act(self, sessions: Sequence[Session]) -> bool:
        """Begins a settlement if one is due; returns whether it did.

        Args:
            sessions: the open queries as the ledger tells them.
        """
        self._forget({session.query for session in sessions})
        if self._sending is not None:
            if not self._sending.done():
                return False
            done, self._sending = self._sending, None
            self._note_sent(done.result())
        batch = self._batch(sessions)
        if not batch:
            return False
        self._under_way = batch
        self._sending = self._sender.submit(lambda: self._send(batch))
        self._sending.add_done_callback(lambda _future: self._wake())
        return True

    def _note_sent(self, settled: list[Session]) -> None:
        now = self._clock()
        for chain in (due.chain for due in self._under_way):
            wait = SEEN_SECONDS if chain in settled else RETRY_SECONDS
            self._sent[chain.query] = (chain.trail, now + wait)

    # ------------------------------------------------------------------ what is due

    def _batch(self, sessions: Sequence[Session]) -> list[_Due]:
        finished: list[_Due] = []
        stalled: list[_Due] = []
        waited, is_busy = 0.0, False
        for chain in sessions:
            view, updates = self._hops.ahead(chain)
            held = self._answers.get(chain.query)
            if self._was_sent(chain):
                continue
            if view.phase is QueryPhase.COMPUTED and held is not None and held[0] == view.trail:
                finished.append(self._due(chain, updates, view))
                waited = max(waited, self._clock() - held[3])
            elif view is not chain and self._is_stalled(view):
                stalled.append(self._due(chain, updates))
            else:
                is_busy = is_busy or view.phase is not QueryPhase.INTERRUPTED
        size = sum(due.size for due in finished)
        if is_busy and waited < GATHER_SECONDS and size < MOST_BYTES:
            finished = []
        return _cut(finished + stalled)

    def _due(self, chain: Session, updates: Sequence[SignedUpdate], view: Session | None = None) -> _Due:
        posted = (chain.state(self._client.block_time), updates) if updates else None
        closing = None
        if view is not None:
            _, delivery, signature, _ = self._answers[chain.query]
            closing = (view.state(self._client.block_time), delivery, signature)
        size = BYTES_PER_QUERY + BYTES_PER_HOP * len(updates)
        return _Due(chain, Settlement(posted, closing), size)

    def _is_stalled(self, view: Session) -> bool:
        known, now = self._progress.get(view.query), self._clock()
        if known is None or known[0] != view.trail:
            self._progress[view.query] = (view.trail, now)
            return False
        return now - known[1] > self._client.hop_seconds / STALLED_PART

    def _was_sent(self, chain: Session) -> bool:
        known = self._sent.get(chain.query)
        return known is not None and known[0] == chain.trail and self._clock() < known[1]

    def _forget(self, still_open: set[QueryId]) -> None:
        for held in (self._answers, self._progress, self._sent):
            for query in [query for query in held if query not in still_open]:
                held.pop(query, None)

    # ------------------------------------------------------------------ sending

    def _send(self, batch: list[_Due]) -> list[Session]:
        """Settles a batch; each query by itself if the batch does not go through. Returns what was settled."""
        try:
            receipt = self._client.settle([due.settlement for due in batch])
        except LedgerReverted as refusal:
            if len(batch) == 1:
                self._give_up(batch[0].chain, refusal)
                return []
            return [chain for due in batch for chain in self._send([due])]
        except ChainError as error:
            LOG.error("%d queries wait to be settled: %s", len(batch), error)  # noqa: TRY400 - one line is the point
            return []
        LOG.info("settled %d queries in one transaction, %d gas", len(batch), receipt["gasUsed"])
        return [due.chain for due in batch]

    def _give_up(self, chain: Session, refusal: LedgerReverted) -> None:
        """Says what is wrong with a query; one that comes too late is timed out, or it would wait for ever."""
        if refusal.name == LATE:
            self._time_out(chain)
        elif refusal.name not in OVERTAKEN:
            LOG.error("query %d: not settled: %s", chain.query, refusal)

    def _time_out(self, chain: Session) -> None:
        try:
            self._client.time_out(chain.query, chain.state(self._client.block_time))
        except ChainError as error:
            LOG.warning("query %d: its hops came to the ledger too late, and no timeout yet: %s", chain.query, error)
        else:
            LOG.error("query %d: hops from %d on came to the ledger too late", chain.query, chain.next_hop)


def _cut(due: list[_Due]) -> list[_Due]:
    """As many as one transaction holds; at least one."""
    taken, size = list[_Due](), 0
    for each in due:
        if taken and size + each.size > MOST_BYTES:
            break
        taken.append(each)
        size += each.size
    return taken
