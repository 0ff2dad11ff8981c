"""What the ouroboros put into the store for others is kept while they need it, and put back if it is lost there.

Without this whoever deletes one blob of notes stops the ring, or has an honest worker found silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from deepring_chain.actors.member import Member
from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import StoreError
from deepring_chain.store.content import BlobFault
from deepring_chain.types import ArrangementId, Digest, Pointer, QueryId, QueryPhase, RingMode

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""What is needed for longer than this is looked for in the store, and so often."""

CARD_SECONDS = 10.0
"""How often the model's card is looked for: nobody tells the ouroboros that it is missed."""


class CardKeeper:
    """Keeps the model's card in the store: without it nobody can ask, nor read an answer.

    Args:
        member: the ouroboros's keys and connections.
        card: of its own model; put back where that is the registered one's.
        clock: seconds.
    """

    def __init__(self, member: Member, card: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._card = card
        self._clock = clock
        self._next_look: float | None = None

    def act(self) -> bool:
        """Puts the card back if it is gone; returns whether it did. A store that is away is others' to report."""
        model = self._member.state.model
        if model is None or (self._next_look is not None and self._clock() < self._next_look):
            return False
        self._next_look, card = self._clock() + CARD_SECONDS, self._card()
        with suppress(StoreError):
            if sha256(card) == model.card and not self._member.store.has_good(model.card):
                self._member.store.put(card)
                LOG.warning("the store had lost the model's card; put back")
                return True
        return False


class BlobKeeper:
    """Keeps notes and parameters of restores.

    Args:
        member: the ouroboros's keys and connections.
        clock: seconds.
    """

    def __init__(self, member: Member, clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._clock = clock
        self._needed: set[str] = set()
        self._next_look = 0.0

    def put_for_arrangement(self, arrangement: ArrangementId, seal: Callable[[], bytes]) -> Pointer:
        """Stores what the members need until all have attested in an arrangement: what `seal` makes."""
        return self._put(f"kept/arrangement/{arrangement}", seal)

    def put_for_query(self, query: QueryId, seal: Callable[[], bytes]) -> Pointer:
        """Stores what the members need while a query runs: what `seal` makes."""
        return self._put(f"kept/query/{query}", seal)

    def act(self) -> bool:
        """Puts back what somebody has been waiting for; returns whether it did."""
        needed = self._wanted()
        if needed != self._needed:
            self._needed, self._next_look = needed, self._clock() + LOOK_SECONDS
            self._forget()
            return False
        if not needed or self._clock() < self._next_look:
            return False
        self._next_look = self._clock() + LOOK_SECONDS
        found = [self._put_back(key) for key in needed]
        return any(found)

    def _put(self, place: str, seal: Callable[[], bytes]) -> Pointer:
        digest, blob = self._member.store.put_sealed(seal(), seal)
        self._member.journal.record_once(f"{place}/{digest.hex()}", lambda: blob)
        return digest

    def _put_back(self, key: str) -> bool:
        blob, digest = self._member.journal.read(key), Pointer(Digest(bytes.fromhex(key.rpartition("/")[2])))
        if blob is None or self._member.store.has_good(digest):
            return False
        try:
            self._member.store.put(blob)
        except BlobFault as fault:  # the others are put back all the same
            LOG.error("%s", fault)  # noqa: TRY400 - one line is the point
            return False
        LOG.warning("the store had lost %s; put back", digest.hex())
        return True

    def _wanted(self) -> set[str]:
        """The keys of what somebody may be waiting for."""
        state, current = self._member.state, self._member.state.arrangement
        found = set()
        if current is not None and state.mode is RingMode.ATTESTING:
            blobs = [current.arranged.notes, *(order.parameters for order in current.restores.values())]
            found = {f"kept/arrangement/{current.arranged.arrangement}/{blob.hex()}" for blob in blobs}
        routed = [session for session in state.open_sessions() if session.phase is QueryPhase.ROUTED]
        return found | {f"kept/query/{session.query}/{session.notes.hex()}" for session in routed}

    def _forget(self) -> None:
        """Drops what belongs to earlier arrangements and to queries that have ended."""
        state = self._member.state
        arrangement = state.arrangement.arranged.arrangement if state.arrangement else 0
        for key in self._member.journal.keys("kept/"):
            _, kind, number, _ = key.split("/")
            if int(number) < arrangement if kind == "arrangement" else state.has_ended(QueryId(int(number))):
                self._member.journal.forget(key)
