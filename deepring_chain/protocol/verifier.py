"""An independent verifier of the trail: it re-derives from the events all that public data determine.

It is the second opinion next to the ledger and to `LedgerState`: it shares with them the digests and signatures, not
the state machine. No I/O: events go in one by one, and the first wrong one raises `AuditFailure`. Derived events
(block hash, flag, recorded violation of eq. 13, where an attempt goes on from) are computed here before they are read:
each must follow its cause at once, in the same call, with exactly these values, and none may come without a cause.

What the events alone cannot tell: the pointers and the model's root (32 bytes that nothing else binds), an account's
long-term sealing key, the reason of a rejection, the words of a worker's report, and events that are absent as a whole
without leaving a gap. The auditor (`audit.auditor`) holds these against the store, the transactions' input and the
ledger's storage where it can. Times and the evidence for a restore are not in the events: a `Witness` brings them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from deepring_chain.protocol.audit_step import AuditFailure, Check, Place, Step, Terms, Witness, show
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    LoggedEvent,
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
from deepring_chain.protocol.verifier_query import QueryVerifier
from deepring_chain.protocol.verifier_report import OpenQuery, TrailReport, TrailState
from deepring_chain.protocol.verifier_ring import RingVerifier
from deepring_chain.types import Address, QueryId, QueryPhase, RingMode

Derived = BlockHashed | AuthenticityDerived | OutputDisputed | QueryResumed
RingEvent = ModelRegistered | WorkerAdmitted | RingArranged | BlockAttested | RestoreOrdered | RestoreReported


class TrailVerifier:
    """Takes a ledger's events in order, from its first one on. Of an ended query it keeps nothing but the count.

    What an ended query amounted to can be taken from it once, to be held against the ledger's storage.

    Args:
        terms: what the ledger is deployed with.
        known: where another verifier of the same ledger stopped; from the first event on if None.

    Attributes:
        ring: the ring as the events tell it.
        query_count: how many queries were submitted.
    """

    def __init__(self, terms: Terms, known: TrailState | None = None) -> None:
        known = known or TrailState(None, 0, frozenset(), {}, {}, {}, (), RingVerifier(terms.ouroboros), 0)
        self._terms = terms
        self._last, self._last_time = known.last, known.last_time
        self._finished_transactions = set(known.finished_transactions)
        self._due: Derived | None = None
        self._checks: Counter[Check] = Counter(known.checks)
        self._events: Counter[str] = Counter(known.events)
        self._ended: Counter[QueryPhase] = Counter(known.ended)
        self._queries = {query.query: query for query in known.queries}
        self._just_ended: QueryVerifier | None = None
        self.ring = known.ring
        self.query_count = known.query_count

    def save(self) -> TrailState:
        """What another verifier can go on from; shares the queries' and the ring's state with this one.

        Raises:
            AuditFailure: as `finish` does.
        """
        self.finish()
        return TrailState(
            self._last,
            self._last_time,
            frozenset(self._finished_transactions),
            dict(self._checks),
            dict(self._events),
            dict(self._ended),
            tuple(self._queries.values()),
            self.ring,
            self.query_count,
        )

    def check(self, logged: LoggedEvent, witness: Witness) -> None:
        """Checks the next event.

        Args:
            logged: the event.
            witness: its time, and the evidence that came with it.

        Raises:
            AuditFailure: it breaks a rule; the verifier is of no further use.
        """
        step = Step(logged, witness, self._terms, self._checks)
        self._check_order(step, logged)
        if self._due is not None and not self._may_wait(self._due, logged):
            self._check_consequence(step, self._due, logged)
        else:
            self._dispatch(step, logged.event)
        self._due = self._next_due(logged.event)
        self._events[step.event_name] += 1
        self._last, self._last_time = logged, step.time
        self._drop_ended(logged.event)

    def finish(self) -> TrailReport:
        """What was checked.

        Raises:
            AuditFailure: the last event has a consequence that is absent.
        """
        if self._due is not None and self._last is not None:
            found = "the end of the trail"
            raise AuditFailure(_subject_of(self._due), type(self._due).__name__, _show(self._due), found, self._place())
        return self.report()

    def report(self) -> TrailReport:
        """What was checked so far."""
        waiting = tuple(
            OpenQuery(query.query, query.phase, query.next_hop, query.hops) for query in self._queries.values()
        )
        return TrailReport(dict(self._events), dict(self._checks), dict(self._ended), waiting, self.ring.mode)

    def open_query(self, query: QueryId) -> QueryVerifier | None:
        """The state of a query that has not ended."""
        return self._queries.get(query)

    def take_ended(self) -> QueryVerifier | None:
        """The state of the query that the last event ended, if it ended one."""
        ended, self._just_ended = self._just_ended, None
        return ended

    # ------------------------------------------------------------------ order

    def _check_order(self, step: Step, logged: LoggedEvent) -> None:
        last = self._last
        if last is None:
            return
        here = (logged.block_number, logged.log_index, logged.part)
        before = (last.block_number, last.log_index, last.part)
        step.require(Check.ORDER, "the trail", "log_index", here > before, f"a place after {self._place()}", here)
        is_same_block = logged.block_number == last.block_number
        is_same_hash = logged.block_hash == last.block_hash
        known = show(last.block_hash)
        wanted = known if is_same_block else f"another than {known} of block {last.block_number}"
        step.require(Check.ORDER, "the trail", "block_hash", is_same_block == is_same_hash, wanted, logged.block_hash)
        is_in_time = step.time == self._last_time if is_same_block else step.time >= self._last_time
        wanted = f"{self._last_time}" if is_same_block else f"{self._last_time} or later"
        step.require(Check.ORDER, "the trail", "event (its time)", is_in_time, wanted, step.time)
        self._check_transaction(step, last, logged)

    def _check_transaction(self, step: Step, last: LoggedEvent, logged: LoggedEvent) -> None:
        """A transaction's events stand together, in one block."""
        if logged.transaction_hash != last.transaction_hash:
            self._finished_transactions.add(last.transaction_hash)
        fresh = logged.transaction_hash not in self._finished_transactions
        if logged.block_number != last.block_number:
            fresh = fresh and logged.transaction_hash != last.transaction_hash
            self._finished_transactions.clear()
        wanted = "a transaction whose events stand together"
        step.require(Check.ORDER, "the trail", "transaction_hash", fresh, wanted, logged.transaction_hash)

    def _place(self) -> Place:
        return Place.of(self._last) if self._last is not None else Place(0)

    # ------------------------------------------------------------------ consequences

    def _may_wait(self, due: Derived, logged: LoggedEvent) -> bool:
        """One call takes in any number of leaves before it folds them."""
        leaf_after_leaf = isinstance(logged.event, BlockAttested) and isinstance(self._last_event(), BlockAttested)
        return isinstance(due, BlockHashed) and leaf_after_leaf and self._continues_call(logged)

    def _continues_call(self, logged: LoggedEvent) -> bool:
        last = self._last
        if last is None:
            return False
        return logged.transaction_hash == last.transaction_hash and logged.log_index == last.log_index + 1

    def _last_event(self) -> Event | None:
        return self._last.event if self._last is not None else None

    def _check_consequence(self, step: Step, due: Derived, logged: LoggedEvent) -> None:
        subject, name = _subject_of(due), type(due).__name__
        is_next = type(logged.event) is type(due) and self._continues_call(logged)
        wanted = f"{name} right after its cause, in the same transaction"
        step.require(Check.CONSEQUENCE, subject, "event", is_next, wanted, step.event_name)
        check = _CHECK_OF[type(due)]
        for item in fields(due):
            step.equal(check, subject, item.name, getattr(due, item.name), getattr(logged.event, item.name))
        if isinstance(due, OutputDisputed | QueryResumed):
            self._queries[due.query].accept()
        else:
            self.ring.accept(due, step.time)

    def _next_due(self, event: Event) -> Derived | None:
        match event:
            case BlockAttested() | BlockHashed():
                return self.ring.due()
            case UpdatePosted() | AnswerDelivered() | RouteOpened():
                query = query_of(event)
                return None if query is None else self._queries[query].due()
        return None

    # ------------------------------------------------------------------ causes

    def _dispatch(self, step: Step, event: Event) -> None:
        match event:
            case BlockHashed() | AuthenticityDerived() | OutputDisputed() | QueryResumed():
                raise step.fail(_subject_of(event), "event", "a cause right before it", "none")
            case QuerySubmitted():
                self._submit(step, event)
            case RouteOpened() | UpdatePosted() | AnswerDelivered() | HopTimedOut():
                self._advance(step, event)
            case QueryRejected():
                self._find(step, event.query, "query").reject(step, event)
            case QueryWithdrawn():
                self._find(step, event.query, "query").withdraw(step, event)
            case EnvelopeDisputed():
                self._find(step, event.complaint.query, "complaint.query").dispute(step, event)
            case VerdictPosted():
                self._find(step, event.verdict.query, "verdict.query").judge(step, event)
            case _:
                self._dispatch_ring(step, event)

    def _dispatch_ring(self, step: Step, event: RingEvent) -> None:
        match event:
            case ModelRegistered():
                self.ring.register(step, event)
            case WorkerAdmitted():
                self.ring.admit(step, event)
            case RingArranged():
                self.ring.arrange(step, event)
            case BlockAttested():
                self.ring.attest(step, event)
            case RestoreOrdered():
                self.ring.order_restore(step, event)
            case RestoreReported():
                self.ring.report_restore(step, event)

    def _advance(self, step: Step, event: RouteOpened | UpdatePosted | AnswerDelivered | HopTimedOut) -> None:
        """What is accepted in query mode only."""
        is_update = isinstance(event, UpdatePosted)
        number = event.signed.update.query if isinstance(event, UpdatePosted) else event.query
        query = self._find(step, number, "signed.update.query" if is_update else "query")
        step.equal(Check.MODE, f"query {number}", "event (the ring's mode)", RingMode.QUERY, self.ring.mode)
        match event:
            case RouteOpened():
                query.open_route(step, event, self._workers(), self._model_version())
            case UpdatePosted():
                query.update(step, event, self.ring.authentic_since, self._model_version())
            case AnswerDelivered():
                query.deliver(step, event, self._model_version())
            case HopTimedOut():
                query.time_out(step, event, self.ring.authentic_since)

    def _submit(self, step: Step, event: QuerySubmitted) -> None:
        subject = f"query {event.query}"
        step.equal(Check.NUMBERING, subject, "query", self.query_count + 1, event.query)
        step.require(Check.PHASE, subject, "query", self.ring.model is not None, "a registered model", "none")
        self._queries[event.query] = QueryVerifier.submitted(step, event)
        self.query_count += 1

    def _find(self, step: Step, query: QueryId, field: str) -> QueryVerifier:
        found = self._queries.get(query)
        if found is None:
            state = "one that has ended" if 0 < query <= self.query_count else "one that nobody asked"
            raise step.fail(f"query {query}", field, "a query that is open", state)
        return found

    def _workers(self) -> frozenset[Address]:
        seating = self.ring.seating
        return frozenset(seating.arranged.seats[1:]) if seating else frozenset()

    def _model_version(self) -> int:
        return self.ring.model.version if self.ring.model else 0

    def _drop_ended(self, event: Event) -> None:
        """Forgets a query with its last event, so that memory does not grow with the trail."""
        self._just_ended = None
        query = event.query if isinstance(event, QueryRejected | AnswerDelivered | QueryWithdrawn) else None
        if query is not None and self._queries[query].is_ended:
            self._just_ended = self._queries.pop(query)
            self._ended[self._just_ended.phase] += 1


_CHECK_OF: dict[type, Check] = {
    BlockHashed: Check.BLOCK_HASH,
    AuthenticityDerived: Check.FLAG,
    OutputDisputed: Check.VALIDATION,
    QueryResumed: Check.ANCHOR,
}


def _subject_of(event: Derived) -> str:
    match event:
        case OutputDisputed():
            return f"query {event.query}, hop {event.hop}"
        case QueryResumed():
            return f"query {event.query}"
        case BlockHashed():
            return f"arrangement {event.arrangement}, seat {event.position}"
        case AuthenticityDerived():
            return f"arrangement {event.arrangement}"


def _show(event: Derived) -> str:
    return ", ".join(f"{item.name} {show(getattr(event, item.name))}" for item in fields(event))
