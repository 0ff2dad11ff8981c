"""What an open query waits for, and who must act, as far as the public record tells."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.explorer.text import Names, name_of
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.types import Address, Position, QueryPhase, RingMode

OUROBOROS_SEAT = Position(0)

ENDS = {
    QueryPhase.DELIVERED: "It is answered; the answer is sealed to its querent.",
    QueryPhase.REJECTED: "The ouroboros turned it down.",
    QueryPhase.WITHDRAWN: "Its querent gave it up.",
}


@dataclass(frozen=True)
class Expectation:
    """Who is expected to act.

    Attributes:
        sentence: in words.
        brief: in a few words, for the picture.
        hop: the hop that runs; None when none does.
        who: the name of who must sign that hop, if it is known.
        seats: who must act: one seat if it is known, several while the route hides which, none after the end.
    """

    sentence: str
    brief: str
    hop: int | None = None
    seats: tuple[Position, ...] = ()
    who: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is known who must act."""
        return len(self.seats) == 1


def expect(session: Session, state: LedgerState, names: Names) -> Expectation:
    """What a query waits for.

    Args:
        session: the query.
        state: the ledger.
        names: of the members.
    """
    mode = state.mode
    match session.phase:
        case QueryPhase.SUBMITTED | QueryPhase.INTERRUPTED if mode is not RingMode.QUERY:
            return Expectation("It waits until the ring is authentic.", "waits for the ring")
        case QueryPhase.SUBMITTED:
            return _by_ouroboros("It waits for the ouroboros to draw a route.", "waits for a route")
        case QueryPhase.INTERRUPTED:
            following = session.attempt + 1
            told = f"It waits for the ouroboros to draw the route of attempt {following}."
            return _by_ouroboros(told, f"waits for attempt {following}")
        case QueryPhase.DISPUTED:
            told = f"Hops {session.next_hop - 1} and {session.next_hop} are in dispute: the ouroboros must judge."
            return _by_ouroboros(told, f"dispute at hop {session.next_hop}")
        case QueryPhase.COMPUTED:
            return _by_ouroboros("All layers are done: the ouroboros must deliver the answer.", "answer due")
        case QueryPhase.ROUTED:
            return _by_hop(session, state, names)
    return Expectation(ENDS.get(session.phase, "It has ended."), session.phase.name.lower())


def _by_ouroboros(sentence: str, brief: str) -> Expectation:
    return Expectation(sentence, brief, None, (OUROBOROS_SEAT,))


def _by_hop(session: Session, state: LedgerState, names: Names) -> Expectation:
    hop, last = session.next_hop, session.hops - 1
    place = f"hop {hop} of {last}"
    if state.mode is not RingMode.QUERY:
        return Expectation(f"At {place} it waits until the ring is authentic.", f"{place} waits", hop)
    if hop == 0:
        return Expectation(f"{place.capitalize()} runs: the ouroboros.", place, hop, (OUROBOROS_SEAT,), "ouroboros")
    seats = _candidates(session, state)
    if len(seats) != 1:
        return Expectation(f"{place.capitalize()} runs, signer not yet known.", place, hop, seats)
    who = name_of(_seated(state)[seats[0]], names)
    return Expectation(f"{place.capitalize()} runs: only {who} is left to sign it.", place, hop, seats, who)


def _candidates(session: Session, state: LedgerState) -> tuple[Position, ...]:
    """The seated workers that signed no hop of this query: each serves one layer. Valid for the route's own seating."""
    current = state.arrangement
    if current is None or session.arrangement != current.arranged.arrangement:
        return ()
    acted = {update.signer for hop, update in session.updates.items() if 0 < hop < session.next_hop}
    seats = enumerate(current.arranged.seats)
    return tuple(Position(seat) for seat, worker in seats if seat > 0 and worker not in acted)


def _seated(state: LedgerState) -> tuple[Address, ...]:
    return state.arrangement.arranged.seats if state.arrangement else ()
