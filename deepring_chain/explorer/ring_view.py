"""The ring as a page shows it: seats, links, lamp, and which seats act now. Pure: from a record to values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deepring_chain.explorer import picture
from deepring_chain.explorer.expectation import Expectation, expect
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.rows import SeatRow, seat_rows
from deepring_chain.explorer.text import Names, clean, name_of
from deepring_chain.protocol.ledger_state import ArrangementState, LedgerState
from deepring_chain.protocol.session import Session
from deepring_chain.types import Position, QueryId, RingMode

LONGEST_NAME = 12
"""Characters of a name in the picture; lists have it whole."""


class Lamp(Enum):
    """The authenticity flag, as a word, with what it means."""

    ON = "every block proved that its parameters are unchanged"
    OFF = "some block's parameters were changed; the ouroboros looks for it"
    CHECKING = "the blocks prove their parameters"
    RESTORING = "a changed block is being restored"
    SETUP = "the ring is not seated yet"


class SeatState(Enum):
    """What a seat has shown in this arrangement."""

    WAITING = "has not attested"
    ATTESTED = "attested"
    RESTORING = "is being restored"
    RESTORED = "restored and attested"


class LinkState(Enum):
    """Whether a link of the chain of hashes is there."""

    OPEN = "not derived yet"
    FOLDED = "derived"
    BROKEN = "not the recorded hash"


@dataclass(frozen=True)
class Seat:
    """A block in the picture and in the list beside it.

    Attributes:
        name, brief_name: whole, and cut for the picture.
        state: attested or not.
        hop: which hop of the query in focus it signed.
        is_lit: it must act now.
        may_act: the hop that runs and may be its own; the route hides whose it is.
        changed: what a restore found changed.
        row: leaf and block hash, once attested.
        link: from the seat before, and its state.
    """

    position: Position
    name: str
    brief_name: str
    at: picture.Point
    state: SeatState
    link: picture.Link
    link_state: LinkState
    hop: int | None = None
    is_lit: bool = False
    may_act: int | None = None
    changed: str = ""
    row: SeatRow | None = None

    @property
    def is_ouroboros(self) -> bool:
        """Whether this is the owner's seat."""
        return self.position == 0

    @property
    def doing(self) -> str:
        """A word or two for the picture."""
        if self.state in {SeatState.RESTORING, SeatState.WAITING}:
            return "restoring" if self.state is SeatState.RESTORING else "attesting"
        if self.is_lit:
            return "acts now"
        if self.hop is not None:
            return f"hop {self.hop} done"
        return f"hop {self.may_act}?" if self.may_act else f"seat {self.position}"


@dataclass(frozen=True)
class Ring:
    """The current seating.

    Attributes:
        arrangement: its number; 0 before the first.
        lamp: the flag.
        seats: in seat order; the first is the ouroboros.
        closing: state of the link from the last seat back to the first: whether the ring closes.
        focus: the query in the picture, and what it waits for.
    """

    arrangement: int
    lamp: Lamp
    seats: tuple[Seat, ...]
    closing: LinkState
    focus: QueryId | None
    expectation: Expectation | None

    @property
    def lamp_label(self) -> str:
        """The lamp as a word: the flag is off until the ledger has derived that it is on."""
        return {Lamp.ON: "ON", Lamp.CHECKING: "pending", Lamp.SETUP: "not set up"}.get(self.lamp, "OFF")

    @property
    def headline(self) -> str:
        """The lamp in a sentence."""
        return f"Authenticity {self.lamp_label}: {self.lamp.value}."

    @property
    def news(self) -> tuple[str, ...]:
        """What to write under the lamp."""
        restoring = [f"restoring seat {seat.position}" for seat in self.seats if seat.state is SeatState.RESTORING]
        if restoring or self.focus is None:
            return tuple(restoring[:1])
        brief = self.expectation.brief if self.expectation else "ended"
        is_hidden = self.expectation is not None and self.expectation.hop and not self.expectation.is_known
        return (f"query {self.focus}: {brief}", *(["signer not yet known"] if is_hidden else []))

    @property
    def closing_link(self) -> picture.Link:
        """From the last seat back to the first."""
        return picture.link(0, len(self.seats))

    @property
    def has_names(self) -> bool:
        """Whether there is room for names in the picture."""
        return picture.has_room_for_names(len(self.seats))

    @property
    def summary(self) -> str:
        """The picture in words."""
        seated = ", ".join(f"seat {seat.position} {seat.name} ({seat.doing})" for seat in self.seats)
        now = f" Query {self.focus}: {self.expectation.sentence}" if self.expectation else ""
        return f"{self.headline} {seated}.{now}"


def view_ring(record: Record, names: Names, focus: QueryId | None = None) -> Ring:
    """The ring with one query in focus: the named one, or the oldest that is open and on its way.

    Args:
        record: what was read.
        names: of the members.
        focus: a query to show; None chooses.
    """
    state = record.state
    session = state.sessions.get(focus) if focus is not None else _choose(state)
    expectation = expect(session, state, names) if session is not None and session.is_open else None
    current = state.arrangement
    lamp = lamp_of(state)
    if current is None:
        return Ring(0, lamp, (), LinkState.OPEN, None, None)
    rows = {row.position: row for row in seat_rows(record.current, names)}
    seats = tuple(
        _seat(Position(position), current, names, rows, session, expectation)
        for position in range(len(current.arranged.seats))
    )
    shown = session.query if session is not None else None
    return Ring(current.arranged.arrangement, lamp, seats, _closing(current), shown, expectation)


def lamp_of(state: LedgerState) -> Lamp:
    """The lamp; the ledger derives it from the leaves, nobody sets it."""
    match state.mode:
        case RingMode.QUERY:
            return Lamp.ON
        case RingMode.TRACKING:
            return Lamp.OFF
        case RingMode.ATTESTING:
            return Lamp.RESTORING if state.arrangement and state.arrangement.restores else Lamp.CHECKING
    return Lamp.SETUP


def _choose(state: LedgerState) -> Session | None:
    """The oldest query on its way; else the last one that ran in this seating, so that its way can still be seen."""
    waiting = state.open_sessions()
    on_way = [session for session in waiting if session.attempt]
    if on_way or waiting:
        return (on_way or waiting)[0]
    current = state.arrangement.arranged.arrangement if state.arrangement else 0
    recent = [session for session in state.sessions.values() if session.attempt and session.arrangement == current]
    return recent[-1] if recent else None


def _seat(
    position: Position,
    current: ArrangementState,
    names: Names,
    rows: dict[Position, SeatRow],
    session: Session | None,
    expectation: Expectation | None,
) -> Seat:
    seats = current.arranged.seats
    name = name_of(seats[position], names, "ouroboros" if position == 0 else "")
    is_due = expectation is not None and position in expectation.seats
    is_known = expectation is not None and expectation.is_known
    return Seat(
        position,
        name,
        _brief(name),
        picture.seat_point(position, len(seats)),
        _seat_state(position, current),
        picture.link(position, len(seats)),
        LinkState.FOLDED if position < len(current.block_hashes) else LinkState.OPEN,
        _hop_of(position, seats, session, current),
        is_lit=is_due and is_known,
        may_act=expectation.hop if expectation is not None and is_due and not is_known else None,
        changed=clean(", ".join(report.changed for report in current.reports if report.position == position)),
        row=rows.get(position),
    )


def _seat_state(position: Position, current: ArrangementState) -> SeatState:
    if position in current.restores:
        return SeatState.RESTORED if position in current.attestations else SeatState.RESTORING
    return SeatState.ATTESTED if position in current.attestations else SeatState.WAITING


def _hop_of(position: Position, seats: Sequence[str], session: Session | None, current: ArrangementState) -> int | None:
    """The hop that this seat signed in the query in focus, if the query runs or ran in this seating."""
    if session is None or session.arrangement != current.arranged.arrangement:
        return None
    due = session.next_hop
    signed = [hop for hop, update in session.updates.items() if hop < due and update.signer == seats[position]]
    return signed[-1] if signed else None


def _closing(current: ArrangementState) -> LinkState:
    if current.is_authentic is None:
        return LinkState.OPEN
    return LinkState.FOLDED if current.is_authentic else LinkState.BROKEN


def _brief(name: str) -> str:
    brief = clean(name, 40).replace("-standby-", "/s")
    return brief if len(brief) <= LONGEST_NAME else brief[: LONGEST_NAME - 1] + "…"
