"""`make tamper-sweep`: random single bits of a live ring's parameters flipped, one after the other.

For every bit: the flag goes off at the next attestation, or the query is disputed, whichever comes first; the block and
the tensor are named; the block is restored; the answer is the untampered one. The first bit for which that is not so
ends the sweep with exit code 1 and the seed to repeat it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import Progress

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.actors.querent import Querent
from deepring_chain.attacks.bit_flip import flip_file_bit, tensor_places
from deepring_chain.attacks.orders import ORDER_FILE, LabOrder, Lie, give_order
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.keys import load_keys
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.protocol.events import AuthenticityDerived, LoggedEvent, RestoreReported, VerdictPosted
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring
from deepring_chain.ring.folder import PARAMS_FILE, Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address, RingMode, TensorBytes

LAB_HOST = "deepring_chain.attacks"
STEP_SECONDS = 60.0


class SweepError(DeepRingError):
    """A flipped bit was not handled as it must be."""


@dataclass(frozen=True)
class Flip:
    """One bit of one worker: in its file (and the worker started again) or in its memory."""

    worker: str
    tensor: str
    bit: int
    in_file: bool

    def __str__(self) -> str:
        place = "file" if self.in_file else "memory"
        return f"{self.worker}, bit {self.bit} of {self.tensor} in {place}"


@dataclass(frozen=True)
class Outcome:
    """How a flip ended: seconds from the flip to the restored, authentic ring, and whether a query was disputed."""

    flip: Flip
    seconds: float
    disputed: bool


class Sweep:
    """A live ring of lab workers, and the flips done to it.

    Attributes:
        first_block: where the last flip began.
    """

    def __init__(
        self, folder: RingFolder, deployment: Deployment, processes: RingProcesses, model: QuantisedModel, password: str
    ) -> None:
        self._folder = folder
        self._processes = processes
        self.first_block = 0
        self._model = model
        self._deployment = deployment
        self._client = LedgerClient.open(deployment.rpc_url, deployment.ledger, None, deployment.chain_id)
        self._querent = self._open_querent(password)
        self._address: dict[str, Address] = {entry.name: entry.address for entry in folder.load_config().workers}

    def choose(self, rng: random.Random) -> Flip:
        """A random bit: any worker, any tensor of its own or its neighbor's layer, file or memory."""
        worker = rng.choice(sorted(self._address))
        places = tensor_places((self._folder.path / worker / PARAMS_FILE).read_bytes())
        tensor = rng.choice(sorted(places))
        start, end = places[tensor]
        return Flip(worker, tensor, rng.randrange(8 * (end - start)), rng.random() < 0.5)

    def run(self, flip: Flip, images: NDArray[np.uint8]) -> Outcome:
        """Flips a bit, asks a query, and waits until the ring has found, named and restored it.

        Raises:
            SweepError: anything else happened.
        """
        self._await(lambda: self._client.mode() is RingMode.QUERY, "the ring is not in query mode")
        self.first_block = start = self._client.head().number + 1
        began = time.monotonic()
        self._do(flip)
        answer = self.ask(images)
        request_arrangement(self._folder.ouroboros)
        self._await(lambda: self._is_over(start, flip), f"{flip}: not restored")
        self._check_answer(answer, flip)
        events = self.events(start)
        self._check_flag_or_dispute(events, flip)
        disputed = any(isinstance(logged.event, VerdictPosted) for logged in events)
        return Outcome(flip, time.monotonic() - began, disputed)

    def _do(self, flip: Flip) -> None:
        folder = self._folder.path / flip.worker
        if not flip.in_file:
            give_order(folder, LabOrder(Lie.FLIP_MEMORY_BIT, flip.tensor, flip.bit))
            self._await(lambda: not (folder / ORDER_FILE).exists(), f"{flip}: the order was not taken")
            return
        flip_file_bit(folder / PARAMS_FILE, flip.tensor, flip.bit)
        pid = self._processes.statuses[flip.worker].pid
        if pid is None:
            raise SweepError(f"{flip.worker}: no process")
        os.kill(pid, signal.SIGKILL)
        self._await(lambda: self._is_up_again(flip.worker, pid), f"{flip.worker}: was not started again")

    def _is_up_again(self, worker: str, killed: int) -> bool:
        status = self._processes.statuses[worker]
        return status.state == "ready" and status.pid != killed

    def ask(self, images: NDArray[np.uint8]) -> TensorBytes:
        """The ring's logits for `images`."""
        query = self._querent.submit(images)
        return self._querent.wait(query, STEP_SECONDS, lambda _session, _mode: None).output

    def _check_answer(self, answer: TensorBytes, flip: Flip) -> None:
        if answer != self.expected:
            raise SweepError(f"{flip}: the answer differs from the untampered one")

    def expect(self, images: NDArray[np.uint8]) -> None:
        """Computes what the untampered network says."""
        self.expected = self._model.run(self._model.card.quantise_input(images))

    def events(self, start: int) -> list[LoggedEvent]:
        """What happened on the ledger since a block."""
        return self._client.events(start, self._client.head().number)

    def _is_over(self, start: int, flip: Flip) -> bool:
        events = [logged.event for logged in self.events(start)]
        reports = [event for event in events if isinstance(event, RestoreReported)]
        if not reports:
            return False
        for report in reports:
            if report.worker != self._address[flip.worker] or report.changed != flip.tensor:
                raise SweepError(f"{flip}: the report names {report.changed} of {report.worker}")
        return self._client.mode() is RingMode.QUERY

    def _check_flag_or_dispute(self, events: list[LoggedEvent], flip: Flip) -> None:
        flags = [logged.event.is_authentic for logged in events if isinstance(logged.event, AuthenticityDerived)]
        if False not in flags:
            raise SweepError(f"{flip}: the authenticity flag never went off")

    def _await(self, reached: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise SweepError(f"{complaint} within {STEP_SECONDS:.0f} s")
            time.sleep(0.02)

    def _open_querent(self, password: str) -> Querent:
        keys = load_keys(self._folder.querent, password)
        deployment = self._deployment
        client = LedgerClient.open(deployment.rpc_url, deployment.ledger, keys.account)
        follower = LedgerFollower(client, deployment.first_block)
        return Querent(keys, client, follower, ContentStore(deployment.store_url))


def sweep(flips: int, seed: int, on_outcome: Callable[[Outcome], None]) -> list[Outcome]:
    """Flips random bits of the shipped network's ring on a fresh devnet.

    Raises:
        SweepError: the first bit that was not handled as it must be.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    model = shipped_model()
    images = load_mnist_samples().images[:4]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="deepring-sweep-") as scratch, Devnet() as devnet:
        folder, password = RingFolder(Path(scratch) / "ring"), f"sweep-{seed}"
        init_ring(folder.path, model, password, lambda _: None)
        deployment = deploy_ring(folder, devnet.url, password, None, lambda _: None)
        with RingProcesses(folder, deployment, password, ActorOptions(), host_module=LAB_HOST) as processes:
            live = Sweep(folder, deployment, processes, model, password)
            live.expect(images)
            for _ in range(flips):
                outcomes.append(live.run(live.choose(rng), images))
                on_outcome(outcomes[-1])
    return outcomes


def main(
    flips: Annotated[int, typer.Option(min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Sweeps and prints the count."""
    with Progress() as progress:
        task = progress.add_task("flipped bits", total=flips)
        outcomes = sweep(flips, seed, lambda _: progress.advance(task))
    in_file = sum(outcome.flip.in_file for outcome in outcomes)
    disputed = sum(outcome.disputed for outcome in outcomes)
    seconds = sorted(outcome.seconds for outcome in outcomes)
    print(f"{len(outcomes)} of {flips} flipped bits found, named and restored; every answer untampered (seed {seed})")
    print(f"  in the file {in_file}, in memory {flips - in_file}; disputed in a query first: {disputed}")
    print(f"  from the flip to the restored ring: median {seconds[len(seconds) // 2]:.1f} s, most {seconds[-1]:.1f} s")


if __name__ == "__main__":
    try:
        typer.run(main)
    except DeepRingError as error:
        sys.exit(f"error: {error}")
