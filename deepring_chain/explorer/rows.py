"""The trail as rows of tables: what `deepring trail` prints and the pages show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deepring_chain.explorer.text import Names, clean, name_of, short
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
    query_of,
)
from deepring_chain.types import ArrangementId, BlockHash, Digest, Leaf, Pointer, Position, QueryId, TrailHash, Verdict


@dataclass(frozen=True)
class Cell:
    """A digest, a word, or a digest after a word."""

    word: str = ""
    digest: Digest | None = None

    def show(self, size: int) -> str:
        """As text, the digest shortened to `size` hex digits."""
        return " ".join(part for part in (self.word, short(self.digest, size) if self.digest else "") if part)


EMPTY = Cell()


@dataclass(frozen=True)
class QueryRow:
    """One entry of a query.

    Attributes:
        place: "query", a hop's number, "dispute 2", ...
        signer: whose entry it is.
        pointer: where its blob lies in the store.
        output, next_output: commitments O and H (eq. 6, 8), or what was found instead.
        trail: the rolling hash after it.
        gas: of its transaction; None where an entry before it has it already.
    """

    entry: HistoryEntry
    place: str
    signer: str
    pointer: Pointer | None = None
    output: Cell = EMPTY
    next_output: Cell = EMPTY
    trail: TrailHash | None = None
    gas: int | None = None


@dataclass(frozen=True)
class SeatRow:
    """One attested seat of an arrangement: leaf and block hash (eq. 1-2); None before the fold gets there."""

    entry: HistoryEntry
    position: Position
    worker: str
    leaf: Leaf
    block_hash: BlockHash | None
    gas: int | None


def query_ids(entries: Iterable[HistoryEntry]) -> list[QueryId]:
    """The queries that these entries speak of, in order of appearance."""
    found = dict.fromkeys(query_of(entry.event) for entry in entries)
    return [query for query in found if query is not None]


def arrangement_of(event: Event) -> ArrangementId | None:
    """The arrangement that an event belongs to, if it belongs to one."""
    if isinstance(event, BlockAttested):
        return event.attestation.arrangement
    kinds = RingArranged | BlockHashed | AuthenticityDerived | RestoreOrdered | RestoreReported
    return event.arrangement if isinstance(event, kinds) else None


def seat_rows(entries: Sequence[HistoryEntry], names: Names) -> list[SeatRow]:
    """The leaves of one arrangement. Leaves posted together share a transaction: its gas stands at the first."""
    hashes = {e.event.position: e.event.block_hash for e in entries if isinstance(e.event, BlockHashed)}
    paid: set[bytes] = set()
    rows = []
    for entry in entries:
        if isinstance(entry.event, BlockAttested):
            seat, worker = entry.event.attestation.position, name_of(entry.event.worker, names)
            gas = None if entry.logged.transaction_hash in paid else entry.gas
            paid.add(entry.logged.transaction_hash)
            rows.append(SeatRow(entry, seat, worker, entry.event.attestation.leaf, hashes.get(seat), gas))
    return rows


def arrangement_remarks(entries: Sequence[HistoryEntry], names: Names) -> list[str]:
    """What became of one arrangement: the flag as it was derived, restores and their reports."""
    told = []
    for entry in entries:
        match entry.event:
            case AuthenticityDerived() as event:
                flag = "ON" if event.is_authentic else "OFF"
                told.append(f"authenticity {flag}: {_hashes(event)}")
            case RestoreOrdered() as event:
                seated = name_of(event.worker, names)
                told.append(
                    f"restore ordered for seat {event.position} ({seated}): {_hashes(event)}; gas {entry.gas:,}"
                )
            case RestoreReported() as event:
                told.append(f"{name_of(event.worker, names)} restored; had changed: {clean(event.changed)}")
    return told


def _hashes(event: AuthenticityDerived | RestoreOrdered) -> str:
    return f"recorded {short(event.recorded_hash)}, derived {short(event.recomputed_hash)}"


def query_rows(entries: Sequence[HistoryEntry], names: Names) -> list[QueryRow | None]:
    """The rows of one query's events. Hops posted together share a transaction: its gas stands at the first.

    None stands for an event that only says where an attempt goes on from.
    """
    paid: set[bytes] = set()
    rows = []
    for entry in entries:
        row, transaction = query_row(entry, names), entry.logged.transaction_hash
        if row is not None and transaction in paid:
            row = replace(row, gas=None)
        paid.add(transaction)
        rows.append(row)
    return rows


def query_row(entry: HistoryEntry, names: Names) -> QueryRow | None:
    """The row of a query's event by itself; None for one that only says where an attempt goes on from."""
    gas = entry.gas
    match entry.event:
        case QuerySubmitted() as event:
            who = name_of(event.querent, names, "querent")
            return QueryRow(entry, "query", who, event.sealed_input, trail=event.trail, gas=gas)
        case RouteOpened() as event:
            first = Cell(f"from hop {event.first_hop}, {event.items} item{'s' if event.items > 1 else ''}")
            return QueryRow(entry, f"route {event.attempt}", "ouroboros", event.notes, first, gas=gas)
        case UpdatePosted() as event:
            update, signer = event.signed.update, name_of(event.signer, names)
            cells = Cell(digest=update.output), Cell(digest=update.next_output)
            return QueryRow(entry, str(update.hop), signer, update.envelope, *cells, event.trail, gas)
        case AnswerDelivered() as event:
            output = Cell(digest=event.output)
            return QueryRow(entry, "answer", "ouroboros", event.answer, output, trail=event.trail, gas=gas)
        case QueryRejected() as event:
            return QueryRow(entry, "rejected", "ouroboros", output=Cell(event.reason.name.lower()), gas=gas)
        case QueryWithdrawn():
            return QueryRow(entry, "withdrawn", "querent", gas=gas)
        case _:
            return _trouble_row(entry, names)


def _trouble_row(entry: HistoryEntry, names: Names) -> QueryRow | None:
    gas = entry.gas
    match entry.event:
        case OutputDisputed() as event:
            cells = Cell(digest=event.actual), Cell("not", event.expected)
            return QueryRow(entry, f"dispute {event.hop}", "the ledger", None, *cells)
        case EnvelopeDisputed() as event:
            complaint, who = event.complaint, name_of(event.recipient, names)
            kind, place = Cell(complaint.kind.name.lower()), f"complaint {complaint.hop}"
            return QueryRow(entry, place, who, complaint.evidence, kind, trail=event.trail, gas=gas)
        case VerdictPosted() as event:
            verdict = event.verdict
            sender, receiver = (
                Cell(f"hop {hop} {'guilty' if guilty else 'acquitted'}") for hop, guilty in sides_of(verdict)
            )
            place = f"verdict {verdict.hop}"
            return QueryRow(entry, place, "ouroboros", verdict.evidence, sender, receiver, event.trail, gas)
        case HopTimedOut() as event:
            return QueryRow(entry, f"timeout {event.hop}", "anyone", gas=gas)
        case _:
            return None


def sides_of(verdict: Verdict) -> tuple[tuple[int, bool], tuple[int, bool]]:
    """Both hops of the edge that was judged, and whether each is guilty."""
    return (verdict.hop - 1, verdict.sender_guilty), (verdict.hop, verdict.receiver_guilty)


def total_gas(entries: Iterable[HistoryEntry]) -> int:
    """Gas of all transactions behind these entries, each counted once."""
    return sum({entry.logged.transaction_hash: entry.gas for entry in entries}.values())


def shared_gas(entries: Iterable[HistoryEntry]) -> int:
    """That part of `total_gas` which was spent for other queries as well, in the same transactions."""
    return total_gas(entry for entry in entries if entry.queries > 1)


def gas_summary(gas: int, shared: int) -> str:
    """What all of it took, in words."""
    told = f"gas in all {gas:,}"
    return f"{told}, {shared:,} of it in transactions that serve other queries too" if shared else told


def delays(entries: Sequence[HistoryEntry]) -> list[str]:
    """From each lie to its verdict, by the times of their blocks."""
    posted: dict[int, HistoryEntry] = {}
    found = []
    for entry in entries:
        match entry.event:
            case UpdatePosted() as event:
                posted[event.signed.update.hop] = entry
            case EnvelopeDisputed() as event:
                posted[event.complaint.hop] = entry
            case VerdictPosted() as event:
                for hop, guilty in sides_of(event.verdict):
                    if guilty and hop in posted:
                        found.append(_delay(posted[hop], entry))
    return found


def _delay(lie: HistoryEntry, verdict: HistoryEntry) -> str:
    blocks = f"block {lie.logged.block_number} to {verdict.logged.block_number}"
    return f"from the lie to the verdict: {verdict.time - lie.time} s ({blocks})"
