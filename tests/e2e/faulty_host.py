"""The host of a ring's actors with kill -9 at places that a signal from outside would never hit.

A test arms a place by putting an empty file `<actor> <Class>.<method> <before|after>` into the folder that
DEEPRING_TEST_FAULTS names: the next time that actor gets there, it takes the file away and dies. The actors themselves
are the real ones.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from deepring_chain.actors.host import main
from deepring_chain.actors.worker import Worker
from deepring_chain.chain.client import LedgerClient
from deepring_chain.store.content import ContentStore

FAULTS = Path(os.environ["DEEPRING_TEST_FAULTS"])


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
    _arm(ContentStore, "put")
    for function in ("arrange", "attest", "open_route", "post_update", "deliver"):
        _arm(LedgerClient, function)
    main(Worker)
