"""A ring on a real node whose actors take their steps when a test says so.

Everything is real but the processes: ledger, keys, transactions, files, journals, store, layers. An attack therefore
strikes at the very moment that its story needs, and nothing waits for a clock: the ring's own stands still until a test
moves it, with the chain's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.actors.querent import Querent
from deepring_chain.actors.worker.block import Block
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.audit.auditor import AuditReport, audit
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.keys import create_keys, load_keys
from deepring_chain.errors import DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.model.self_test import run_self_test
from deepring_chain.protocol.decide.seat import OWN_SECONDS
from deepring_chain.protocol.events import LoggedEvent, UpdatePosted
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring, fund_actors
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime import actor as loading
from deepring_chain.runtime.actor import Actor, load_actor
from deepring_chain.store.content import ContentStore
from deepring_chain.types import ArrangementId, Hop, Pointer, QueryId, QueryPhase, RejectReason, RingMode, TensorBytes
from tests.chain.clock import Clock
from tests.e2e.live_ring import PASSWORD, no_step, random_images, tiny_model

CPU = torch.device("cpu")
LAYERS = 4
"""Layers 2 and 3 of the model have one shape."""

DEADLINES = Deadlines(hop=600, withdraw=6000)
MAX_ROUNDS = 400

Guilt = list[tuple[int, FaultKind]]
WorkerKind = Callable[[Member, Block, torch.device], Worker]


_self_test_once = cache(run_self_test)
"""All actors of all rings here compute in this one process: its kernels are tested when the first one is loaded."""


class Unsettled(AssertionError):
    """The ring does not come to rest."""


class SteppedRing:
    """One ring; see the module.

    Attributes:
        actors: by name: "ouroboros", "worker-1", ...
        troubles: what actors reported instead of acting, as their logs would have it; by name.
        now: the clock of the ouroboros, in seconds.
    """

    def __init__(self, path: Path, devnet: Devnet, standbys: int = 0, deadlines: Deadlines = DEADLINES) -> None:
        self.folder, self.devnet = RingFolder(path), devnet
        self.model = tiny_model(LAYERS)
        init_ring(path, self.model, PASSWORD, no_step, standbys)
        self.deployment: Deployment = deploy_ring(self.folder, devnet.url, PASSWORD, None, no_step, deadlines)
        self.now = 0.0
        self.troubles: dict[str, list[str]] = {}
        self.actors: dict[str, Actor] = {name: self.load(name) for name in self.names}
        self._client = LedgerClient.open(devnet.url, self.deployment.ledger)
        self._follower = LedgerFollower(self._client, self.deployment.first_block)
        self.clock = Clock(self._client.web3)
        self.settle()

    @property
    def names(self) -> list[str]:
        """All actors, the ouroboros first."""
        return ["ouroboros", *(entry.name for entry in self.folder.load_config().workers)]

    # ------------------------------------------------------------------ actors

    def load(self, name: str, folder: Path | None = None) -> Actor:
        """A new process in place of an actor: its folder, or a copy of it, and nothing in memory."""
        options = ActorOptions(metrics_port=None)
        with mock.patch.object(loading, "run_self_test", _self_test_once):
            actor = load_actor(folder or self.folder.path / name, self.deployment, PASSWORD, options)
        self._set_clocks(actor.acting)
        return actor

    def _set_clocks(self, acting: Any) -> None:
        """Everything with a clock gets the ring's."""
        arranger = getattr(acting, "_arranger", None)
        parts = [acting, arranger, *(getattr(acting, name, None) for name in ("_tracker", "_referee", "_leaves"))]
        parts += [getattr(arranger, name, None) for name in ("leaves", "keeper", "_card")]
        for part in parts:
            if hasattr(part, "_clock"):
                part._clock = lambda: self.now

    def restart(self, *names: str) -> None:
        """Kill -9 and start."""
        for name in names:
            self.actors[name].member.journal.close()
            self.actors[name] = self.load(name)

    def member(self, name: str) -> Member:
        """An actor's keys and connections."""
        return self.actors[name].member

    def worker(self, name: str) -> Any:
        """A worker, with its insides."""
        return self.actors[name].acting

    @contextmanager
    def bribed(self, name: str, kind: WorkerKind) -> Iterator[Any]:
        """A worker runs another program for a while, with its own keys, parameters and records."""
        actor = self.actors[name]
        honest: Any = actor.acting
        liar = kind(actor.member, honest._block, CPU)
        self._set_clocks(liar)
        actor.acting = liar
        try:
            yield liar
        finally:
            actor.acting = honest

    def step(self, name: str, actor: Actor | None = None) -> bool:
        """One look and what is due, as `Actor.run` does it; what it would log and try again is kept in `troubles`."""
        actor = actor or self.actors[name]
        try:
            moved = actor.member.follower.refresh()
            return actor.acting.act() or moved
        except DeepRingError as error:
            self.troubles.setdefault(name, []).append(str(error))
            return False

    def settle(self, *absent: str, until: Callable[[], bool] | None = None) -> None:
        """Lets all but `absent` act until nobody has anything to do, or until something is reached."""
        idle = 0
        for _ in range(MAX_ROUNDS):
            if until is not None and until():
                return
            acted = [self.step(name) for name in self.names if name not in absent]
            idle = 0 if any(acted) else idle + 1
            if idle > 1:
                assert until is None, "nobody has anything to do, and it did not come to that"
                return
        raise Unsettled(str(self.troubles))

    def settle_patiently(self) -> None:
        """As `settle`, and gives those time who wait for another's leaf before they act themselves."""
        self.settle()
        if self.state.mode is RingMode.ATTESTING:
            self.wait(OWN_SECONDS + 1)
            self.settle()

    def wait(self, seconds: float) -> None:
        """Time passes, on the chain as for the ouroboros."""
        self.now += seconds
        self.clock.advance(int(seconds))

    def path_of(self, pointer: Pointer) -> Path:
        """Where a blob lies in the store."""
        return self.folder.path / "store" / pointer.hex()[:2] / pointer.hex()

    def lose(self, pointer: Pointer) -> None:
        """Somebody deletes a blob from the store."""
        self.path_of(pointer).unlink()

    # ------------------------------------------------------------------ reads

    def client(self) -> LedgerClient:
        """The ledger, without an account."""
        return self._client

    def store(self) -> ContentStore:
        """The ciphertext store."""
        return ContentStore(self.deployment.store_url)

    @property
    def state(self) -> LedgerState:
        """The ledger as its events tell it now."""
        self._follower.refresh()
        return self._follower.state

    @property
    def arrangement(self) -> ArrangementId:
        """The arrangement in force."""
        current = self.state.arrangement
        assert current is not None
        return current.arranged.arrangement

    def session(self, query: QueryId) -> Session:
        """One query as the ledger has it now."""
        return self.state.sessions[query]

    def events(self) -> list[LoggedEvent]:
        """All that happened."""
        client = self.client()
        return client.events(self.deployment.first_block, client.head().number)

    def guilt(self, query: QueryId) -> Guilt:
        """Which hops failed, and how, in order."""
        faults: tuple[Fault, ...] = self.session(query).faults
        return [(int(fault.hop), fault.kind) for fault in faults]

    def update_of(self, query: QueryId, hop: int) -> UpdatePosted:
        """The last accepted entry of a hop."""
        return self.session(query).updates[Hop(hop)]

    def audit(self) -> AuditReport:
        """What anybody finds."""
        return audit(self.client(), self.store(), self.deployment.first_block)

    # ------------------------------------------------------------------ queries

    def querent(self, folder: Path | None = None) -> Querent:
        """The ring's querent, or the one whose keys are in a folder."""
        keys = load_keys(folder or self.folder.querent, PASSWORD)
        client = LedgerClient.open(self.devnet.url, self.deployment.ledger, keys.account)
        return Querent(keys, client, LedgerFollower(client, self.deployment.first_block), self.store())

    def new_querent(self, folder: Path) -> Querent:
        """Another person with keys and funds."""
        keys = create_keys(folder, PASSWORD)
        fund_actors(connect(self.devnet.url), self.devnet.url, [keys.address])
        return self.querent(folder)

    def ask(self, images: NDArray[np.uint8] | None = None) -> QueryId:
        """A new query; nobody has acted on it yet."""
        return self.querent().submit(random_images(2) if images is None else images)

    def give_up(self, query: QueryId) -> None:
        """The ouroboros turns an interrupted query down."""
        member = self.member("ouroboros")
        member.client.reject_query(query, member.shown(self.session(query)), RejectReason.RING_FAULTY)
        self.settle()

    def arrange(self) -> None:
        """The ouroboros seats the ring anew; nobody has attested yet."""
        request_arrangement(self.folder.ouroboros)
        self.step("ouroboros")

    def ask_up_to(self, hop: int, images: NDArray[np.uint8] | None = None) -> QueryId:
        """A query that has come to `hop`, whose worker has not looked yet."""
        query = self.ask(images)
        absent = f"worker-{hop}"
        self.settle(absent)
        assert self.session(query).next_hop == hop
        return query

    def plain(self, images: NDArray[np.uint8] | None = None) -> TensorBytes:
        """What the model says without ring and chain."""
        return self.model.run(self.model.card.quantise_input(random_images(2) if images is None else images))

    def answer(self, query: QueryId) -> TensorBytes:
        """The answer, as the querent reads and checks it."""
        return self.querent().wait(query, 0.0, lambda _session, _mode: None).output

    # ------------------------------------------------------------------ what must hold after every attack

    def expect_answered(self, query: QueryId, images: NDArray[np.uint8] | None = None) -> None:
        """The right answer is there, and the ring waits for the next query."""
        self.settle_patiently()
        assert self.answer(query) == self.plain(images)
        assert self.state.mode is RingMode.QUERY

    def expect_well(self) -> None:
        """The ring waits for the next query in query mode, and its whole trail passes the audit."""
        self.settle()
        assert self.state.mode is RingMode.QUERY
        report = self.audit()
        assert report.failure is None, str(report.failure)


def convicted(*hops: int) -> Guilt:
    """What `guilt` says when these hops, and nobody else, were found guilty."""
    return [(hop, FaultKind.GUILTY) for hop in hops]


def is_open(session: Session) -> bool:
    """Whether somebody is still to act."""
    return session.phase not in {QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN}
