"""Whether the ciphertext store can be read, and has what the ledger points to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepring_chain.errors import StoreError
from deepring_chain.health.snapshot import LostBlob, StoreFacts
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.store.content import BlobCorrupt, BlobFault, BlobMissing, BlobTooLarge, ContentStore
from deepring_chain.types import ZERO, Hop, Pointer, QueryPhase, RingMode

MOST_BLOBS = 2000
"""The newest so many are looked up; an audit reads all."""


@dataclass(frozen=True)
class PointedBlob:
    """A blob that the ledger points to."""

    digest: Pointer
    what: str
    is_needed: bool


def look_at_store(url: str, state: LedgerState | None, most: int = MOST_BLOBS) -> StoreFacts:
    """The store's facts. It may block for as long as the store's driver does.

    Args:
        url: any fsspec URL.
        state: the ledger's, whose pointers are looked up; None if it is not known.
        most: how many pointers, the newest.
    """
    try:
        store = ContentStore(url)
    except StoreError as error:
        return StoreFacts(url, str(error))
    try:
        store.check_readable()
        pointers = list(pointers_of(state)) if state is not None else []
        newest = [*(p for p in pointers if p.is_needed), *(p for p in reversed(pointers) if not p.is_needed)][:most]
        lost = [found for pointer in newest if (found := _look_up(store, pointer)) is not None]
    except StoreError as error:
        return StoreFacts(store.url, str(error))
    return StoreFacts(store.url, None, len(newest), len(pointers) - len(newest), tuple(lost))


def _look_up(store: ContentStore, pointer: PointedBlob) -> LostBlob | None:
    """What is wrong with a blob, if anything. One that nobody waits for is not read, only looked for."""
    try:
        if pointer.is_needed:
            store.get(pointer.digest)
            return None
        trouble = "" if store.exists(pointer.digest) else "missing"
    except BlobMissing:
        trouble = "missing"
    except BlobCorrupt:
        trouble = "damaged"
    except BlobTooLarge:
        trouble = "too large"
    except BlobFault:
        trouble = "unreadable"
    return LostBlob(pointer.digest, f"{pointer.what} is {trouble}", pointer.is_needed) if trouble else None


def pointers_of(state: LedgerState) -> Iterator[PointedBlob]:
    """Everything that a ledger points to, as far as its state tells, the oldest first, and who needs it."""
    if state.model is not None:
        yield PointedBlob(state.model.card, "the model's card", is_needed=True)
    for session in state.sessions.values():
        yield from (pointer for pointer in _of_query(session) if pointer.digest != ZERO)
    yield from _of_arrangement(state)


def _of_arrangement(state: LedgerState) -> Iterator[PointedBlob]:
    current = state.arrangement
    if current is None:
        return
    missing = current.missing_seats() if state.mode is RingMode.ATTESTING else []
    fresh = any(current.round_of(position) == 0 for position in missing)
    yield PointedBlob(
        current.arranged.notes, f"the notes of arrangement {current.arranged.arrangement}", is_needed=fresh
    )
    for position, order in current.restores.items():
        yield PointedBlob(
            order.parameters, f"the parameters that restore seat {position}", is_needed=position in missing
        )


def _of_query(session: Session) -> Iterator[PointedBlob]:
    name, last = f"query {session.query}", Hop(session.next_hop - 1)
    is_delivered = session.phase is QueryPhase.DELIVERED
    yield PointedBlob(session.sealed_input, f"{name}: the sealed input", is_needed=session.is_open)
    yield PointedBlob(session.notes, f"{name}: the route's notes", is_needed=session.phase is QueryPhase.ROUTED)
    for hop, posted in session.updates.items():
        is_next = session.is_open and hop == last
        yield PointedBlob(posted.signed.update.envelope, f"{name}: hop {hop}'s envelope", is_needed=is_next)
    if isinstance(session.dispute, EnvelopeDisputed):
        is_open = session.phase is QueryPhase.DISPUTED
        yield PointedBlob(session.dispute.complaint.evidence, f"{name}: the complaint's evidence", is_needed=is_open)
    if session.answer is not None:
        yield PointedBlob(session.answer.answer, f"{name}: the sealed answer", is_needed=is_delivered)
