"""A live ring on real processes, with every road, disk and process in the hands of a test."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from assurance.faults.disk import Disk
from assurance.faults.faulty_store import FAULTS
from assurance.faults.node import Node
from assurance.faults.proxy import Proxy
from assurance.faults.ring_host import ROADS
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.errors import ConfigError
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.folder import RingFolder
from deepring_chain.ring.options import ActorOptions, free_relay_address
from deepring_chain.ring.running import HostRecord
from deepring_chain.types import Address
from tests.e2e.live_ring import ROOT, LiveRing, is_running

HOST = "assurance.faults.ring_host"
DEADLINES = Deadlines(hop=8, withdraw=300)
LOOK_SECONDS = 1.0
UPDATE, BATCH = SETTLE = ("update", "batch")
"""Ways to settle: each hop in a transaction, or whole queries that went through the relay."""

QUERENTS = ("querent-1", "querent-2")


def left_after(pids: set[int], seconds: float) -> set[int]:
    """Gives processes some time to end; those that do not."""
    deadline = time.monotonic() + seconds
    while (left := {pid for pid in pids if is_running(pid)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


class FaultyRing(LiveRing):
    """A live ring whose actors speak to the node through proxies, and whose store can fail."""

    def __init__(
        self,
        folder: RingFolder,
        model: QuantisedModel,
        devnet: Devnet,
        options: ActorOptions,
        roads: Mapping[str, str],
        controls: Path,
    ) -> None:
        super().__init__(folder, model, devnet, options, host_module=HOST, deadlines=DEADLINES)
        self._environment = {FAULTS: str(controls), ROADS: json.dumps(dict(roads)), "PYTHONPATH": str(ROOT)}
        self.processes = self._new_processes(restarts=True)

    def start_all(self) -> None:
        """Starts the host and all actors."""
        with mock.patch.dict(os.environ, self._environment):
            self.processes.start()

    def kill_host_alone(self) -> None:
        """Kill -9 for the parent of all actors, whom they see to be gone at their next look."""
        record = HostRecord.read(self.folder.path)
        if record is None:
            raise ConfigError("no host runs")
        os.kill(record.pid, signal.SIGKILL)

    def quick_client(self) -> LedgerClient:
        """The ledger for one who must not wait: whoever wakes a node cannot wait for it."""
        web3 = connect(self.devnet.url, timeout=LOOK_SECONDS, may_repeat=False)
        return LedgerClient.over(web3, self.devnet.url, self.deployment.ledger)

    def end_all(self) -> None:
        """Ends every process that ever belonged to the ring."""
        with suppress(ConfigError):
            self.processes.stop()
        for pid in left_after(self.process_ids, 2):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def addresses(self) -> dict[str, Address]:
        """The actors' accounts."""
        config = self.folder.load_config()
        return {"ouroboros": self.client().ouroboros, **{entry.name: entry.address for entry in config.workers}}

    def running_pid(self, name: str) -> int | None:
        """An actor's process; None while it has none."""
        status = self.processes.statuses.get(name)
        return None if status is None or status.state in ("exited", "failed") else status.pid


@dataclass
class Stage:
    """Everything that can be mistreated.

    Attributes:
        ring, node, disk: the system.
        controls: folder of `faulty_store`'s control files.
        proxies: each actor's and querent's road to the node.
        accounts: of actors and querents.
        lasting: names of the blobs that were there before the first query, which an operator keeps copies of.
        damaged: blobs that were lost or spoiled on purpose, as they were.
        set_backs: how often the chain lost blocks.
        patience: seconds that the ring gets to end and to be well again; None for what it needs on a machine at rest.
    """

    ring: FaultyRing
    node: Node
    disk: Disk
    controls: Path
    proxies: dict[str, Proxy]
    accounts: dict[str, Address] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset()
    damaged: dict[Path, bytes] = field(default_factory=dict)
    set_backs: int = 0
    patience: float | None = None

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.ring.folder.path / "store"

    def blobs(self) -> list[Path]:
        """The store's blobs, newest first."""
        found: list[tuple[int, Path]] = []
        for path in self.store.glob("??/*"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True) if path.suffix != ".part"]


@contextmanager
def staged(
    path: Path, model: QuantisedModel, arrange_every: int = 1, *, settle: str = UPDATE, keeps_history: bool = True
) -> Iterator[Stage]:
    """A running ring and its node, until the block ends.

    Args:
        path: an empty folder.
        model: what the ring serves.
        arrange_every: queries per arrangement.
        settle: UPDATE or BATCH.
        keeps_history: as in `Node`.
    """
    with ExitStack() as stack:
        node = Node(path, keeps_history=keeps_history)
        stack.enter_context(node.devnet)
        stack.callback(node.wake)
        disk = stack.enter_context(Disk(path / "disk"))
        names = ["ouroboros", *(f"worker-{layer}" for layer in range(1, len(model.layers) + 1)), *QUERENTS]
        proxies = {name: stack.enter_context(Proxy(node.devnet.port)) for name in names}
        controls = path / "controls"
        controls.mkdir()
        roads = {name: proxy.url for name, proxy in proxies.items()}
        folder = RingFolder(path / "disk" / "ring")
        relay = free_relay_address() if settle == BATCH else None
        options = ActorOptions(arrange_every=arrange_every, relay=relay)
        ring = FaultyRing(folder, model, node.devnet, options, roads, controls)
        stage = Stage(ring, node, disk, controls, proxies, ring.addresses())
        stage.lasting = frozenset(path.name for path in stage.blobs())
        node.floor = node.height()
        ring.start_all()
        stack.callback(ring.end_all)
        yield stage
