"""How an actor's updates reach the ledger: each in a transaction of its own, or through the ouroboros's relay.

In the second way hops go on from updates that are signed and verified but not on the ledger yet. Whatever is not an
ordinary hop - a complaint, a violation of eq. 13, a timeout - speaks of the ledger's state, and so what was relayed is
settled first. Anyone who holds the signed updates can settle them: nobody depends on the relay.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from deepring_chain.chain.ports import Ledger
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.validation import agrees
from deepring_chain.types import Address, Digest, QueryId, SignedUpdate

LOG = logging.getLogger(__name__)

PATIENCE = 3
"""A signer settles by itself after this part of a hop's time without progress, while the ledger's clock runs."""


class Posting(Protocol):
    """The way from a signed update to the ledger."""

    def opened(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Runs what it needs as long as the context lasts; `wake` is called, from any thread, when there is news."""

    def view(self, session: Session) -> Session:
        """The session as far as this actor knows it, given what the ledger tells."""

    def hand_in(self, session: Session, signed: SignedUpdate) -> bool:
        """Brings the update of the hop that is due on its way; returns False if something else had to go first."""

    def settle_first(self, session: Session) -> bool:
        """Posts what the ledger does not know yet of a session; returns whether there was anything."""

    def is_ahead(self, session: Session) -> bool:
        """Whether there are hops of a session that the ledger does not know yet."""

    def is_stuck(self, session: Session) -> bool:
        """Whether this actor's own updates have waited for the ledger for too long."""

    def forget_ended(self, state: LedgerState) -> None:
        """Drops what is held of queries that have ended."""


class DirectPosting:
    """Each update in a transaction of its own.

    Args:
        client: the ledger.
    """

    def __init__(self, client: Ledger) -> None:
        self._client = client

    def opened(self, wake: Callable[[], None]) -> AbstractContextManager[None]:  # noqa: ARG002 - nothing runs here
        """Nothing runs."""
        return nullcontext()

    def view(self, session: Session) -> Session:
        """What the ledger tells."""
        return session

    def hand_in(self, session: Session, signed: SignedUpdate) -> bool:
        """Posts it."""
        self._client.post(session.state(self._client.block_time), signed)
        return True

    def settle_first(self, session: Session) -> bool:  # noqa: ARG002
        """Nothing ever waits."""
        return False

    def is_ahead(self, session: Session) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def is_stuck(self, session: Session) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def forget_ended(self, state: LedgerState) -> None:
        """Nothing is held."""


class Transport(Protocol):
    """Carries signed updates to and from the relay."""

    def opened(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """As for `Posting`."""

    def send(self, signed: SignedUpdate) -> str:
        """Hands an update to the relay; why it was refused or not delivered, empty if it was taken."""

    def forget_ended(self, state: LedgerState) -> None:
        """As for `Posting`."""


class RelayedPosting:
    """Updates go through the relay, and to the ledger directly when it refuses them or stands still.

    Args:
        client: the ledger.
        me: this actor's account.
        state: the ledger as last read.
        hops: what was relayed.
        transport: to the relay.
        clock: seconds.
    """

    def __init__(
        self,
        client: Ledger,
        me: Address,
        state: Callable[[], LedgerState],
        hops: RelayedHops,
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._me, self._state = client, me, state
        self._hops, self._transport = hops, transport
        self._clock = clock
        self._patience = client.hop_seconds / PATIENCE
        self._progress: dict[QueryId, tuple[Digest, Digest, float]] = {}

    @contextmanager
    def opened(self, wake: Callable[[], None]) -> Iterator[None]:
        """Runs the transport."""
        with self._transport.opened(wake):
            yield

    def view(self, session: Session) -> Session:
        """The ledger's session and the relayed hops that continue it."""
        return self._hops.view(session)

    def hand_in(self, session: Session, signed: SignedUpdate) -> bool:
        """Relays it; posts it, and all that must stand before it, if the relay does not take it."""
        update = signed.update
        if not agrees(update.hop, update.output, session.expected_output):
            # The ledger alone can record a violation of eq. 13; once it has caught up this is called again.
            if self.settle_first(session):
                return False
            self._client.post(session.state(self._client.block_time), signed)
            return True
        refusal = self._transport.send(signed)
        if not refusal:
            self._hops.add(self._hops.read(signed))
            return True
        LOG.warning("query %d: hop %d posted past the relay (%s)", update.query, update.hop, refusal)
        return self._settle(session, signed)

    def settle_first(self, session: Session) -> bool:
        """Posts the relayed hops, if the ledger does not have them."""
        return self._settle(session)

    def is_ahead(self, session: Session) -> bool:
        """Whether relayed hops wait for the ledger."""
        chain = self._state().sessions.get(session.query)
        return chain is not None and bool(self._hops.pending(chain))

    def is_stuck(self, session: Session) -> bool:
        """Whether relayed hops, one of this actor's among them, stand still. The signer of the last one goes first."""
        chain = self._state().sessions.get(session.query)
        view, pending = (session, ()) if chain is None else self._hops.ahead(chain)
        mine = [index for index, each in enumerate(pending) if view.updates[each.update.hop].signer == self._me]
        if chain is None or not mine:
            self._progress.pop(session.query, None)
            return False
        known, now = self._progress.get(session.query), self._clock()
        if known is None or known[:2] != (chain.trail, view.trail):
            known = self._progress[session.query] = (chain.trail, view.trail, now)
        return now - known[2] > self._patience * (len(pending) - mine[-1])

    def forget_ended(self, state: LedgerState) -> None:
        """Of a query that the ledger has ended nothing relayed matters any more."""
        for query in self._hops.queries():
            if state.has_ended(query):
                self._hops.forget(query)
                self._progress.pop(query, None)
        self._transport.forget_ended(state)

    def _settle(self, session: Session, *more: SignedUpdate) -> bool:
        chain = self._state().sessions.get(session.query)
        if chain is None:
            return False
        # The relay may have taken `more` in, though its word of that did not arrive.
        end = min((signed.update.hop for signed in more), default=chain.hops)
        updates = (*(each for each in self._hops.pending(chain) if each.update.hop < end), *more)
        if updates:
            self._client.post(chain.state(self._client.block_time), *updates)
        return bool(updates)
