"""A host whose ouroboros waits for a lost blob until it is put back, however long its sender takes.

A second is what it waits else, and on a busy machine an honest sender may need more.
"""

from __future__ import annotations

from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.protocol.decide import judging
from deepring_chain.runtime.host import main
from tests.waiting import FOREVER

if __name__ == "__main__":
    judging.GRACE_SECONDS = FOREVER
    main(LabWorker)
