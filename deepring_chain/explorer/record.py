"""The record as far as it was read: every event with what a verifier checked at it, and the state it amounts to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepring_chain.errors import ProtocolError
from deepring_chain.explorer.rows import arrangement_of
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.protocol.audit_step import AuditFailure, Check, Terms, Witness
from deepring_chain.protocol.events import AuthenticityDerived, RingArranged, query_of
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.types import QueryId


@dataclass(frozen=True)
class Checked:
    """An event and how often each kind of check was made at it, none after the first failure.

    `failure` is what was wrong, at the one event where the verifier stopped.
    """

    entry: HistoryEntry
    checks: Mapping[Check, int] = field(default_factory=dict)
    failure: AuditFailure | None = None


class Record:
    """Takes events in order; nothing here reads or waits.

    The verifier is the auditor's: it shares no state machine with `LedgerState`, which says what comes next.

    Attributes:
        items: all events so far.
        state: what they amount to; stands still after an event that it cannot follow.
        failure: the first wrong thing; nothing after it was checked.
        current: the last arrangement's events.
        authentic_since: Unix time at which the flag last became true; 0 before.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.items: list[Checked] = []
        self.state = LedgerState()
        self.failure: ProtocolError | None = None
        self.current: list[HistoryEntry] = []
        self.authentic_since = 0
        self._verifier = TrailVerifier(terms)
        self._counted: Mapping[Check, int] = {}
        self._by_query: dict[QueryId, list[Checked]] = {}

    def add(self, entry: HistoryEntry, witness: Witness) -> None:
        """Takes in the next event.

        Args:
            entry: the event.
            witness: what the chain tells beside it.
        """
        checked = self._check(entry, witness)
        self.items.append(checked)
        query = query_of(entry.event)
        if query is not None:
            self._by_query.setdefault(query, []).append(checked)
        if isinstance(entry.event, RingArranged):
            self.current = []
        if arrangement_of(entry.event) is not None:
            self.current.append(entry)
        if isinstance(entry.event, AuthenticityDerived) and entry.event.is_authentic:
            self.authentic_since = entry.time
        self._follow(entry)

    def of_query(self, query: QueryId) -> Sequence[Checked]:
        """One query's events; none if nobody asked it."""
        return self._by_query.get(query, [])

    @property
    def queries(self) -> Sequence[QueryId]:
        """All queries, oldest first."""
        return list(self._by_query)

    @property
    def checks(self) -> Mapping[Check, int]:
        """All checks that were made."""
        return self._counted

    def _check(self, entry: HistoryEntry, witness: Witness) -> Checked:
        if self.failure is not None:
            return Checked(entry)
        try:
            self._verifier.check(entry.logged, witness)
        except AuditFailure as failure:
            self.failure = failure
            return Checked(entry, self._new_checks(), failure)
        return Checked(entry, self._new_checks())

    def _new_checks(self) -> Mapping[Check, int]:
        before, self._counted = self._counted, self._verifier.report().checks
        return dict(Counter(self._counted) - Counter(before))

    def _follow(self, entry: HistoryEntry) -> None:
        try:
            self.state.apply(entry.logged)
        except ProtocolError as error:
            self.failure = self.failure or error
