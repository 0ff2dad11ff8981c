"""A host whose ouroboros's clock a test can set forward: whoever has not attested by then is overdue.

The clock is ahead by the seconds that stand in the file `ahead` in the ouroboros's folder.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deepring_chain.actors import actor
from deepring_chain.actors.arranger import Arranger
from deepring_chain.actors.host import main
from deepring_chain.attacks.lab_worker import LabWorker

AHEAD_FILE = "ahead"


def make_arranger(*arguments: Any) -> Arranger:
    """Its last argument is the ouroboros's folder."""
    path: Path = arguments[-1] / AHEAD_FILE
    return Arranger(*arguments, clock=lambda: time.monotonic() + (float(path.read_text()) if path.exists() else 0.0))


if __name__ == "__main__":
    actor.Arranger = make_arranger  # type: ignore[attr-defined,misc,assignment]
    main(LabWorker)
