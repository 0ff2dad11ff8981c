"""Querents that ask while things go wrong, as patient people with the `deepring` command would."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from assurance.faults.stage import Stage
from deepring_chain.actors.querent import Querent, QueryFailed
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.keys import ActorKeys
from deepring_chain.errors import DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.session import Session
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, Pointer, QueryId, QueryPhase, TensorBytes
from tests.e2e.live_ring import random_images

WAIT_SECONDS = 5.0
RETRY_SECONDS = 0.2
ENDED_BADLY = frozenset({QueryPhase.REJECTED, QueryPhase.WITHDRAWN})


@dataclass
class Question:
    """One query and how it went.

    Attributes:
        number: within the run.
        count: images.
        sent: digests of all sealed inputs that were made for it; more than one after failed tries.
        queries: ids that it had on the ledger; several when the chain was set back.
        output: what came back.
        failure: the recorded reason why nothing came back.
        unread: whether it was answered, and the answer's blob was spoiled on purpose.
        troubles: what the querent was told on the way.
    """

    number: int
    count: int
    sent: set[Digest] = field(default_factory=set)
    queries: list[QueryId] = field(default_factory=list)
    output: TensorBytes | None = None
    failure: str = ""
    unread: bool = False
    troubles: list[str] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it ended one way or the other."""
        return self.output is not None or bool(self.failure) or self.unread

    def images(self) -> NDArray[np.uint8]:
        """What is asked."""
        return random_images(self.count, seed=self.number)


class _NotingStore(ContentStore):
    """Tells which blobs were put."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: set[Digest] = set()

    def put(self, data: bytes) -> Pointer:
        self.sent.add(Digest(hashlib.sha256(data).digest()))
        return super().put(data)


_Opened = tuple[Querent, LedgerFollower, _NotingStore]
T = TypeVar("T")


class Asker(threading.Thread):
    """Asks one question after the other, and is stubborn: it tries again whatever it is told, until it is stopped.

    Args:
        stage: the ring.
        keys, road: the querent's keys and its address of the node.
        questions: where to take them from.
        stopping: set when nobody waits any more.
    """

    def __init__(
        self,
        stage: Stage,
        keys: ActorKeys,
        road: str,
        questions: queue.SimpleQueue[Question],
        stopping: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._stage, self._keys, self._road = stage, keys, road
        self._questions, self._stopping = questions, stopping
        self._opened: _Opened | None = None
        self.crash: BaseException | None = None

    def run(self) -> None:
        """Asks until told to stop."""
        try:
            while not self._stopping.is_set():
                self._ask(self._questions.get_nowait())
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 - a check reports it
            self.crash = error

    def _ask(self, question: Question) -> None:
        opened = self._opened or self._stubbornly(question, self._open)
        if opened is None:
            return
        self._opened, (querent, follower, store) = opened, opened
        store.sent = question.sent
        query = self._submit(question, querent)
        while query is not None and not question.is_over and not self._stopping.is_set():
            query = self._wait_once(question, querent, follower, query)

    def _open(self) -> _Opened:
        place = self._stage.ring.deployment
        client = LedgerClient.open(self._road, place.ledger, self._keys.account, place.chain_id)
        follower, store = LedgerFollower(client, place.first_block), _NotingStore(place.store_url)
        return Querent(self._keys, client, follower, store), follower, store

    def _submit(self, question: Question, querent: Querent) -> QueryId | None:
        query = self._stubbornly(question, lambda: querent.submit(question.images()))
        if query is not None:
            question.queries.append(query)
        return query

    def _wait_once(
        self, question: Question, querent: Querent, follower: LedgerFollower, query: QueryId
    ) -> QueryId | None:
        try:
            question.output = querent.wait(query, WAIT_SECONDS, lambda _session, _mode: None).output
        except DeepRingError as error:
            self._note(question, error)
            here = self._find(question, follower)
            if isinstance(error, QueryFailed) and here is None:
                return self._submit(question, querent)  # the chain lost it
            if here is not None and here.phase in ENDED_BADLY:
                question.failure = str(error)
            question.unread = here is not None and here.answer is not None and self._is_spoiled(here.answer.answer)
            return query if here is None else here.query
        return query

    def _is_spoiled(self, blob: Digest) -> bool:
        return any(path.name == blob.hex() for path in self._stage.damaged)

    @staticmethod
    def _find(question: Question, follower: LedgerFollower) -> Session | None:
        """The question's own session, under whatever id it has now."""
        sessions = [s for s in follower.state.sessions.values() if s.sealed_input in question.sent]
        return max(sessions, key=lambda session: session.query, default=None)

    def _stubbornly(self, question: Question, work: Callable[[], T]) -> T | None:
        while not self._stopping.is_set():
            try:
                return work()
            except DeepRingError as error:
                self._note(question, error)
            time.sleep(RETRY_SECONDS)
        return None

    def _note(self, question: Question, error: DeepRingError) -> None:
        if str(error) not in question.troubles:
            question.troubles.append(str(error))
        time.sleep(RETRY_SECONDS)


def open_askers(
    stage: Stage, keys: dict[str, ActorKeys], count: int, questions: queue.SimpleQueue[Question]
) -> tuple[list[Asker], threading.Event]:
    """So many askers, on the querents' accounts in turn."""
    stopping = threading.Event()
    names = list(keys)
    chosen = [names[number % len(names)] for number in range(count)]
    return [Asker(stage, keys[name], stage.proxies[name].url, questions, stopping) for name in chosen], stopping
