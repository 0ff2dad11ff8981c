"""A ring as its users run it: a node, a deployed ledger, one process per actor; and what tests do to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.querent import Querent, QueryResult
from deepring_chain.audit.auditor import AuditReport, audit
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto.keys import create_keys, load_keys
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.importing.quantise import PIXELS, quantise
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring, fund_actors
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions, free_relay_address
from deepring_chain.runtime.processes import HONEST_HOST, ActorStatus, RingProcesses
from deepring_chain.store.content import ContentStore
from deepring_chain.types import QueryId, RingMode, TensorBytes
from tests.chain.clock import Clock
from tests.waiting import FOREVER, wait_until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple 7c1f"
TINY_SHAPE = (4, 4)
NO_DEADLINES = Deadlines(hop=100_000, withdraw=1_000_000)
"""A busy machine makes nobody late. Who is to be late is made so by a test, which moves the chain's clock."""


def tiny_model(layers: int = 3, seed: int = 1) -> QuantisedModel:
    """An untrained dense network of `layers` layers on 4 x 4 pixels."""
    torch.manual_seed(seed)
    widths = [16, *([8] * (layers - 1)), 4]
    modules: list[nn.Module] = [nn.Flatten()]
    for number in range(layers):
        modules += [nn.Linear(widths[number], widths[number + 1]), nn.ReLU()]
    return quantise(nn.Sequential(*modules[:-1]), torch.rand(64, *TINY_SHAPE), name="tiny", input_grid=PIXELS)


def random_images(count: int, seed: int = 0, shape: tuple[int, ...] = TINY_SHAPE) -> NDArray[np.uint8]:
    """Noise."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def no_step(_text: str) -> None:
    """For callers who want no progress."""


class LiveRing:
    """A ring that runs."""

    def __init__(
        self,
        folder: RingFolder,
        model: QuantisedModel,
        devnet: Devnet,
        options: ActorOptions,
        *,
        host_module: str = HONEST_HOST,
        standbys: int = 0,
        deadlines: Deadlines = NO_DEADLINES,
    ) -> None:
        self.folder, self.model, self.devnet, self.options = folder, model, devnet, options
        self.host_module = host_module
        init_ring(folder.path, model, PASSWORD, no_step, standbys)
        self.deployment: Deployment = deploy_ring(folder, devnet.url, PASSWORD, None, no_step, deadlines)
        self.faults: Path | None = None
        self.processes = self._new_processes(restarts=False)
        self.process_ids: set[int] = set()

    def _new_processes(self, *, restarts: bool) -> RingProcesses:
        return RingProcesses(
            self.folder,
            self.deployment,
            PASSWORD,
            self.options,
            restarts=restarts,
            host_module=self.host_module,
            on_status=self._note_process,
        )

    def _note_process(self, _name: str, status: ActorStatus) -> None:
        if status.pid is not None:
            self.process_ids.add(status.pid)

    @property
    def names(self) -> list[str]:
        """All actors."""
        return ["ouroboros", *(entry.name for entry in self.folder.load_config().workers)]

    def start_all(self) -> None:
        """Starts the ring's processes."""
        changed = {} if self.faults is None else {"DEEPRING_TEST_FAULTS": str(self.faults)}
        with mock.patch.dict(os.environ, {**changed, "PYTHONPATH": str(ROOT)}):
            self.processes.start()

    def restart_all(self, *, restarts: bool) -> None:
        """Stops the ring's processes in order and starts new ones."""
        self.processes.stop()
        self.processes = self._new_processes(restarts=restarts)
        self.start_all()

    def kill_host(self) -> None:
        """kill -9 for the parent of all actors; they end by themselves."""
        os.kill(_parent_of(self.pid("ouroboros")), signal.SIGKILL)
        await_ended(self.process_ids)

    def pid(self, name: str) -> int:
        """Process of an actor."""
        pid = self.processes.statuses[name].pid
        assert pid is not None
        return pid

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            os.kill(self.pid(name), signal.SIGKILL)
        for name in names:
            assert self.await_state(name, "exited").code == -signal.SIGKILL

    def start(self, *names: str) -> None:
        """Starts actors again."""
        for name in names:
            self.processes.start_actor(name)
        for name in names:
            self.await_state(name, "ready")

    def await_state(self, name: str, state: str) -> ActorStatus:
        """Waits until an actor is "ready", "failed" or "exited"."""
        return self.processes.await_state(name, state, FOREVER)

    def store(self) -> ContentStore:
        """The ciphertext store."""
        return ContentStore(self.deployment.store_url)

    def client(self) -> LedgerClient:
        """The ledger, without an account."""
        return LedgerClient.open(self.deployment.rpc_url, self.deployment.ledger, None, self.deployment.chain_id)

    def querent(self, folder: Path | None = None) -> Querent:
        """The ring's querent, or the one whose keys are in `folder`."""
        keys = load_keys(folder or self.folder.querent, PASSWORD)
        client = LedgerClient.open(self.deployment.rpc_url, self.deployment.ledger, keys.account)
        return Querent(keys, client, LedgerFollower(client, self.deployment.first_block), self.store())

    def new_querent(self, folder: Path) -> Querent:
        """Another person with keys and funds."""
        keys = create_keys(folder, PASSWORD)
        fund_actors(connect(self.devnet.url), self.devnet.url, [keys.address])
        return self.querent(folder)

    def pass_deadline(self, seconds: int) -> None:
        """Moves the chain's clock past a deadline; the actors and this machine have other clocks."""
        Clock(connect(self.devnet.url)).advance(seconds + 1)

    def state(self) -> LedgerState:
        """The ledger as its events tell it now."""
        follower = LedgerFollower(self.client(), self.deployment.first_block)
        follower.refresh()
        return follower.state

    def session(self, query: QueryId) -> Session:
        """One query as the ledger has it now."""
        return self.state().sessions[query]

    def await_session(self, query: QueryId, reached: Callable[[Session], bool]) -> Session:
        """Waits until the ledger shows a query in some state."""

        def look() -> Session | None:
            session = self.session(query)
            return session if reached(session) else None

        found = wait_until(look, f"query {query}")
        assert found is not None
        return found

    def await_mode(self, mode: RingMode) -> None:
        """Waits until the ledger derives a mode; it may be another one again a moment later."""
        client = self.client()
        wait_until(lambda: client.mode() is mode, mode.name)

    def await_new_arrangement(self, after: QueryId) -> None:
        """Waits until the ring, arranged after every query, is in its next arrangement and ready for another query."""

        def is_there() -> bool:
            current, done = self.state().arrangement, self.session(after).arrangement
            return current is not None and current.arranged.arrangement > done and current.is_authentic is True

        wait_until(is_there, f"the arrangement after query {after}")

    def plain_output(self, images: NDArray[np.uint8]) -> TensorBytes:
        """What the integer model says without ring and chain."""
        return self.model.run(self.model.card.quantise_input(images))

    def ask(self, images: NDArray[np.uint8]) -> QueryResult:
        """One query, waited for."""
        querent = self.querent()
        return wait_for(querent, querent.submit(images))

    def audit(self) -> AuditReport:
        """An audit of all that is on the chain and in the store now."""
        return audit(self.client(), self.store(), self.deployment.first_block)

    def journal(self, name: str) -> Journal:
        """An actor's records."""
        return Journal(self.folder.path / name / self.deployment.journal_name)


def wait_for(querent: Querent, query: QueryId) -> QueryResult:
    """The answer."""
    return querent.wait(query, FOREVER, lambda _session, _mode: None)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_running(pid: int) -> bool:
    """Whether there is a process (a zombie that nobody reaped counts)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_ended(pids: set[int]) -> None:
    """Waits until none of these processes is left."""
    wait_until(lambda: not any(map(is_running, pids)), f"the end of {sorted(pids)}")


@contextmanager
def running_ring(
    path: Path,
    model: QuantisedModel,
    *,
    kind: str = "anvil",
    port: int | None = None,
    extra: Sequence[str] = (),
    arrange_every: int = 1,
    faults: Path | None = None,
    host_module: str = HONEST_HOST,
    standbys: int = 0,
    deadlines: Deadlines = NO_DEADLINES,
    relay: bool = False,
) -> Iterator[LiveRing]:
    """A ring on a node of its own, from its making to its end, after which none of their processes is left.

    Args:
        path: the ring's folder, which is not there yet.
        model: what it serves.
        kind, port, extra: the node.
        arrange_every: queries per arrangement.
        faults: where the host of `faulty_host.py` looks for what shall go wrong; None for the real one.
        host_module: what hosts the processes, such as the liars of `deepring_chain.attacks`.
        standbys: per layer.
        deadlines: of the ledger.
        relay: whether hops go through a relay and are settled in batches.
    """
    with Devnet(kind=kind, port=port, extra=extra) as devnet:
        options = ActorOptions(arrange_every=arrange_every, relay=free_relay_address() if relay else None)
        ring = LiveRing(
            RingFolder(path),
            model,
            devnet,
            options,
            host_module=host_module if faults is None else "tests.e2e.faulty_host",
            standbys=standbys,
            deadlines=deadlines,
        )
        ring.faults = faults
        ring.start_all()
        try:
            yield ring
        finally:
            ring.processes.stop()
        ring.process_ids.add(devnet.process_id)
    assert len(ring.process_ids) > len(ring.names)
    await_ended(ring.process_ids)
