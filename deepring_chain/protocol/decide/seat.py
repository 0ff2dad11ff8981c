"""What a worker does for its seat: attest, restore its block, or post its leaf itself (paper 3.3, 3.4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.route import ArrangementNote
from deepring_chain.types import Address, ArrangementId, Challenge, Pointer, Position

OWN_SECONDS = 2.0
"""After so long a worker posts its leaf itself."""


@dataclass(frozen=True)
class LeafPlace:
    """Where a leaf belongs; `round` counts the restores of the seat in this arrangement."""

    arrangement: ArrangementId
    position: Position
    round: int


@dataclass(frozen=True)
class Seat:
    """What a worker knows of the seat that waits for its leaf.

    Attributes:
        place: which leaf.
        parameters: of the last order of restore: where they lie, sealed to this worker; None without an order.
        is_reported: this worker told of this restore already.
        handed_in: the leaf that it handed in last, if any.
        waited: seconds since then.
    """

    place: LeafPlace
    parameters: Pointer | None = None
    is_reported: bool = False
    handed_in: LeafPlace | None = None
    waited: float = 0.0


@dataclass(frozen=True)
class Attest:
    """Read the challenge from the arrangement's notes; sign the leaf over the tensors in use, and hand it in."""

    place: LeafPlace


@dataclass(frozen=True)
class Restore:
    """Take the parameters that the ouroboros sent; report what had changed, if `must_report`; then attest."""

    place: LeafPlace
    parameters: Pointer
    must_report: bool


@dataclass(frozen=True)
class PostLeaf:
    """Post the leaf past the ouroboros, which left it out."""


SeatAction = Attest | Restore | PostLeaf


def seat_of(me: Address, current: ArrangementState | None) -> LeafPlace | None:
    """Return which leaf the current arrangement awaits of this member, if any."""
    if current is None:
        return None
    position = current.position_of(me)
    if position is None or position in current.attestations:
        return None
    return LeafPlace(current.arranged.arrangement, position, current.round_of(position))


def decide_seat(seat: Seat | None) -> SeatAction | None:
    """Return what is due for the seat; None if no leaf is awaited, or it is on its way."""
    if seat is None:
        return None
    if seat.handed_in == seat.place:
        return PostLeaf() if seat.waited >= OWN_SECONDS else None
    if seat.parameters is not None:
        return Restore(seat.place, seat.parameters, not seat.is_reported)
    return Attest(seat.place)


def find_challenge(me: Address, place: LeafPlace, notes: Sequence[ArrangementNote]) -> Challenge:
    """Return the challenge for a seat, from the notes that this member's key opens.

    It may open others: a member that was admitted with this one's public key has its own sealed to it, too.

    Raises:
        ProtocolError: there is no note for this seat.
    """
    for note in notes:
        if note.position == place.position:
            return note.challenge
    others = ", ".join(str(note.position) for note in notes) or "none"
    raise ProtocolError(
        f"arrangement {place.arrangement}: no note for {me} in seat {place.position}; its notes are for seats: {others}"
    )
