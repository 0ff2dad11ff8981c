"""One actor's life: load, check, follow the ledger, act, survive a node or a store that goes away."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.lanes import Bell, QueryLanes
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.model_owner import ModelOwner, roster_of
from deepring_chain.actors.ouroboros.ouroboros import Ouroboros
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.ouroboros.tracker import Tracker
from deepring_chain.actors.worker.block import Block
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import ConfigError, DeepRingError, ModelError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.follow.watch import Watch
from deepring_chain.model.kernels import INT8
from deepring_chain.model.manifest import ManifestSlice
from deepring_chain.model.self_test import run_self_test
from deepring_chain.ring.auditors import AuditorList
from deepring_chain.ring.folder import MANIFEST_FILE, MODEL_FILE, PARAMS_FILE, Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.device import open_device
from deepring_chain.runtime.relaying import join_relay, run_relay
from deepring_chain.store.content import ContentStore
from deepring_chain.telemetry.metrics import ActorMetrics, Identity

LOG = logging.getLogger(__name__)

BALANCE_SECONDS = 15.0
"""Seconds between looks at the account's balance."""

RING = "ring"
"""What is in trouble when it is not a single query."""

LONGEST_PAUSE = 2.0
"""Seconds between tries while the node or the store is away."""

IDLE_PAUSE = 0.2
"""Seconds between looks at a chain on which nothing happens: twenty actors at 50 looks a second fill a core."""


class Acting(Protocol):
    """An actor that looks at the ledger and does what is due."""

    lanes: QueryLanes

    def act(self) -> bool:
        """Does everything that is due now, or begins it; returns whether it did anything itself."""


@dataclass
class Actor:
    """An actor that is ready to run."""

    member: Member
    acting: Acting
    _weighed: float = -math.inf

    def identity(self, name: str) -> Identity:
        """Who this is, for those who look at its metrics."""
        member = self.member
        role = "ouroboros" if isinstance(self.acting, Ouroboros) else "worker"
        return Identity(name, role, member.keys.address, member.client.domain)

    def run(self, options: ActorOptions, keeps_running: Callable[[], bool]) -> None:
        """Follows the ledger until told to stop. Failures are logged once each and tried again; nothing is lost."""
        bell = Bell()
        pause, complaint = options.poll_seconds, ""
        with (
            self.acting.lanes.opened(bell),
            self.member.posting.opened(bell.ring),
            self.member.client.announced(bell.ring) as heads,
        ):
            watch = Watch(heads)
            while keeps_running():
                try:
                    if self._turn(watch):
                        pause, complaint = options.poll_seconds, ""
                        continue
                    longest = max(IDLE_PAUSE, options.poll_seconds)
                except DeepRingError as error:
                    watch.look_again()
                    longest = LONGEST_PAUSE
                    self.member.metrics.failed(RING, error)
                    if str(error) != complaint:
                        complaint = str(error)
                        LOG.error("%s", complaint)  # noqa: TRY400 - one line is the point
                pause = options.poll_seconds if bell.wait(pause) else min(2 * pause, longest)

    def _turn(self, watch: Watch) -> bool:
        """Looks at the ledger if it is time to, and does what is due; returns whether the next turn should be at once.

        Where the node announces its blocks the ledger is read when there is one, or when something was sent.
        """
        if self.acting.lanes.settle():
            watch.look_again()
        moved = False
        if watch.is_due():
            moved = self.member.follower.refresh(watch.announced())
            watch.looked(moved=moved)
            self.member.metrics.follows(is_announced=watch.heads.is_live)
            self.member.metrics.recovered(RING)
        acted = self.acting.act()
        if acted:
            watch.look_again()
        self._weigh()
        return acted or moved

    def _weigh(self) -> None:
        """Looks up the account's balance, now and then."""
        if time.monotonic() - self._weighed > BALANCE_SECONDS:
            self.member.metrics.note_balance(self.member.client.balance())
            self._weighed = time.monotonic()


WorkerFactory = Callable[[Member, Block, torch.device], Worker]


def load_actor(
    folder: Path,
    deployment: Deployment,
    password: str,
    options: ActorOptions,
    make_worker: WorkerFactory = Worker,
) -> Actor:
    """Builds the actor whose folder this is, after a self-test of its kernels.

    Raises:
        ConfigError, ModelError, ChainError, StoreError: one line that says what to mend.
    """
    device = open_device(options)
    run_self_test(INT8, device)
    member = _open_member(folder, deployment, password)
    if (folder / PARAMS_FILE).exists():
        manifest = _open_manifest(folder, member)
        if options.relay is not None:
            join_relay(member, options.relay)
        return Actor(member, make_worker(member, Block(folder, manifest, device), device))
    if (folder / MODEL_FILE).exists():
        return Actor(member, _open_ouroboros(RingFolder(folder.parent), member, device, options))
    raise ConfigError(f"{folder}: neither {PARAMS_FILE} (a worker) nor {MODEL_FILE} (the ouroboros) is here")


def _open_member(folder: Path, deployment: Deployment, password: str) -> Member:
    keys = load_keys(folder, password)
    metrics = ActorMetrics()
    client = LedgerClient.open(deployment.rpc_url, deployment.ledger, keys.account, deployment.chain_id, metrics)
    follower = LedgerFollower(client, deployment.first_block, metrics, keeps_ended=False)
    store = ContentStore(deployment.store_url)
    store.check_writable()
    journal = Journal(folder / deployment.journal_name)
    return Member(keys, password, client, follower, store, journal, metrics=metrics)


def _open_manifest(folder: Path, member: Member) -> ManifestSlice:
    """The worker's slice of the manifest, which must lead to the root on the ledger: it serves the registered model."""
    path = folder / MANIFEST_FILE
    member.follower.refresh()
    model = member.state.model
    try:
        held = ManifestSlice.decode(path.read_bytes())
        if model is not None:
            held.verify(model.root)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); restore it from a backup") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}; it is damaged, or this is another ring's folder") from None
    return held


def _open_ouroboros(ring: RingFolder, member: Member, device: torch.device, options: ActorOptions) -> Ouroboros:
    config = ring.load_config()
    owner = ModelOwner(ring.ouroboros, config.model_root, device)
    roster = roster_of(config)
    inputs = QueryInputs(member, owner, options.serve_mib * 2**20)
    router = Router(member, roster, inputs)
    arranger = Arranger(member, owner, roster, options.arrange_every, router.failures, ring.ouroboros)
    tracker = Tracker(member, owner, roster, arranger)
    auditors = AuditorList(ring.ouroboros).keys
    settler = None if options.relay is None else run_relay(member, router, options.relay)
    return Ouroboros(member, owner, inputs, router, arranger, tracker, auditors=auditors, settler=settler)
