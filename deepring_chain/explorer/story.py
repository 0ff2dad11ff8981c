"""Events as plain sentences, for readers who have never seen the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from deepring_chain.explorer.rows import sides_of
from deepring_chain.explorer.text import Names, clean, listed, name_of
from deepring_chain.follow.history import HistoryEntry
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
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
    WorkerAdmitted,
    query_of,
)
from deepring_chain.types import ComplaintKind, QueryId, RejectReason


class Tone(Enum):
    """What a sentence is about, which the page shows by a sign and not by color alone."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "waits"
    MOVE = "moves"
    NOTE = "note"


@dataclass(frozen=True)
class Telling:
    """An event in words.

    Attributes:
        tone: good, bad, ...
        sentence: what happened; nothing in it is markup.
        query: whose story it belongs to, if it is one query's.
    """

    entry: HistoryEntry
    tone: Tone
    sentence: str
    query: QueryId | None


COMPLAINTS = {
    ComplaintKind.MISSING: "nothing lies in the store where its envelope should be",
    ComplaintKind.UNREADABLE: "its envelope cannot be opened",
    ComplaintKind.ALTERED: "its envelope holds something else than what was committed to",
    ComplaintKind.UNABLE: "it cannot compute on what it got",
}

REJECTIONS = {
    RejectReason.UNDECRYPTABLE: "the input cannot be opened",
    RejectReason.MALFORMED: "the input is malformed",
    RejectReason.WRONG_SHAPE: "the input has another shape than the model takes",
    RejectReason.BLOB_UNAVAILABLE: "the input is not in the store",
    RejectReason.RING_FAULTY: "attempt after attempt has failed",
}


def tell(entry: HistoryEntry, names: Names) -> Telling | None:
    """The sentence of an event; None for those that only say in detail what another one tells."""
    told = _tell_ring(entry.event, names) or _tell_query(entry.event, names) or _tell_trouble(entry.event, names)
    return None if told is None else Telling(entry, *told, query_of(entry.event))


def _tell_ring(event: Event, names: Names) -> tuple[Tone, str] | None:
    match event:
        case ModelRegistered():
            return Tone.NOTE, f"The owner registered version {event.version} of a model with {event.layers} layers."
        case WorkerAdmitted():
            return Tone.NOTE, f"{name_of(event.worker, names)} was admitted."
        case RingArranged():
            seated = listed([name_of(seat, names) for seat in event.seats])
            told = "Everyone must now prove anew that its parameters are unchanged."
            return Tone.MOVE, f"The ring was seated anew (arrangement {event.arrangement}): {seated}. {told}"
        case AuthenticityDerived():
            if event.is_authentic:
                return Tone.GOOD, "All block hashes add up to the one on record: authenticity is ON, queries may go on."
            return Tone.BAD, (
                "The block hashes do not add up to the one on record: somebody's parameters were changed. "
                "Authenticity is OFF, and all queries wait."
            )
        case RestoreOrdered():
            who = name_of(event.worker, names)
            return Tone.BAD, (
                f"The block in seat {event.position} ({who}) is the first whose hash is not the recorded one: "
                f"the ouroboros sealed the true parameters to {who} and ordered it to load them."
            )
        case RestoreReported():
            return Tone.GOOD, f"{name_of(event.worker, names)} is restored. What had changed: {_changed(event)}."
    return None


def _changed(event: RestoreReported) -> str:
    return clean(event.changed) or "it names nothing"


def _tell_query(event: Event, names: Names) -> tuple[Tone, str] | None:
    match event:
        case QuerySubmitted():
            who = name_of(event.querent, names, "the querent")
            return Tone.MOVE, f"Query {event.query} was asked by {who}; only the ouroboros can open the input."
        case RouteOpened():
            again = "" if event.attempt == 1 else f" Attempt {event.attempt} begins at hop {event.first_hop}."
            return (
                Tone.MOVE,
                f"The ouroboros committed to a route; who signs is hidden until it acts.{again}",
            )
        case QueryResumed():
            return Tone.GOOD, (
                f"Nothing is done twice: attempt {event.attempt} goes on from the output of hop {event.anchor_hop} "
                f"that was accepted in attempt {event.anchor_attempt}."
            )
        case UpdatePosted():
            return Tone.MOVE, _update_sentence(event, names)
        case AnswerDelivered():
            return Tone.GOOD, "The ouroboros sealed the answer to the querent."
        case QueryRejected():
            return Tone.BAD, f"The ouroboros turned the query down: {REJECTIONS[event.reason]}."
        case QueryWithdrawn():
            return Tone.BAD, "The querent gave the query up."
    return None


def _update_sentence(event: UpdatePosted, names: Names) -> str:
    update, who = event.signed.update, name_of(event.signer, names)
    if update.hop == 0:
        return f"{who} put the input on its way, sealed to the first worker, and says what layer 1 must make of it."
    return (
        f"{who} ran layer {update.hop}, signed its output, sealed it to the next hop, and says what comes next must "
        "make of it."
    )


def _tell_trouble(event: Event, names: Names) -> tuple[Tone, str] | None:
    match event:
        case OutputDisputed():
            return Tone.BAD, (
                f"The output of hop {event.hop} is not what hop {event.hop - 1} said it must be (eq. 13): "
                "one of them lied. The query stops until the ouroboros has judged."
            )
        case EnvelopeDisputed():
            complaint, who = event.complaint, name_of(event.recipient, names)
            return Tone.BAD, f"{who} at hop {complaint.hop} complains: {COMPLAINTS[complaint.kind]}."
        case VerdictPosted():
            return Tone.GOOD, _verdict_sentence(event)
        case HopTimedOut():
            return Tone.BAD, f"Hop {event.hop} did not act before its deadline: this attempt is over."
        case BlockAttested() | BlockHashed():
            return None
    return None


def _verdict_sentence(event: VerdictPosted) -> str:
    sides = sides_of(event.verdict)
    guilty = [f"hop {hop}" for hop, is_guilty in sides if is_guilty]
    cleared = [f"hop {hop}" for hop, is_guilty in sides if not is_guilty]
    if not guilty:
        return f"The ouroboros looked into it and found nobody guilty: {listed(cleared)} are acquitted."
    found = [f"{hop} is guilty" for hop in guilty] + [f"{hop} is acquitted" for hop in cleared]
    return f"The ouroboros looked into it: {', '.join(found)}."
