"""The querent: sends a sealed query and reads the answer that only it can open (paper 3.4.1, 3.4.3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepring_chain.chain.connection import Heads, NoHeads
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.chain.ports import Ledger
from deepring_chain.crypto.keys import ActorKeys
from deepring_chain.errors import ChainError, DeepRingError, StoreError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.decide.answer import Asked, GiveUp, OpenAnswer, Waiting, check_answer, decide_answer
from deepring_chain.protocol.envelope import Answer, answer_context, open_content, query_context, seal_output
from deepring_chain.protocol.history import all_entries
from deepring_chain.protocol.session import Session
from deepring_chain.store.content import BlobFault
from deepring_chain.store.ports import BlobStore
from deepring_chain.types import QueryId, RingMode, TensorBytes

POLL_SECONDS = 0.02
LOOK_SECONDS = 1.0
"""Longest pause between two looks where the node announces its blocks."""


LONGEST_PAUSE = 2.0
"""Longest pause between two tries while the node or the store is away."""


class QueryFailed(ChainError):
    """A query ended without an answer, or did not end in time."""


class AnswerLate(QueryFailed):
    """A query has no answer yet; it stays on the ledger."""


@dataclass(frozen=True)
class QueryResult:
    """An answer that was checked against the ledger.

    Attributes:
        query: its id.
        output: int32 logits [N, classes].
        predictions: class index of each image.
        probabilities: softmax of the scaled logits [N, classes].
    """

    query: QueryId
    output: TensorBytes
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class _Look:
    """Looks at the ledger: when the node announces a block, or every now and then.

    Args:
        follower: the ledger.
        heads: announcements of blocks.
    """

    def __init__(self, follower: LedgerFollower, heads: Heads) -> None:
        self._follower, self._heads = follower, heads
        self._asked = self._seen = heads.count

    def refresh(self) -> bool:
        """Takes in what is new; returns whether the chain moved."""
        self._seen = self._heads.count
        moved = self._follower.refresh(self._heads.newest if self._seen != self._asked else ())
        self._asked = self._seen
        return moved

    def again(self) -> None:
        """Has the next look ask for everything: announcements were missed."""
        self._asked = self._seen = self._heads.count

    def rest(self, seconds: float, *, is_well: bool) -> None:
        """Pauses until the next look."""
        if not is_well:
            time.sleep(seconds)
        else:
            self._heads.wait(self._seen, LOOK_SECONDS if self._heads.is_live else seconds)


class Querent:
    """One querent's keys and connections. Several threads may use it.

    Args:
        keys: account and sealing key.
        client, follower: the ledger.
        store: the ciphertext store.
        listens: have the node announce its blocks while an answer is awaited; else, and where it does not, poll.
    """

    def __init__(
        self,
        keys: ActorKeys,
        client: Ledger,
        follower: LedgerFollower,
        store: BlobStore,
        *,
        listens: bool = False,
    ) -> None:
        self._keys = keys
        self._client = client
        self._follower = follower
        self._store = store
        self._listens = listens
        self._asked: dict[QueryId, Asked] = {}
        self._reading = threading.Lock()

    def read_card(self) -> ModelCard:
        """The registered model's public card.

        Raises:
            ChainError: no model is registered.
        """
        with self._reading:
            self._follower.refresh()
        model = self._follower.state.model
        if model is None:
            raise ChainError("the ledger has no model yet; deploy the ring with `deepring up`")
        return ModelCard.decode(self._store.get(model.card))

    def submit(self, images: NDArray[Any]) -> QueryId:
        """Seals `images` [N, *input shape] to the ouroboros and posts the query. Implements eq. (3).

        Raises:
            ModelError: the images do not fit the model.
        """
        tensor = self.read_card().quantise_input(images)
        recipient = self._follower.state.sealing_keys.get(self._client.ouroboros)
        if recipient is None:
            raise ChainError("the ouroboros has published no key yet; wait until the ring is deployed")
        place = query_context(self._client.domain, self._keys.address, self._keys.sealing_public)

        def seal() -> bytes:
            return seal_output(recipient, tensor, place)

        digest, _ = self._store.put_sealed(seal(), seal)
        query, _ = self._client.submit_query(digest, self._keys.sealing_public)
        self._asked[query] = Asked(digest, tensor.shape[0])
        return query

    def wait(
        self,
        query: QueryId,
        timeout: float,
        on_progress: Callable[[Session, RingMode], None],
        on_trouble: Callable[[DeepRingError], None] = lambda _: None,
    ) -> QueryResult:
        """Waits for a query's end and opens the answer. A node or a store that is away is tried again until then.

        Args:
            query: an own query, from now or earlier.
            timeout: seconds.
            on_progress: told the state whenever the chain moved.
            on_trouble: told once when the node or the store goes away.

        Raises:
            AnswerLate: not done in time; it stays on the ledger.
            QueryFailed: unknown, another's, rejected or disputed.
        """
        deadline = time.monotonic() + timeout
        pause, trouble = POLL_SECONDS, ""
        with self._listening() as heads:
            look = _Look(self._follower, heads)
            while True:
                try:
                    found = self._look(query, look, on_progress)
                    if found is not None:
                        return found
                    pause, trouble = POLL_SECONDS, ""
                except (NodeUnreachable, StoreError) as error:
                    if isinstance(error, BlobFault):
                        raise
                    if not trouble:
                        on_trouble(error)
                    look.again()
                    pause, trouble = min(2 * pause, LONGEST_PAUSE), str(error)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._late(query, timeout, trouble)
                look.rest(min(pause, left), is_well=not trouble)

    def _look(
        self, query: QueryId, look: _Look, on_progress: Callable[[Session, RingMode], None]
    ) -> QueryResult | None:
        with self._reading:
            moved = look.refresh()
        state = self._follower.state
        session = state.sessions.get(query)
        due = decide_answer(Waiting(self._keys.address, query, session, self._asked.get(query)))
        if moved and session is not None and session.querent == self._keys.address:
            on_progress(session, state.mode)
        match due:
            case GiveUp(reason):
                raise QueryFailed(f"query {query}: {reason}")
            case OpenAnswer():
                return self._open(due)
        return None

    def _listening(self) -> AbstractContextManager[Heads]:
        return self._client.announced(lambda: None) if self._listens else nullcontext(NoHeads())

    def _late(self, query: QueryId, timeout: float, trouble: str) -> AnswerLate:
        session = self._follower.state.sessions.get(query)
        where = "" if session is None else f"phase {session.phase.name}, hop {session.next_hop}, "
        where += f"ring in mode {self._follower.state.mode.name}" + (f"; {trouble}" if trouble else "")
        return AnswerLate(
            f"query {query}: no answer within {timeout:.0f} s ({where}); it stays on the ledger: "
            f"`deepring answer {query}`"
        )

    def _open(self, due: OpenAnswer) -> QueryResult:
        place = answer_context(self._client.domain, due.session.query, due.session.sealing_key)
        answer = Answer.decode(open_content(self._keys.sealing, self._store.get(due.pointer), place))
        check_answer(due, answer)
        return self._read(due.session.query, answer.output)

    def _read(self, query: QueryId, output: TensorBytes) -> QueryResult:
        card = self.read_card()
        return QueryResult(query, output, card.predictions(output), card.probabilities(output))


def withdraw_session(client: Ledger, session: Session) -> None:
    """Gives a query up: the ledger is shown what was asked and all that happened since.

    Raises:
        LedgerReverted: not the querent's own, ended already, or before the long deadline.
    """
    question = session.question(client.block_time)
    later = all_entries(client.domain, client.ouroboros, session, question)
    client.withdraw_query(session.query, session.state(client.block_time), question, later)
