"""`deepring explorer --demo`: a lab ring in slow motion, with somebody who keeps attacking it."""

from __future__ import annotations

import random
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from web3.types import RPCEndpoint

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.attacks.bit_flip import tensor_places
from deepring_chain.attacks.orders import LabOrder, Lie, give_order
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.cli.clients import open_querent, open_reader
from deepring_chain.cli.console import print_step
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ChainError, DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.protocol.events import RestoreReported
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring
from deepring_chain.ring.folder import PARAMS_FILE, Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses
from deepring_chain.types import RingMode

LAB_HOST = "deepring_chain.attacks"
BLOCK_SECONDS = 1
"""The chain's pace: one hop a second, so that eyes can follow."""

PAUSE_SECONDS = 4.0
STEP_SECONDS = 90.0


@contextmanager
def running_demo() -> Iterator[Path]:
    """A ring of the shipped network on a devnet of its own, with a play that repeats; yields the ring's folder."""
    password = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory(prefix="deepring-explorer-") as scratch, Devnet() as devnet:
        folder = RingFolder(Path(scratch) / "ring")
        init_ring(folder.path, shipped_model(), password, lambda _: None)
        deployment = deploy_ring(folder, devnet.url, password, None, print_step)
        mine_slowly(devnet.url, BLOCK_SECONDS)
        print_step("from now on there is one block a second, so that eyes can follow")
        with RingProcesses(folder, deployment, password, ActorOptions(), host_module=LAB_HOST):
            play = Play(folder, deployment, password, random.Random())  # noqa: S311 - which worker to attack
            play.start()
            try:
                yield folder.path
            finally:
                play.stop()


def mine_slowly(url: str, seconds: int) -> None:
    """Has an Anvil mine a block every so many seconds, instead of one for each transaction."""
    provider = connect(url).provider
    for method, value in (("evm_setAutomine", False), ("evm_setIntervalMining", seconds)):
        answer = provider.make_request(RPCEndpoint(method), [value])
        if "error" in answer:
            raise ChainError(f"{url}: the node does not change its pace ({method}); the demo needs an Anvil")


class _CurtainError(DeepRingError):
    """The play was ended."""


class Play:
    """Queries, a flipped bit and a liar, one after the other, until it is stopped."""

    def __init__(self, folder: RingFolder, deployment: Deployment, password: str, rng: random.Random) -> None:
        self._folder, self._rng = folder, rng
        self._querent = open_querent(folder, deployment, password)
        self._client = open_reader(deployment)
        self._follower = LedgerFollower(self._client, deployment.first_block)
        self._workers = [entry.name for entry in folder.load_config().workers]
        self._images = load_mnist_samples().images[:4]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._perform, name="play", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it at the next step."""
        self._stopped.set()
        self._thread.join(5.0)

    def _perform(self) -> None:
        scenes = (self._honest_query, self._tampered_block, self._lying_worker)
        while not self._stopped.is_set():
            for scene in scenes:
                try:
                    self._await_ring()
                    scene()
                except _CurtainError:
                    return
                except DeepRingError as error:
                    if self._stopped.is_set():
                        return
                    print_step(f"the play goes on after: {error}")
                self._stopped.wait(PAUSE_SECONDS)

    def _honest_query(self) -> None:
        print_step("a query goes round")
        self._ask()

    def _tampered_block(self) -> None:
        worker = self._rng.choice(self._workers)
        places = tensor_places((self._folder.path / worker / PARAMS_FILE).read_bytes())
        tensor = self._rng.choice(sorted(places))
        start, end = places[tensor]
        print_step(f"somebody flips a bit of {worker}'s {tensor} in memory; the next arrangement finds it")
        bit = self._rng.randrange(8 * (end - start))
        give_order(self._folder.path / worker, LabOrder(Lie.FLIP_MEMORY_BIT, tensor, bit))
        restored = self._restores()
        self._stopped.wait(PAUSE_SECONDS)
        request_arrangement(self._folder.ouroboros)
        self._until(lambda: self._restores() > restored)

    def _lying_worker(self) -> None:
        worker = self._rng.choice(self._workers)
        print_step(f"{worker} computes on a changed input; its neighbor's commitment gives it away")
        give_order(self._folder.path / worker, LabOrder(Lie.PERTURBED_INPUT))
        self._ask()

    def _ask(self) -> None:
        query = self._querent.submit(self._images)
        self._until(lambda: not self._follower.state.sessions[query].is_open)

    def _await_ring(self) -> None:
        self._until(lambda: self._follower.state.mode is RingMode.QUERY)

    def _restores(self) -> int:
        events = self._client.events(0, self._client.head().number)
        return sum(isinstance(logged.event, RestoreReported) for logged in events)

    def _until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while time.monotonic() < deadline:
            if self._stopped.is_set():
                raise _CurtainError("stopped")
            self._follower.refresh()
            if reached():
                return
            self._stopped.wait(0.2)
        raise DeepRingError(f"a scene took more than {STEP_SECONDS:.0f} s")
