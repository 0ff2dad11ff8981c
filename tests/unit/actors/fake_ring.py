"""A whole ring in one process: real actors, keys, store, journals and layers over a ledger in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account
from fake_ledger import FakeClient, FakeLedger
from numpy.typing import NDArray
from torch import nn

from deepring_chain.actors.arranger import Arranger
from deepring_chain.actors.follower import LedgerFollower
from deepring_chain.actors.journal import Journal
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros import Ouroboros
from deepring_chain.actors.querent import Querent
from deepring_chain.actors.worker import Worker
from deepring_chain.crypto.keys import ActorKeys
from deepring_chain.model.quantise import quantise
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, Domain, QueryId

CPU = torch.device("cpu")
PASSWORD = "password"
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
        workers: by layer, from index 0 on.
    """

    folder: Path
    model: QuantisedModel
    ledger: FakeLedger
    store: ContentStore
    members: list[Member]
    ouroboros: Ouroboros
    workers: list[Worker]
    querent: Querent

    def settle(self, *absent: int) -> None:
        """Lets all act until nobody has anything to do; `absent` layers do not."""
        acted = True
        while acted:
            acted = self.step(0)
            for layer in range(1, len(self.members)):
                acted = (layer not in absent and self.step(layer)) or acted

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

    def _member(self, index: int, keys: ActorKeys) -> Member:
        client: Any = FakeClient(self.ledger, keys.address)
        journal = Journal(self.folder / f"{index}" / "journal.sqlite")
        rng = random.Random(index)  # noqa: S311 - the tests want it predictable
        return Member(keys, PASSWORD, client, LedgerFollower(client, 1), self.store, journal, rng)

    def _worker(self, index: int) -> Worker:
        following = self.model.layer(self.model.next_index(index))
        return Worker(self.members[index], self.model.layer(index), following, CPU)

    def _ouroboros(self) -> Ouroboros:
        owner = self.members[0]
        layers = [self.model.layer(index) for index in range(self.model.card.layers + 1)]
        layer_of = {member.keys.address: layer for layer, member in enumerate(self.members) if layer}
        arranger = Arranger(owner, layers, layer_of, 1)
        return Ouroboros(owner, layers, layer_of, self.model.card.input_shape, CPU, arranger)

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
