"""When the owner seats the ring anew, and with whom (paper 3.3, 3.4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN, ArrangementState
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.session import Session
from deepring_chain.types import Address, ArrangementId, Pointer, QueryPhase, RingMode

FINISHED = frozenset({QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN})
RUNNING = frozenset({QueryPhase.ROUTED, QueryPhase.COMPUTED})
WAITING = frozenset({QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED})
HALTED = frozenset({RingMode.ATTESTING, RingMode.TRACKING})
"""The modes in which no query is served until blocks attest, or are restored."""


@dataclass(frozen=True)
class Seating:
    """The arrangement that is in force.

    Attributes:
        mode: of the ring.
        arrangement, seats, notes: as arranged.
        failing: who has not attested, or with a key that is of no use, or falsely after all restores.
        is_keyless: one of them attested a key to which nothing can be sealed.
        is_incurable: one of them was restored again and again, in vain.
        is_restored: a seat was restored.
        follows_restores: the arrangement before this one had to be restored, too.
        authentic_block: where the ring became authentic last.
    """

    mode: RingMode
    arrangement: ArrangementId
    seats: tuple[Address, ...]
    notes: Pointer
    failing: tuple[Address, ...] = ()
    is_keyless: bool = False
    is_incurable: bool = False
    is_restored: bool = False
    follows_restores: bool = False
    authentic_block: int = 0


@dataclass(frozen=True)
class Failures:
    """Who failed how often.

    Attributes:
        strikes: by worker, as `count_strikes` counts them.
        seconds: since they were first asked for in this arrangement: a worker has been failing for so long.
    """

    strikes: Counter[Address]
    seconds: float


@dataclass(frozen=True)
class RingView:
    """What the owner knows of its ring.

    Attributes:
        roster: who may serve which layer.
        every: a new arrangement is due after so many finished queries.
        patience: for how many seconds a worker is waited for.
        seating: the arrangement in force; None at set-up and after another model was registered.
        last: number of the last arrangement; 0 before the first.
        sessions: all queries.
        is_requested: the owner asked for a new arrangement.
        is_quiet: no query's step runs, which may be about to open a route in the present arrangement.
        in_mode: seconds for which the ring has been in this arrangement and mode.
        halted: seconds for which it has been halted in this arrangement.
        own, is_held: which leaf the ring awaits of the owner, and whether that leaf is at hand.
        failures, drawn: answers to `CountFailures` and `ReadDraw`; None if they have not been asked.
    """

    roster: Roster
    every: int
    patience: float
    seating: Seating | None = None
    last: ArrangementId = ArrangementId(0)
    sessions: tuple[Session, ...] = ()
    is_requested: bool = False
    is_quiet: bool = True
    in_mode: float = 0.0
    halted: float = 0.0
    own: LeafPlace | None = None
    is_held: bool = False
    failures: Failures | None = None
    drawn: Pointer | None = None


@dataclass(frozen=True)
class CountFailures:
    """Count who failed how often, and for how long this has been asked in this arrangement."""

    arrangement: ArrangementId


@dataclass(frozen=True)
class ReadDraw:
    """Look up which notes were drawn for this arrangement."""

    arrangement: ArrangementId


@dataclass(frozen=True)
class Arrange:
    """Seat the ring anew, under this number."""

    arrangement: ArrangementId


@dataclass(frozen=True)
class AttestOwn:
    """Sign the leaf of the owner's own seat, and hold it for the next posting."""

    place: LeafPlace


Question = CountFailures | ReadDraw
"""What the owner finds out, to ask again with the answer."""

Deed = Arrange | AttestOwn
"""What the owner does for the ring's seats."""


def seating_of(mode: RingMode, current: ArrangementState | None) -> Seating | None:
    """Return the arrangement that is in force, if any."""
    if current is None or mode is RingMode.SETUP:
        return None
    arranged = current.arranged
    return Seating(
        mode=mode,
        arrangement=arranged.arrangement,
        seats=arranged.seats,
        notes=arranged.notes,
        failing=tuple(current.failing_workers()),
        is_keyless=bool(current.keyless),
        is_incurable=bool(current.incurable_seats()),
        is_restored=bool(current.restores),
        follows_restores=current.follows_restores,
        authentic_block=current.authentic_block,
    )


def next_action(ring: RingView) -> Question | Deed | None:
    """Return what is due for the ring's seats: to arrange comes before the owner's own leaf.

    A ring that is not quiet keeps its order.
    """
    if ring.is_quiet:
        question = find_question(ring)
        if question is not None:
            return question
        if _must_arrange(ring):
            return Arrange(ArrangementId(ring.last + 1))
    if ring.own is None or ring.own.round > 0 or ring.is_held:
        return None  # A restored seat's leaf is tracking's matter.
    return AttestOwn(ring.own)


def find_question(ring: RingView) -> Question | None:
    """Return what `is_due` and `next_action` need to know and the view does not tell; None if that is nothing."""
    seating = ring.seating
    if seating is None:
        return None
    if ring.failures is None and (seating.is_keyless or _is_incurable(seating)):
        return CountFailures(seating.arrangement)
    if ring.drawn is None and seating.mode in HALTED:
        return ReadDraw(seating.arrangement)
    return None


def is_due(ring: RingView) -> bool:
    """Return whether new routes must wait for a new arrangement.

    That is so at set-up, after every so many finished queries, after a hop failed, after a restore once those that
    waited for it are served, where a worker with a useless key can be replaced, and on demand.
    """
    seating = ring.seating
    if seating is None or ring.is_requested:
        return True
    here = [session for session in ring.sessions if session.arrangement == seating.arrangement]
    finished = sum(session.phase in FINISHED for session in here)
    if finished >= ring.every or any(session.phase is QueryPhase.INTERRUPTED for session in here):
        return True
    if seating.is_keyless and may_replace(ring, seating):
        return True
    return seating.is_restored and is_served(seating, ring.sessions, finished)


def is_served(seating: Seating, sessions: Sequence[Session], finished: int) -> bool:
    """Return whether a restored arrangement has served those that waited for it, and its order can be changed.

    A worker that attests falsely once in every arrangement would else keep all queries waiting for ever. If the
    arrangement before was restored too, this one stays until a query has ended in it: the owner pays for each.
    """
    if seating.follows_restores and not finished:
        return False
    return not any(
        session.phase in WAITING and session.submitted_block <= seating.authentic_block for session in sessions
    )


def _must_arrange(ring: RingView) -> bool:
    seating = ring.seating
    if is_due(ring) and _is_idle(ring):
        return True
    if seating is None:
        return False
    return is_overdue(ring, seating) or is_strange(ring, seating) or _must_replace(ring, seating)


def _is_idle(ring: RingView) -> bool:
    if ring.seating is not None and ring.seating.mode is not RingMode.QUERY:
        return False
    return not any(session.phase in RUNNING for session in ring.sessions)


def is_overdue(ring: RingView, seating: Seating) -> bool:
    """Return whether a seated worker has not attested for too long, and another one could."""
    if seating.mode is not RingMode.ATTESTING or ring.in_mode <= ring.patience:
        return False
    return can_replace(ring.roster, seating)


def is_strange(ring: RingView, seating: Seating) -> bool:
    """Return whether the ring has been halted for too long in an arrangement that is not in the journal.

    It was drawn by a copy of this folder, or the journal was set back: nobody knows here what its blocks must
    attest, and so nothing could be restored.
    """
    return seating.mode in HALTED and ring.drawn != seating.notes and ring.halted > ring.patience


def _must_replace(ring: RingView, seating: Seating) -> bool:
    return _is_incurable(seating) and may_replace(ring, seating)


def _is_incurable(seating: Seating) -> bool:
    """Return whether a worker attests falsely after every restore."""
    return seating.mode is RingMode.TRACKING and seating.is_incurable


def may_replace(ring: RingView, seating: Seating) -> bool:
    """Return whether a failing worker's seat may go to another one now: at once to one that never failed.

    Where all have failed, when the ring's patience is over: the owner pays for every arrangement.
    """
    if ring.failures is None:
        return False
    seated, strikes = set(seating.seats), ring.failures.strikes
    others = [worker for members in _candidates(ring.roster, seating) for worker in members]
    if any(worker not in seated and not strikes[worker] for worker in others):
        return True
    return ring.failures.seconds > ring.patience and can_replace(ring.roster, seating)


def can_replace(roster: Roster, seating: Seating) -> bool:
    """Return whether a failing worker's layer has another candidate."""
    return any(len(members) > 1 for members in _candidates(roster, seating))


def _candidates(roster: Roster, seating: Seating) -> list[tuple[Address, ...]]:
    """Return who may serve the layer of each failing worker."""
    return [roster.candidates.get(roster.layer_of(worker), ()) for worker in seating.failing]


def count_strikes(
    failures: Counter[Address], absences: Counter[Address], restores: Mapping[Address, int]
) -> Counter[Address]:
    """Return how often each worker failed: in queries, in attesting, and by restores in vain.

    One that had to be restored is no failure: anybody may have changed its file. Again and again is.
    """
    return failures + absences + Counter({worker: count // RESTORES_IN_VAIN for worker, count in restores.items()})


def choose_workers(roster: Roster, strikes: Counter[Address], failing: Sequence[Address]) -> list[Address]:
    """Return for each layer the candidate that failed least, the first choice among equals.

    Args:
        roster: who may serve which layer.
        strikes: up to the present arrangement.
        failing: who fails in it.
    """
    counted = strikes + Counter(failing)
    return [min(members, key=lambda member: counted[member]) for members in roster.candidates.values()]


def order_seats(owner: Address, workers: Sequence[Address], order: Sequence[int]) -> tuple[Address, ...]:
    """Return the seats in ring order: the ouroboros first, then the workers.

    Args:
        owner: the ouroboros.
        workers: in the order of their layers.
        order: a permutation of their indices, drawn at random: seats tell nothing of layers.
    """
    return (owner, *(workers[index] for index in order))
