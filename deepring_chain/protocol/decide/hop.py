"""What a worker does for one query: put back, settle, or take its turn on the route (paper 3.4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.route import RouteNote, is_turn_of
from deepring_chain.protocol.session import Session
from deepring_chain.types import Address, ComplaintKind, Hop, Pointer, QueryPhase, RingMode, SignedUpdate, TensorBytes


@dataclass(frozen=True)
class Recalled:
    """What the journal holds for this place.

    Attributes:
        signed: the update that was signed earlier; None if there is none.
    """

    signed: SignedUpdate | None


@dataclass(frozen=True)
class Received:
    """What became of the envelope of the hop before.

    Attributes:
        tensor: its output, held against its commitment; None if that cannot be used.
        fault, reason: what to complain of then, and why, in words.
    """

    tensor: TensorBytes | None = field(default=None, repr=False)
    fault: ComplaintKind = ComplaintKind.MISSING
    reason: str = ""


@dataclass(frozen=True)
class Turn:
    """What a worker knows of a query.

    Attributes:
        me: its account.
        mode: of the ring.
        session: the query, with the hops that were relayed.
        is_stuck: its own relayed update has waited too long for the ledger.
        is_ahead: relayed hops are not on the ledger yet.
        is_intact: its own parameters are of use.
        notes: the route's notes that open with its key; None if they have not been read.
        recalled, received: answers to `Recall` and `Receive`; None if they have not been asked.
    """

    me: Address
    mode: RingMode
    session: Session
    is_stuck: bool = False
    is_ahead: bool = False
    is_intact: bool = True
    notes: tuple[RouteNote, ...] | None = None
    recalled: Recalled | None = None
    received: Received | None = None


@dataclass(frozen=True)
class OpenNotes:
    """Open the route's notes, while the ouroboros enters the input: later the query would wait for that."""


@dataclass(frozen=True)
class Recall:
    """Look up what was signed for this place: it is never signed twice."""

    note: RouteNote


@dataclass(frozen=True)
class Receive:
    """Open the envelope of the hop before (eq. 9-11), and hold it against its commitment."""

    note: RouteNote


@dataclass(frozen=True)
class Compute:
    """Compute the layer and the next one, seal the output, sign and record the update; then recall it."""

    note: RouteNote
    received: TensorBytes = field(repr=False)


@dataclass(frozen=True)
class PutBack:
    """See that the store has this blob, from the worker's own copy: the referee waits for it."""

    blob: Pointer


@dataclass(frozen=True)
class SettleFirst:
    """Post what was relayed and is not on the ledger."""


@dataclass(frozen=True)
class HandIn:
    """Bring a signed update on its way."""

    signed: SignedUpdate


@dataclass(frozen=True)
class Complain:
    """Dispute what the hop before sent."""

    note: RouteNote
    kind: ComplaintKind
    reason: str


Question = OpenNotes | Recall | Receive | Compute
"""What the worker finds out, to be asked again with the answer."""

Deed = PutBack | SettleFirst | HandIn | Complain
"""What ends the turn."""


def next_action(turn: Turn) -> Question | Deed | None:
    """Return what is due for the query; None if it is nothing, or another's."""
    session = turn.session
    if session.phase is QueryPhase.DISPUTED:
        blob = owed_blob(turn.me, session)
        return None if blob is None else PutBack(blob)
    if session.phase is not QueryPhase.ROUTED or turn.mode is not RingMode.QUERY:
        return None
    if turn.is_stuck:
        return SettleFirst()
    if turn.notes is None:
        return OpenNotes()
    note = find_note(turn.me, session, turn.notes)
    return None if note is None else _take_turn(turn, note)


def _take_turn(turn: Turn, note: RouteNote) -> Question | Deed:
    if not turn.is_intact:
        # Not the sender's fault, but nothing else tells the ouroboros at once that a restore is needed.
        return _complain(turn, note, ComplaintKind.UNABLE, "own parameters are damaged")
    if turn.recalled is None:
        return Recall(note)
    if turn.recalled.signed is not None:
        return HandIn(turn.recalled.signed)
    received = turn.received
    if received is None:
        return Receive(note)
    if received.tensor is None:
        return _complain(turn, note, received.fault, received.reason)
    return Compute(note, received.tensor)


def _complain(turn: Turn, note: RouteNote, kind: ComplaintKind, reason: str) -> Deed:
    """The ledger takes a complaint of what it knows: the next look finds the same reason."""
    return SettleFirst() if turn.is_ahead else Complain(note, kind, reason)


def find_note(me: Address, session: Session, notes: tuple[RouteNote, ...]) -> RouteNote | None:
    """Return the note for the hop that is due, if it is this worker's: it opens the ledger's route link.

    A neighbor that attests this block's sealing key as its own has its notes sealed to it, too. A note that tells
    another number of items than the ledger is none either: an update signed for that many would be refused. Hop 0
    is the ouroboros's, whoever is told to take it: nothing was sent before it that could be opened, or complained of.
    """
    if session.next_hop == 0:
        return None
    due = (session.next_hop, session.items)
    for note in notes:
        if (note.hop, note.items) == due and is_turn_of(me, note.salt, note.next_route, session.route):
            return note
    return None


def owed_blob(me: Address, session: Session) -> Pointer | None:
    """Return what the referee of a disputed envelope needs of this worker: its envelope, or its complaint's evidence.

    Whatever the complaint says: a recipient may delete what it then calls unreadable, and a sender the evidence.
    """
    dispute, sent = session.dispute, session.updates.get(Hop(session.next_hop - 1))
    if sent is None or not isinstance(dispute, EnvelopeDisputed):
        return None
    if sent.signer == me:
        return sent.signed.update.envelope
    return dispute.complaint.evidence if dispute.recipient == me else None
