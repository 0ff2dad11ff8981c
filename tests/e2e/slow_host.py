"""A host whose workers can be held at a query: a step that takes long for whatever reason, as long as a test wants.

A worker waits, in the midst of its turn, while the file `hold-<query>` is in its folder, and says so in `held-<query>`.
"""

from __future__ import annotations

import time

from deepring_chain.actors.worker.worker import Worker
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.runtime.host import main
from deepring_chain.types import TensorBytes


class SlowWorker(Worker):
    """Honest, and slow on demand."""

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        hold = self._block.folder / f"hold-{session.query}"
        while hold.exists():
            (self._block.folder / f"held-{session.query}").touch()
            time.sleep(0.01)
        return super()._receive(session, note)


if __name__ == "__main__":
    main(SlowWorker)
