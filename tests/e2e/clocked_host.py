"""A host whose ouroboros's clock a test can set forward: whoever has not attested by then is overdue.

The clock is ahead by the seconds that stand in the file `ahead` in the ouroboros's folder.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.protocol.roster import Roster
from deepring_chain.runtime import actor
from deepring_chain.runtime.host import main
from deepring_chain.types import Address

AHEAD_FILE = "ahead"


def make_arranger(
    member: Member,
    owner: ModelOwner,
    roster: Roster,
    every: int,
    failures: Callable[[], Counter[Address]],
    folder: Path,
) -> Arranger:
    """As the arranger's own, but for the clock."""
    path = folder / AHEAD_FILE

    def clock() -> float:
        return time.monotonic() + (float(path.read_text()) if path.exists() else 0.0)

    return Arranger(member, owner, roster, every, failures, folder, clock)


if __name__ == "__main__":
    actor.Arranger = make_arranger  # type: ignore[attr-defined,assignment]
    main(LabWorker)
