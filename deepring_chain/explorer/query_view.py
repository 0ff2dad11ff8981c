"""One query as a page shows it: its hops, and everything that happened to it, in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deepring_chain.explorer.expectation import Expectation, expect
from deepring_chain.explorer.record import Checked, Record
from deepring_chain.explorer.rows import QueryRow, delays, gas_summary, query_rows, shared_gas, total_gas
from deepring_chain.explorer.story import Telling, Tone, tell
from deepring_chain.explorer.text import Names, name_of, short
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.events import OutputDisputed, QuerySubmitted, RouteOpened, UpdatePosted
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import Pointer, QueryId, QueryPhase

PHASE_TONES = {
    QueryPhase.DELIVERED: Tone.GOOD,
    QueryPhase.DISPUTED: Tone.BAD,
    QueryPhase.INTERRUPTED: Tone.BAD,
    QueryPhase.REJECTED: Tone.BAD,
    QueryPhase.WITHDRAWN: Tone.BAD,
    QueryPhase.ROUTED: Tone.MOVE,
    QueryPhase.COMPUTED: Tone.MOVE,
}


class HopState(Enum):
    """How far a hop is."""

    DONE = "done"
    NOW = "now"
    DISPUTED = "disputed"
    LATER = "later"


@dataclass(frozen=True)
class HopMark:
    """A hop on the query's way; the last one is the delivery. `faults` counts how often it failed before."""

    label: str
    state: HopState
    signer: str = ""
    faults: int = 0


@dataclass(frozen=True)
class CheckCount:
    """A kind of check, and how often it was made."""

    name: str
    count: int


@dataclass(frozen=True)
class Moment:
    """One event of a query: in words, as a row of the trail, and what was checked."""

    telling: Telling
    row: QueryRow | None
    checks: tuple[CheckCount, ...]
    failure: AuditFailure | None

    @property
    def checks_in_all(self) -> int:
        """How many checks passed at this event."""
        return sum(check.count for check in self.checks)

    @property
    def pointer(self) -> Pointer | None:
        """Of the blob that it points to."""
        return self.row.pointer if self.row else None


@dataclass(frozen=True)
class QueryLine:
    """A query in a list."""

    query: QueryId
    phase: str
    tone: Tone
    asked: int
    querent: str
    attempts: int
    gas: int
    shared: int
    expectation: Expectation

    @property
    def gas_in_words(self) -> str:
        """What it took; a transaction is counted once, also if it serves other queries as well."""
        return gas_summary(self.gas, self.shared)


@dataclass(frozen=True)
class QueryView:
    """A query's page.

    Attributes:
        line: as in the list.
        hops: its way.
        moments: what happened, oldest first.
        deadline: Unix time after which anyone may end the attempt; None when no hop is due.
        remarks: how long a lie lived.
    """

    line: QueryLine
    hops: tuple[HopMark, ...]
    moments: tuple[Moment, ...]
    deadline: int | None
    remarks: tuple[str, ...]

    @property
    def checks_in_all(self) -> int:
        """How many checks passed at this query's events."""
        return sum(moment.checks_in_all for moment in self.moments)


def view_line(record: Record, query: QueryId, names: Names) -> QueryLine:
    """One query of the list; `query` is one of `record.queries`."""
    session, items = record.state.sessions[query], record.of_query(query)
    phase, tone = session.phase.name.lower(), PHASE_TONES.get(session.phase, Tone.WAIT)
    asked, entries = items[0].entry.time, [item.entry for item in items]
    gas, shared = total_gas(entries), shared_gas(entries)
    querent = name_of(session.querent, names, f"account {short(session.querent)}")
    due = expect(session, record.state, names)
    return QueryLine(query, phase, tone, asked, querent, session.attempt, gas, shared, due)


def view_query(record: Record, query: QueryId, names: Names) -> QueryView | None:
    """One query's page; None if nobody asked it."""
    session, items = record.state.sessions.get(query), record.of_query(query)
    if session is None or not items or not isinstance(items[0].entry.event, QuerySubmitted):
        return None
    line = view_line(record, query, names)
    return QueryView(
        line,
        _hops(session, names, line.expectation),
        _moments(items, names),
        _deadline(record, session, items),
        tuple(delays([item.entry for item in items])),
    )


def _hops(session: Session, names: Names, due: Expectation) -> tuple[HopMark, ...]:
    if not session.hops:
        return ()
    marks = [_hop(session, hop, names, due) for hop in range(session.hops)]
    return (*marks, HopMark("answer", _answer_state(session), "ouroboros"))


def _hop(session: Session, hop: int, names: Names, due: Expectation) -> HopMark:
    faults = sum(fault.hop == hop and fault.kind is not FaultKind.UNSETTLED for fault in session.faults)
    accepted = {int(at): update for at, update in session.updates.items() if at < session.next_hop}.get(hop)
    expected = "ouroboros" if hop == 0 else due.who if hop == due.hop else ""
    signer = name_of(accepted.signer, names) if accepted else expected
    return HopMark(f"hop {hop}", _hop_state(session, hop, is_accepted=accepted is not None), signer, faults)


def _hop_state(session: Session, hop: int, *, is_accepted: bool) -> HopState:
    if session.phase is QueryPhase.DISPUTED and hop in {session.next_hop - 1, session.next_hop}:
        return HopState.DISPUTED
    if is_accepted:
        return HopState.DONE
    return HopState.NOW if session.phase is QueryPhase.ROUTED and hop == session.next_hop else HopState.LATER


def _answer_state(session: Session) -> HopState:
    match session.phase:
        case QueryPhase.DELIVERED:
            return HopState.DONE
        case QueryPhase.COMPUTED:
            return HopState.NOW
        case QueryPhase.DISPUTED if session.next_hop >= session.hops:
            return HopState.DISPUTED
    return HopState.LATER


def _moments(items: Sequence[Checked], names: Names) -> tuple[Moment, ...]:
    following = [*items[1:], None]
    rows = query_rows([item.entry for item in items], names)
    found = [_moment(item, after, row, names) for item, after, row in zip(items, following, rows, strict=True)]
    return tuple(moment for moment in found if moment is not None)


def _moment(item: Checked, after: Checked | None, row: QueryRow | None, names: Names) -> Moment | None:
    telling = tell(item.entry, names)
    if telling is None:
        return None
    event = item.entry.event
    if isinstance(event, UpdatePosted) and event.signed.update.hop > 0:
        is_disputed = after is not None and isinstance(after.entry.event, OutputDisputed)
        agrees = "" if is_disputed else f" Its output is what hop {event.signed.update.hop - 1} said it must be."
        telling = Telling(telling.entry, telling.tone, telling.sentence + agrees, telling.query)
    checks = tuple(CheckCount(check.value, count) for check, count in item.checks.items())
    return Moment(telling, row, checks, item.failure)


def _deadline(record: Record, session: Session, items: Sequence[Checked]) -> int | None:
    """As the ledger counts: from the last hop or route, or from when the ring became authentic if that was later."""
    if session.phase is not QueryPhase.ROUTED:
        return None
    steps = [item.entry.time for item in items if isinstance(item.entry.event, UpdatePosted | RouteOpened)]
    return max([*steps, record.authentic_since]) + record.terms.hop_seconds
