"""What the ouroboros does for one query: open its routes, enter its input, deliver, complain, time out, turn it down.

It is the start and the end of every query (paper 3.4.1-3.4.3). How it judges: `protocol.decide.judging`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from deepring_chain.crypto.sealing import is_usable_key
from deepring_chain.protocol.decide.hop import Received, SettleFirst
from deepring_chain.protocol.session import Session
from deepring_chain.types import ComplaintKind, QueryPhase, RejectReason, RingMode, TensorBytes

MAX_ATTEMPTS = 16
"""A query that failed so often is turned down: the ring has no worker that can serve it."""

LATE = "DeadlinePassed"
"""The ledger's refusal of a hop 0 that comes too late: only a timeout ends the attempt then."""


class InputState(Enum):
    """What became of a query's input.

    `WAITS` has no room yet, `READY` is open and has its room; the others are what is wrong with it.
    """

    WAITS = "waits for room"
    READY = "ready"
    MISSING = "not in the store"
    UNSEALABLE = "does not open"
    MALFORMED = "no tensor"
    UNFIT = "another shape than the model takes, or too large"


REASONS = {
    InputState.MISSING: RejectReason.BLOB_UNAVAILABLE,
    InputState.UNSEALABLE: RejectReason.UNDECRYPTABLE,
    InputState.MALFORMED: RejectReason.MALFORMED,
    InputState.UNFIT: RejectReason.WRONG_SHAPE,
}
"""Why the query is turned down then."""


@dataclass(frozen=True)
class Service:
    """What the ouroboros knows of a query.

    Attributes:
        mode: of the ring.
        session: the query, with the hops that were relayed.
        may_open: the arrangement in force takes new routes.
        is_next: no older query waits for room.
        is_overdue: the hop that is due has had its time.
        waited: seconds since its dispute was first seen.
        is_ahead: relayed hops are not on the ledger yet.
        is_held: the settler has the query's answer.
        input: answer to `ReadInput`; None if it has not been asked.
        received: answer to `ReceiveOutput`; likewise.
        refusal: the ledger's name for why it refused hop 0; None if it did not.
    """

    mode: RingMode
    session: Session
    may_open: bool = True
    is_next: bool = True
    is_overdue: bool = False
    waited: float = 0.0
    is_ahead: bool = False
    is_held: bool = False
    input: InputState | None = None
    received: Received | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class ReadInput:
    """Find room for the input, and open it (eq. 3)."""


@dataclass(frozen=True)
class ReceiveOutput:
    """Open the last layer's envelope (eq. 9-11), and hold it against its commitment."""


@dataclass(frozen=True)
class Judge:
    """Find out who is to blame for a dispute, and post the verdict."""


@dataclass(frozen=True)
class Reject:
    """Turn the query down."""

    reason: RejectReason


@dataclass(frozen=True)
class OpenRoute:
    """Draw and open the query's next attempt."""


@dataclass(frozen=True)
class EnterInput:
    """Seal, sign and hand in hop 0; if the ledger refuses it, ask again with the refusal's name."""


@dataclass(frozen=True)
class TimeOut:
    """Call the timeout of the hop that is due."""


@dataclass(frozen=True)
class Deliver:
    """Seal the answer to the querent, and sign the closing entry (eq. 12)."""

    output: TensorBytes = field(repr=False)


@dataclass(frozen=True)
class Complain:
    """Dispute what the last hop sent."""

    kind: ComplaintKind
    reason: str


Question = ReadInput | ReceiveOutput
"""What the ouroboros finds out, to be asked again with the answer."""

Deed = Judge | Reject | OpenRoute | EnterInput | SettleFirst | TimeOut | Deliver | Complain
"""What ends the turn."""


def next_action(service: Service) -> Question | Deed | None:
    """Return what is due for the query; None if it is nothing, or another's.

    Of a refused hop 0 that means: the refusal is reported, and hop 0 tried again.
    """
    session = service.session
    if session.phase is QueryPhase.DISPUTED:
        return Judge()
    if service.mode is not RingMode.QUERY:
        return None
    match session.phase:
        case QueryPhase.SUBMITTED:
            return _open(service) if service.may_open and service.is_next else None
        case QueryPhase.INTERRUPTED:
            return _open(service) if service.may_open else None
        case QueryPhase.ROUTED:
            return _enter(service) if session.next_hop == 0 else _watch(service)
        case QueryPhase.COMPUTED:
            return None if service.is_held else _finish(service)
    return None


def _open(service: Service) -> Question | Deed | None:
    if service.session.attempt >= MAX_ATTEMPTS:
        return Reject(RejectReason.RING_FAULTY)
    if service.input is None:
        return ReadInput()
    if service.input is InputState.WAITS:
        return None
    if service.input is not InputState.READY:
        return Reject(REASONS[service.input])
    return OpenRoute() if is_usable_key(service.session.sealing_key) else Reject(RejectReason.MALFORMED)


def _enter(service: Service) -> Deed | None:
    """Hop 0, until it is too late for it.

    The ouroboros may have been away since it opened the route, or may not sign anew: what it signed for this place
    stays what it signed, also after a reorganization that gave the query another route in another arrangement. That
    entry no longer fits, nobody else can post hop 0, and only a timeout ends the attempt.
    """
    if service.refusal is None:
        return EnterInput()
    return TimeOut() if service.refusal == LATE else _watch(service)


def _watch(service: Service) -> Deed | None:
    """The ledger blames the hop that it waits for: it must know all that came before."""
    if not service.is_overdue:
        return None
    return SettleFirst() if service.is_ahead else TimeOut()


def _finish(service: Service) -> Question | Deed:
    """Take the last layer's output as every recipient does: deliver it, or complain.

    The ledger takes a complaint of what it knows: the next look finds the same reason.
    """
    received = service.received
    if received is None:
        return ReceiveOutput()
    if received.tensor is not None:
        return Deliver(received.tensor)
    return SettleFirst() if service.is_ahead else Complain(received.fault, received.reason)
