"""What the ouroboros put into the store for others is kept while they need it, and put back if it is lost there.

Without this whoever deletes one blob of notes stops the ring, or has an honest worker found silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.stopwatch import Stopwatch
from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import StoreError
from deepring_chain.protocol.decide.keeping import (
    CardQuestion,
    CardView,
    EncodeCard,
    FindCard,
    Forget,
    Keeping,
    KeptBlob,
    KeptFor,
    ListRecords,
    PutBack,
    next_action,
    next_card_action,
    wanted_blobs,
)
from deepring_chain.store.content import BlobFault
from deepring_chain.types import ArrangementId, Digest, Pointer, QueryId

LOG = logging.getLogger(__name__)


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
        self._looked: float | None = None

    def act(self) -> bool:
        """Put the card back if it is gone; return whether it did. A store that is away is others' to report."""
        model, waited = self._member.state.model, None if self._looked is None else self._clock() - self._looked
        card = CardView(model.card if model else None, waited)
        with suppress(StoreError):
            while isinstance(action := next_card_action(card), CardQuestion):
                card = self._answer(card, action)
            return action is not None and self._put()
        return False

    def _answer(self, card: CardView, question: CardQuestion) -> CardView:
        match question:
            case EncodeCard():
                own = sha256(self._card())
                self._looked = self._clock()
                return replace(card, own=own)
            case FindCard(digest):
                return replace(card, is_stored=self._member.store.has_good(digest))

    def _put(self) -> bool:
        self._member.store.put(self._card())
        LOG.warning("the store had lost the model's card; put back")
        return True


class BlobKeeper:
    """Keeps notes and parameters of restores.

    Args:
        member: the ouroboros's keys and connections.
        clock: seconds.
    """

    def __init__(self, member: Member, clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._clock = clock
        self._before: frozenset[KeptBlob] = frozenset()
        self._since = Stopwatch()

    def put_for_arrangement(self, arrangement: ArrangementId, seal: Callable[[], bytes]) -> Pointer:
        """Store what the members need until all have attested in an arrangement: what `seal` makes."""
        return self._put(KeptFor.ARRANGEMENT, arrangement, seal)

    def put_for_query(self, query: QueryId, seal: Callable[[], bytes]) -> Pointer:
        """Store what the members need while a query runs: what `seal` makes."""
        return self._put(KeptFor.QUERY, query, seal)

    def act(self) -> bool:
        """Put back what somebody has been waiting for; return whether it did."""
        keeping = self._look()
        action = next_action(keeping)
        if isinstance(action, ListRecords):
            records = frozenset(read_key(key) for key in self._member.journal.keys("kept/"))
            action = next_action(replace(keeping, records=records))
        match action:
            case Forget(records):
                self._before = keeping.wanted
                for record in records:
                    self._member.journal.forget(key_of(record))
            case PutBack(blobs):
                self._since.restart(self._clock())
                found = [self._put_back(blob) for blob in blobs]
                return any(found)
        return False

    def _look(self) -> Keeping:
        """Return what is known of what is kept before anything is asked."""
        state, current, waiting = self._member.state, self._member.state.arrangement, self._member.state.open_sessions()
        wanted = wanted_blobs(state.mode, current, waiting)
        return Keeping(
            wanted=wanted,
            before=self._before,
            waited=self._since.held(wanted, self._clock()),
            arrangement=current.arranged.arrangement if current else 0,
            newest=state.newest,
            open_queries=frozenset(session.query for session in waiting),
        )

    def _put(self, purpose: KeptFor, number: int, seal: Callable[[], bytes]) -> Pointer:
        digest, blob = self._member.store.put_sealed(seal(), seal)
        self._member.journal.record_once(key_of(KeptBlob(purpose, number, digest)), lambda: blob)
        return digest

    def _put_back(self, kept: KeptBlob) -> bool:
        blob = self._member.journal.read(key_of(kept))
        if blob is None or self._member.store.has_good(kept.digest):
            return False
        try:
            self._member.store.put(blob)
        except BlobFault as fault:  # the others are put back all the same
            LOG.error("%s", fault)  # noqa: TRY400 - one line is the point
            return False
        LOG.warning("the store had lost %s; put back", kept.digest.hex())
        return True


def key_of(kept: KeptBlob) -> str:
    """Return where a kept blob stands in the journal."""
    return f"kept/{kept.purpose.value}/{kept.number}/{kept.digest.hex()}"


def read_key(key: str) -> KeptBlob:
    """Inverse of `key_of`."""
    _, purpose, number, digest = key.split("/")
    return KeptBlob(KeptFor(purpose), int(number), Pointer(Digest(bytes.fromhex(digest))))
