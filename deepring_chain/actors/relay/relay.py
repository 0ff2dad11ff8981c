"""The relay: where the ouroboros takes in signed updates, checks them as the ledger will, and passes them on.

It can withhold, but not forge: every update is signed over the history before it, and whoever reads one checks that.
What it took in is in the ouroboros's journal before it says so.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from deepring_chain.actors.journal import Journal
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.relayed import RelayedHops, check_continues
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import decode_signed_update, encode_signed_update
from deepring_chain.types import Address, QueryId, SignedUpdate

LARGEST_UPDATE: Final = 2048
"""Bytes of an encoded signed update; it has about 400."""

MOST_AT_ONCE = 512
"""Updates in one answer."""

Listener = Callable[[Address | None], None]
"""Is told whose turn it is after an update was taken in."""


class Relay:
    """Signed updates of the open queries, in the order in which they were taken in. Safe for threads.

    Args:
        hops: where they are held for the ouroboros itself.
        state: the ledger as last read.
        journal: where they survive.
        due: whose turn a query's next hop is; the ouroboros's when all hops are in.

    Attributes:
        epoch: of this run: a reader that knows another one begins anew.
    """

    def __init__(
        self,
        hops: RelayedHops,
        state: Callable[[], LedgerState],
        journal: Journal,
        due: Callable[[Session], Address | None] = lambda _session: None,
    ) -> None:
        self._hops, self._state, self._journal, self._due = hops, state, journal, due
        self._taking = threading.Lock()
        self._listeners: list[Listener] = []
        self._first, self._log = 0, list[tuple[QueryId, bytes]]()
        self._forgotten: set[QueryId] = set()
        self.epoch = secrets.token_bytes(8)
        for key in journal.keys("relayed/"):
            self._restore(journal.read(key) or b"")

    def take(self, signed: SignedUpdate) -> None:
        """Takes in an update that continues its query; one that is known already is no error.

        Raises:
            ProtocolError: it does not continue the query, in words.
        """
        update = signed.update
        event = self._hops.read(signed)
        with self._taking:
            session = self._state().sessions.get(update.query)
            if session is None:
                raise ProtocolError(f"query {update.query}: the ledger has no such query")
            view = self._hops.view(session)
            known = view.updates.get(update.hop)
            if known is not None and known.signed == signed:
                return
            check_continues(view, event)
            self._journal.record_once(_key(signed), lambda: encode_signed_update(signed))
            if not self._hops.add(event):
                raise ProtocolError(f"query {update.query}: the relay has no room for hop {update.hop}")
            self._log.append((update.query, encode_signed_update(signed)))
        self.tell(self._due(self._hops.view(session)))

    def read(self, epoch: bytes, after: int) -> bytes | None:
        """What was taken in after the first `after` updates, encoded; None if there is nothing yet."""
        with self._taking:
            begin = after if epoch == self.epoch else 0
            if begin >= self._first + len(self._log) and epoch == self.epoch:
                return None
            start = max(0, begin - self._first)
            found = [data for _, data in self._log[start : start + MOST_AT_ONCE]]
            return encode_news(self.epoch, self._first + start + len(found), found)

    def forget_ended(self, state: LedgerState) -> None:
        """Drops what was taken in of queries that have ended."""
        held = {query for query, _ in self._log}
        ended = {query for query in held if state.has_ended(query)}
        if not ended:
            return
        with self._taking:
            # Only from the front: places in the log stay what they are.
            while self._log and self._log[0][0] in ended:
                self._log.pop(0)
                self._first += 1
        for query in ended - self._forgotten:
            for key in self._journal.keys(f"relayed/{query}/"):
                self._journal.forget(key)
        self._forgotten = ended & {query for query, _ in self._log}

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """`listener` is called, from any thread, after each update that is taken in, as long as the block runs."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self, due: Address | None) -> None:
        """Tells all listeners whose turn it is now; None if that is not known."""
        for listener in list(self._listeners):
            listener(due)

    def _restore(self, data: bytes) -> None:
        signed = decode_signed_update(data)
        self._hops.add(self._hops.read(signed))
        self._log.append((signed.update.query, data))


def _key(signed: SignedUpdate) -> str:
    update = signed.update
    return f"relayed/{update.query}/{update.attempt:05}/{update.hop:05}/{update.trail.hex()}"


def encode_news(epoch: bytes, after: int, updates: list[bytes]) -> bytes:
    """An answer of the relay: the run that it is of, how far the reader is then, and the updates."""
    return encode_fields("relayed", [epoch, after, updates])


def decode_news(data: bytes) -> tuple[bytes, int, list[SignedUpdate]]:
    """Inverse of `encode_news`.

    Raises:
        ProtocolError: malformed.
    """
    epoch, after, updates = decode_fields(data, "relayed", [bytes, int, list])
    if not all(isinstance(update, bytes) and len(update) <= LARGEST_UPDATE for update in updates):
        raise ProtocolError("relayed: what it lists are no updates")
    return epoch, after, [decode_signed_update(update) for update in updates]
