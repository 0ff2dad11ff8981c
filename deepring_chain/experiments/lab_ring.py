"""A ring of lab workers on a devnet of its own, which is asked query by query while its events are watched."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deepring_chain.actors.querent import Querent
from deepring_chain.attacks.orders import ORDER_FILE
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import DeepRingError
from deepring_chain.experiments.findings import Attack, Findings, SeenEvent, find
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring
from deepring_chain.ring.folder import Deployment, RingFolder, WorkerEntry
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, QueryId, QueryPhase, RingMode, TensorBytes

LAB_HOST = "deepring_chain.attacks"
POLL_SECONDS = 0.02

POLL_SECONDS_PER_WORKER = 0.005
"""All workers share the machine: many that look often would slow the one that computes."""

ENDED = frozenset({QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN})


class ExperimentError(DeepRingError):
    """An experiment cannot be run, or its results cannot be read."""


@dataclass(frozen=True)
class RingSettings:
    """How a ring of an experiment runs.

    Attributes:
        threads: of each worker's kernels; one worker computes at a time.
        hop_seconds: deadline of a hop; generous, since a slow machine is no attack.
        answer_seconds: for so long a query may take, attacks included, before the experiment gives up.
    """

    threads: int = 2
    hop_seconds: int = 120
    answer_seconds: int = 900


@dataclass(frozen=True)
class LiveAttack:
    """An attack on a running ring: whom it meets, and how the order is left in the worker's folder."""

    layer: int
    tensor: str | None
    order: Callable[[Path], None]


@dataclass(frozen=True)
class Answered:
    """One query, from before its submission until the ring was ready for the next one.

    Attributes:
        output: int32 logits [N, classes].
        answer_seconds: from the submission to the delivery.
        settle_seconds: from there until the ring, seated anew, was ready again.
        gas: of all transactions meanwhile, the next arrangement's among them.
        transactions: their number.
        findings: what the events tell.
    """

    output: TensorBytes
    answer_seconds: float
    settle_seconds: float
    gas: int
    transactions: int
    findings: Findings


class LabRing:
    """A running ring.

    Args:
        folder: of the ring.
        deployment: where it runs.
        password: of its keys.
        settings: how long to wait.
        clock: seconds.
    """

    def __init__(
        self,
        folder: RingFolder,
        deployment: Deployment,
        password: str,
        settings: RingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._settings, self._clock = folder, settings, clock
        self._workers: dict[int, WorkerEntry] = {entry.layer: entry for entry in folder.load_config().workers}
        keys = load_keys(folder.querent, password)
        self._client = LedgerClient.open(deployment.rpc_url, deployment.ledger, keys.account)
        self._follower = LedgerFollower(self._client, deployment.first_block)
        self._querent = Querent(
            keys, self._client, LedgerFollower(self._client, deployment.first_block), ContentStore(deployment.store_url)
        )
        self._next_block = deployment.first_block
        self._seen: list[SeenEvent] = []
        self._transactions: set[Digest] = set()

    @property
    def node(self) -> str:
        """What the node calls itself, with its version."""
        return str(self._client.web3.client_version)

    def settle(self, after: QueryId | None = None) -> None:
        """Waits until the ring is ready for a query, seated anew after query `after`.

        Raises:
            ExperimentError: not in time.
        """
        self._wait(lambda: self._is_ready(after), "the ring is not ready for a query")
        self._forget_seen()

    def ask(self, images: NDArray[Any], attack: LiveAttack | None = None) -> Answered:
        """Asks one query of a ring that is ready, under an attack or without.

        Raises:
            ExperimentError: no answer in time, or the worker did not take the order.
        """
        began, attacked_at = self._clock(), self._strike(attack)
        submitted = self._clock()
        query = self._querent.submit(images)
        self._wait(lambda: self._phase(query) in ENDED, f"query {query}: no answer")
        answered = self._clock()
        result = self._querent.wait(query, self._settings.answer_seconds, lambda _session, _mode: None)
        self._wait(lambda: self._is_ready(query), f"query {query}: the ring is not ready again after it")
        known = None if attack is None else Attack(attack.layer, self._workers[attack.layer].address, attack.tensor)
        answer = Answered(
            output=result.output,
            answer_seconds=answered - submitted,
            settle_seconds=self._clock() - answered,
            gas=sum(self._client.gas_used(transaction) for transaction in self._transactions),
            transactions=len(self._transactions),
            findings=find(self._seen, known, began if attacked_at is None else attacked_at),
        )
        self._forget_seen()
        return answer

    def _strike(self, attack: LiveAttack | None) -> float | None:
        if attack is None:
            return None
        folder = self._folder.path / self._workers[attack.layer].name
        attack.order(folder)
        self._wait(lambda: not (folder / ORDER_FILE).exists(), f"{folder.name}: the order was not taken")
        return self._clock()

    def _forget_seen(self) -> None:
        self._seen, self._transactions = [], set()

    def _watch(self) -> None:
        """Takes in what is new on the chain."""
        head = self._client.head().number
        if head < self._next_block:
            return
        now = self._clock()
        for logged in self._client.events(self._next_block, head):
            self._seen.append(SeenEvent(logged.event, now))
            self._transactions.add(logged.transaction_hash)
        self._next_block = head + 1
        self._follower.refresh()

    def _phase(self, query: QueryId) -> QueryPhase:
        session = self._follower.state.sessions.get(query)
        return session.phase if session else QueryPhase.NONE

    def _is_ready(self, after: QueryId | None) -> bool:
        state = self._follower.state
        current = state.arrangement
        if state.mode is not RingMode.QUERY or current is None or current.restores:
            return False
        return after is None or current.arranged.arrangement > state.sessions[after].arrangement

    def _wait(self, reached: Callable[[], bool], complaint: str) -> None:
        deadline = self._clock() + self._settings.answer_seconds
        while True:
            self._watch()
            if reached():
                return
            if self._clock() > deadline:
                seconds = self._settings.answer_seconds
                raise ExperimentError(f"{complaint} within {seconds} s; the actors' logs are in {self._folder.logs}")
            time.sleep(POLL_SECONDS)


@contextmanager
def running_lab_ring(place: Path, model: QuantisedModel, settings: RingSettings) -> Iterator[LabRing]:
    """A ring that is ready for queries, with one worker for each layer, for as long as the context lasts.

    Args:
        place: its folder, which is made anew, and removed at the end unless the block fails.
        model: what it serves.
        settings: how it runs.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder, password = RingFolder(place), secrets.token_urlsafe(32)
    pause = POLL_SECONDS_PER_WORKER * model.card.layers
    options = ActorOptions(threads=settings.threads, poll_seconds=pause, metrics_port=None)
    with Devnet() as devnet:
        init_ring(folder.path, model, password, lambda _: None)
        deadlines = Deadlines(settings.hop_seconds, 30 * settings.hop_seconds)
        deployment = deploy_ring(folder, devnet.url, password, None, lambda _: None, deadlines)
        with RingProcesses(folder, deployment, password, options, host_module=LAB_HOST):
            ring = LabRing(folder, deployment, password, settings)
            ring.settle()
            yield ring
    shutil.rmtree(place, ignore_errors=True)
