"""A whole ring in one process: real actors, keys, store, journals and layers over a ledger in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account
from numpy.typing import NDArray
from torch import nn

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.leaves import LeafSender
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.ouroboros.ouroboros import Ouroboros
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.ouroboros.tracker import Tracker
from deepring_chain.actors.querent import Querent
from deepring_chain.actors.worker.block import Block
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.crypto.keys import ActorKeys
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.importing.quantise import quantise
from deepring_chain.model.checkpoint import save_layers, save_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.session import Session
from deepring_chain.ring.folder import MODEL_FILE, PARAMS_FILE
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, Domain, QueryId
from tests.unit.actors.fake_client import FakeClient
from tests.unit.actors.fake_ledger import FakeLedger

CPU = torch.device("cpu")
PASSWORD = "password"
MAX_ROUNDS = 300
IMAGES: NDArray[np.uint8] = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10


def tiny_model() -> QuantisedModel:
    """Three dense layers, 12 inputs, 3 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    calibration = torch.rand(20, 3, 4, generator=torch.Generator().manual_seed(6))
    return quantise(network.eval(), calibration, name="tiny", classes=("a", "b", "c"))


def make_keys(number: int) -> ActorKeys:
    """An actor's keys, the same ones in every run."""
    secret = Digest(number.to_bytes(32, "big"))
    return ActorKeys(Account.from_key(secret), X25519PrivateKey.from_private_bytes(secret))


def client_of(member: Member) -> FakeClient:
    found: Any = member.client
    assert isinstance(found, FakeClient)
    return found


@dataclass
class FakeRing:
    """Ouroboros, workers and a querent.

    Attributes:
        members: keys and records of the ouroboros (0) and of the worker of each layer (1..n).
        workers, blocks: by layer, from index 0 on.
        now: the ouroboros's clock, in seconds.
    """

    folder: Path
    model: QuantisedModel
    ledger: FakeLedger
    store: ContentStore
    members: list[Member]
    ouroboros: Ouroboros
    workers: list[Worker]
    querent: Querent
    blocks: list[Block] = field(default_factory=list)
    now: float = 0.0

    def settle(self, *absent: int) -> None:
        """Lets all act until nobody has anything to do; `absent` layers do not."""
        for _ in range(MAX_ROUNDS):
            height = self.ledger.height
            acted = self.step(0)
            for layer in range(1, len(self.members)):
                acted = (layer not in absent and self.step(layer)) or acted
            if not acted and self.ledger.height == height:
                return
        raise AssertionError("the ring does not come to rest")

    def step(self, index: int) -> bool:
        """Lets one actor look and act: 0 is the ouroboros."""
        self.members[index].follower.refresh()
        return self.ouroboros.act() if index == 0 else self.workers[index - 1].act()

    def ask(self) -> QueryId:
        """A new query with the test's images."""
        return self.querent.submit(IMAGES)

    def restart(self, index: int) -> None:
        """A new process in place of an actor: the same folder, nothing in memory."""
        old = self.members[index]
        old.journal.close()
        self.members[index] = self._member(index, old.keys)
        if index == 0:
            self.ouroboros = self._ouroboros()
        else:
            self.workers[index - 1] = self._worker(index)

    def replace_worker(self, layer: int, kind: type[Worker]) -> None:
        """Puts a worker of another kind in its place."""
        self.workers[layer - 1] = kind(self.members[layer], self.blocks[layer - 1], CPU)

    def _member(self, index: int, keys: ActorKeys) -> Member:
        client: Any = FakeClient(self.ledger, keys.address)
        journal = Journal(self.folder / f"{index}" / "journal.sqlite")
        rng = random.Random(index)  # noqa: S311 - the tests want it predictable
        return Member(keys, PASSWORD, client, LedgerFollower(client, 1), self.store, journal, rng)

    def _worker(self, index: int) -> Worker:
        if len(self.blocks) < index:
            self.blocks.append(self._block(index))
        worker = Worker(self.members[index], self.blocks[index - 1], CPU)
        worker._leaves = LeafSender(self.members[index], self._clock)
        return worker

    def _block(self, index: int) -> Block:
        following = self.model.next_index(index)
        path = self.folder / f"{index}" / PARAMS_FILE
        save_layers(path, (self.model.layer(index), self.model.layer(following)))
        return Block(path.parent, self.model.manifest().slice(index, following), CPU)

    def _ouroboros(self) -> Ouroboros:
        member, folder = self.members[0], self.folder / "0"
        save_model(folder / MODEL_FILE, self.model)
        owner = ModelOwner(folder, self.model.manifest().root(), CPU)
        candidates = {layer: (each.keys.address,) for layer, each in enumerate(self.members) if layer}
        roster = Roster(member.keys.address, candidates)
        inputs = QueryInputs(member, owner)
        router = Router(member, roster, inputs)
        arranger = Arranger(member, owner, roster, 1, router.failures, folder, self._clock)
        return Ouroboros(
            member, owner, inputs, router, arranger, Tracker(member, owner, roster, arranger, self._clock), self._clock
        )

    def _clock(self) -> float:
        return self.now

    @classmethod
    def make(cls, folder: Path, model: QuantisedModel) -> FakeRing:
        """A ring that is admitted, not yet arranged."""
        keys = [make_keys(number) for number in range(1, model.card.layers + 2)]
        ledger = FakeLedger(keys[0].address)
        store = ContentStore((folder / "store").as_uri())
        ledger.set_up(store.put(model.card.encode()), model.card.layers, {k.address: k.sealing_public for k in keys})
        placeholder: Any = None
        ring = cls(folder, model, ledger, store, [], placeholder, [], make_querent(ledger, store, 50))
        ring.members = [ring._member(index, pair) for index, pair in enumerate(keys)]
        ring.ouroboros = ring._ouroboros()
        ring.workers = [ring._worker(index) for index in range(1, len(keys))]
        return ring


def make_querent(ledger: FakeLedger, store: ContentStore, number: int, domain: Domain | None = None) -> Querent:
    """A querent with its own keys."""
    keys = make_keys(number)
    client: Any = FakeClient(ledger, keys.address)
    client.domain = domain or client.domain
    return Querent(keys, client, LedgerFollower(client, 1), store)


def session_of(ring: FakeRing, query: QueryId) -> Session:
    return ring.ledger.state.sessions[query]


def posts(ring: FakeRing, layer: int) -> list[str]:
    return [call for call in client_of(ring.members[layer]).calls if call.startswith("post ")]


def ask_up_to(ring: FakeRing, layer: int) -> QueryId:
    """A query that has come to `layer`, which has not looked yet."""
    ring.settle()
    query = ring.ask()
    ring.settle(*range(layer, len(ring.members)))
    assert session_of(ring, query).next_hop == layer
    return query
