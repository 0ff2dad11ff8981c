"""Which blobs the owner keeps in the store for others, and when it looks for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.session import Session
from deepring_chain.types import Digest, Pointer, QueryId, QueryPhase, RingMode

LOOK_SECONDS = 2.0
"""What is needed for longer than this is looked for in the store, and so often."""

CARD_SECONDS = 10.0
"""How often the model's card is looked for: nobody tells the ouroboros that it is missed."""


class KeptFor(Enum):
    """What a blob is kept for."""

    ARRANGEMENT = "arrangement"
    QUERY = "query"


@dataclass(frozen=True)
class KeptBlob:
    """A blob that the members need until all have attested in an arrangement, or while a query runs.

    Attributes:
        purpose, number: which arrangement, or which query.
        digest: its name in the store.
    """

    purpose: KeptFor
    number: int
    digest: Pointer


@dataclass(frozen=True)
class Keeping:
    """What the owner knows of what it keeps.

    Attributes:
        wanted: what somebody may be waiting for.
        before: what that was when the owner decided last.
        waited: seconds since it became what it is, or was looked for last.
        arrangement: number of the last arrangement; 0 before the first.
        newest: number of the last query that was submitted; 0 before the first.
        open_queries: which of them wait for somebody.
        records: all that is kept, answer to `ListRecords`; None if it has not been asked.
    """

    wanted: frozenset[KeptBlob]
    before: frozenset[KeptBlob] = frozenset()
    waited: float = 0.0
    arrangement: int = 0
    newest: int = 0
    open_queries: frozenset[QueryId] = frozenset()
    records: frozenset[KeptBlob] | None = None


@dataclass(frozen=True)
class ListRecords:
    """List all that is kept."""


@dataclass(frozen=True)
class Forget:
    """Note what is wanted now, and drop these records: nobody will want them again."""

    records: frozenset[KeptBlob]


@dataclass(frozen=True)
class PutBack:
    """Look for these in the store, and put back those that it has lost."""

    blobs: frozenset[KeptBlob]


def wanted_blobs(mode: RingMode, current: ArrangementState | None, sessions: Iterable[Session]) -> frozenset[KeptBlob]:
    """Return what somebody may be waiting for: those who must attest, and those on a query's route."""
    found = {
        KeptBlob(KeptFor.QUERY, session.query, session.notes)
        for session in sessions
        if session.phase is QueryPhase.ROUTED
    }
    if current is not None and mode is RingMode.ATTESTING:
        blobs = [current.arranged.notes, *(order.parameters for order in current.restores.values())]
        found |= {KeptBlob(KeptFor.ARRANGEMENT, current.arranged.arrangement, blob) for blob in blobs}
    return frozenset(found)


def next_action(keeping: Keeping) -> ListRecords | Forget | PutBack | None:
    """Return what is due: whatever is wanted is looked for once it has been wanted for a while."""
    if keeping.wanted != keeping.before:
        return ListRecords() if keeping.records is None else Forget(useless_records(keeping, keeping.records))
    if keeping.wanted and keeping.waited >= LOOK_SECONDS:
        return PutBack(keeping.wanted)
    return None


def useless_records(keeping: Keeping, records: frozenset[KeptBlob]) -> frozenset[KeptBlob]:
    """Return what belongs to earlier arrangements and to queries that have ended."""
    return frozenset(record for record in records if _is_past(keeping, record))


def _is_past(keeping: Keeping, record: KeptBlob) -> bool:
    if record.purpose is KeptFor.ARRANGEMENT:
        return record.number < keeping.arrangement
    return record.number <= keeping.newest and record.number not in keeping.open_queries


@dataclass(frozen=True)
class CardView:
    """What the owner knows of the model's card, without which nobody can ask, nor read an answer.

    Attributes:
        registered: the card's name on the ledger; None before a model is registered.
        waited: seconds since it was looked for; None if it never was.
        own: name of the owner's own card, answer to `EncodeCard`; None if it has not been asked.
        is_stored: answer to `FindCard`; None if it has not been asked.
    """

    registered: Pointer | None
    waited: float | None = None
    own: Digest | None = None
    is_stored: bool | None = None


@dataclass(frozen=True)
class EncodeCard:
    """Encode the card of the owner's own model."""


@dataclass(frozen=True)
class FindCard:
    """Look for the card in the store."""

    card: Pointer


@dataclass(frozen=True)
class PutCard:
    """Put the owner's own card into the store."""


CardQuestion = EncodeCard | FindCard
"""What the owner finds out about the card, to ask again with the answer."""


def next_card_action(card: CardView) -> CardQuestion | PutCard | None:
    """Return what is due for the model's card: it is put back where it is the registered one."""
    if card.registered is None or (card.waited is not None and card.waited < CARD_SECONDS):
        return None
    if card.own is None:
        return EncodeCard()
    if card.own != card.registered:
        return None
    if card.is_stored is None:
        return FindCard(card.registered)
    return None if card.is_stored else PutCard()
