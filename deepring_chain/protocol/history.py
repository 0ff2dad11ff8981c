"""The entries of a query's trail, as the ledger needs them where it holds a history against the rolling hash."""

from __future__ import annotations

from collections.abc import Iterable

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    OutputDisputed,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.protocol.session import Session, TrailEvent
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, start_trail
from deepring_chain.types import Address, Domain, Question, TrailEntry, TrailHash


def entries_after(domain: Domain, ouroboros: Address, session: Session, anchor: UpdatePosted) -> list[TrailEntry]:
    """The trail after an update of the session's history."""
    start = next(index for index, event in enumerate(session.history) if event is anchor)
    return _entries(domain, ouroboros, session.history[start + 1 :], anchor.trail)


def all_entries(domain: Domain, ouroboros: Address, session: Session, question: Question) -> list[TrailEntry]:
    """The whole trail after the question."""
    return _entries(domain, ouroboros, session.history, start_trail(session.query, session.querent, question))


def _entries(domain: Domain, ouroboros: Address, events: Iterable[TrailEvent], trail: TrailHash) -> list[TrailEntry]:
    entries: list[TrailEntry] = []
    for event in events:
        entries.append(_entry(domain, ouroboros, event, trail))
        trail = extend_trail(trail, entries[-1].digest, entries[-1].signer)
    return entries


def _entry(domain: Domain, ouroboros: Address, event: TrailEvent, trail: TrailHash) -> TrailEntry:
    match event:
        case UpdatePosted():
            return TrailEntry(message_digest(domain, event.signed.update), event.signer)
        case OutputDisputed():
            return VIOLATION
        case RouteOpened():
            return RENEWAL
        case EnvelopeDisputed():
            return TrailEntry(message_digest(domain, event.complaint), event.recipient)
        case VerdictPosted():
            return TrailEntry(message_digest(domain, event.verdict), ouroboros)
        case AnswerDelivered():
            return TrailEntry(message_digest(domain, event.delivery(trail)), ouroboros)
