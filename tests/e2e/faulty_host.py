"""The host of a ring's actors with kill -9 at places that a signal from outside would never hit.

A test arms a place by putting an empty file `<actor> <Class>.<method> <before|after>` into the folder that
DEEPRING_TEST_FAULTS names: the next time that actor gets there, it takes the file away and dies. The actors themselves
are the real ones, with all the patience; the workers take orders to lie, so that a kill can meet a dispute.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.relay import client as relay_client
from deepring_chain.actors.relay import settler
from deepring_chain.actors.relay.client import RelayClient
from deepring_chain.actors.relay.relay import Relay
from deepring_chain.actors.worker.block import Block
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.chain.client import LedgerClient
from deepring_chain.runtime.host import main
from deepring_chain.store.content import ContentStore
from tests.waiting import FOREVER

FAULTS = Path(os.environ["DEEPRING_TEST_FAULTS"])

PLACES: dict[type, tuple[str, ...]] = {
    Block: ("restore",),
    Journal: ("record_once",),
    ContentStore: ("put", "leave"),
    LedgerClient: (
        "arrange",
        "attest",
        "order_restore",
        "report_restore",
        "open_route",
        "resume_route",
        "post",
        "settle",
        "complain",
        "judge",
        "deliver",
    ),
    Relay: ("take",),
    RelayClient: ("send",),
}


def _die_if_armed(place: str) -> None:
    armed = FAULTS / f"{multiprocessing.current_process().name} {place}"
    if armed.exists():
        armed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _arm(owner: type, name: str) -> None:
    method = getattr(owner, name)

    @functools.wraps(method)
    def dying(*arguments: Any, **options: Any) -> Any:
        place = f"{owner.__name__}.{name}"
        _die_if_armed(f"{place} before")
        result = method(*arguments, **options)
        _die_if_armed(f"{place} after")
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    # A busy machine makes nobody go past the relay, or settle before the others are done.
    relay_client.SEND_SECONDS = settler.GATHER_SECONDS = FOREVER
    for kind, methods in PLACES.items():
        for method_name in methods:
            _arm(kind, method_name)
    main(LabWorker)
