"""What an event is about, in the words in which a failure names it."""

from __future__ import annotations

from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    ModelRegistered,
    OutputDisputed,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    UpdatePosted,
    VerdictPosted,
    WorkerAdmitted,
    query_of,
)


def subject_of(event: Event) -> str:
    """A query and hop, an arrangement and seat, a model version, an account."""
    if query_of(event) is not None:
        return _subject_of_query(event)
    match event:
        case ModelRegistered():
            return f"model version {event.version}"
        case WorkerAdmitted():
            return f"account {event.worker}"
        case RingArranged() | AuthenticityDerived():
            return f"arrangement {event.arrangement}"
        case BlockAttested():
            return f"arrangement {event.attestation.arrangement}, seat {event.attestation.position}"
        case BlockHashed() | RestoreOrdered() | RestoreReported():
            return f"arrangement {event.arrangement}, seat {event.position}"
    return type(event).__name__


def _subject_of_query(event: Event) -> str:
    subject = f"query {query_of(event)}"
    match event:
        case UpdatePosted():
            return f"{subject}, hop {event.signed.update.hop}"
        case EnvelopeDisputed():
            return f"{subject}, hop {event.complaint.hop}"
        case VerdictPosted():
            return f"{subject}, hop {event.verdict.hop}"
        case OutputDisputed() | HopTimedOut():
            return f"{subject}, hop {event.hop}"
        case AnswerDelivered():
            return f"{subject}, delivery"
    return subject
