"""The host of a ring's real actors, each with a way of its own to the node, and with a store that can fail."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

from assurance.faults import faulty_store
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.ring.folder import Deployment
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime import host
from deepring_chain.runtime.actor import Actor, WorkerFactory

ROADS = "DEEPRING_TEST_ROADS"
"""Environment variable: JSON object of the actors' names and their nodes' addresses."""

_load = host.load_actor  # type: ignore[attr-defined]


def _load_on_own_road(
    folder: Path, deployment: Deployment, password: str, options: ActorOptions, make_worker: WorkerFactory = Worker
) -> Actor:
    url = json.loads(os.environ[ROADS])[multiprocessing.current_process().name]
    return _load(folder, replace(deployment, rpc_url=url), password, options, make_worker)


if __name__ == "__main__":
    faulty_store.install()
    host.load_actor = _load_on_own_road  # type: ignore[attr-defined]
    host.main(Worker)
