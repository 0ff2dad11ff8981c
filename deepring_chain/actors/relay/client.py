"""A worker's connection to the relay: hands its updates in, and listens for those of others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from deepring_chain.actors.relay.relay import decode_news
from deepring_chain.actors.relay.server import LONGEST_WAIT
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.update import encode_signed_update
from deepring_chain.types import Address, SignedUpdate

LOG = logging.getLogger(__name__)

SEND_SECONDS = 5.0
"""For handing an update in; after that it goes to the ledger directly."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries while the relay is away."""

LARGEST_NEWS = 4 * 2**20


class RelayClient:
    """Keeps a worker's relayed hops up to date.

    Args:
        url: the relay's http address.
        hops: where they are held.
        me: the worker's account: its turn is news at once, others' a little later.
    """

    def __init__(self, url: str, hops: RelayedHops, me: Address) -> None:
        self._me = me
        self._url = f"{url.rstrip('/')}/updates"
        self._hops = hops
        self._local = threading.local()
        self._epoch, self._after = b"", 0

    def send(self, signed: SignedUpdate) -> str:
        """Hands an update to the relay; why it was not taken, empty if it was."""
        try:
            answer = self._session().post(self._url, data=encode_signed_update(signed), timeout=SEND_SECONDS)
        except requests.RequestException as error:
            return f"{self._url}: {type(error).__name__}"
        return "" if answer.status_code == requests.codes.no_content else answer.text[:200] or str(answer.status_code)

    def forget_ended(self, state: LedgerState) -> None:
        """Nothing is held here."""

    @contextmanager
    def opened(self, wake: Callable[[], None]) -> Iterator[None]:
        """Listens on a thread of its own as long as the block runs; news wake the worker."""
        stopping = threading.Event()
        thread = threading.Thread(target=self._listen, args=(wake, stopping), name="relay", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()

    def _listen(self, wake: Callable[[], None], stopping: threading.Event) -> None:
        pause, complaint = SHORTEST_PAUSE, ""
        while not stopping.is_set():
            try:
                if self._hear():
                    wake()
                pause, complaint = SHORTEST_PAUSE, ""
            except (requests.RequestException, ProtocolError) as error:
                found = type(error).__name__
                # Not at once: a relay that is started again, or a ring that is being stopped, is away for a moment.
                if found != complaint and pause > 2 * SHORTEST_PAUSE:
                    LOG.warning("relay %s: no news (%s); updates go to the ledger meanwhile", self._url, found)
                    complaint = found
                stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _hear(self) -> bool:
        """Waits for news; returns whether there was any.

        Raises:
            RequestException: the relay is away, or answers with an error.
            ProtocolError: what it answers is no news.
        """
        query = {"epoch": self._epoch.hex(), "after": str(self._after), "account": self._me}
        with self._session().get(self._url, params=query, timeout=LONGEST_WAIT + SEND_SECONDS, stream=True) as answer:
            answer.raise_for_status()
            if answer.status_code == requests.codes.no_content:
                return False
            data = answer.raw.read(LARGEST_NEWS + 1, decode_content=True)
        if len(data) > LARGEST_NEWS:
            raise ProtocolError(f"relay: an answer of more than {LARGEST_NEWS} bytes")
        self._epoch, self._after, updates = decode_news(data)
        return self._take(updates)

    def _take(self, updates: list[SignedUpdate]) -> bool:
        added = False
        for signed in updates:
            try:
                added = self._hops.add(self._hops.read(signed)) or added
            except ProtocolError as error:
                LOG.warning("relay %s: passed on what nobody signed (%s)", self._url, error)
        return added

    def _session(self) -> requests.Session:
        """One connection for each thread: a session is not made for several."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
        return session
