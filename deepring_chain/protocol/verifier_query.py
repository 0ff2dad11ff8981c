"""The verifier's rules for one query: its ordinary way (paper 3.4.1-3.4.3, eq. 3-13), disputes, deadlines, attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepring_chain.crypto.signing import SignedMessage
from deepring_chain.protocol.audit_step import Check, Step
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    QueryWithdrawn,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.route import route_link
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, mark_trail, start_trail
from deepring_chain.types import (
    MAX_ITEMS,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Complaint,
    Digest,
    Hop,
    OutputCommitment,
    QueryId,
    QueryPhase,
    Question,
    RouteLink,
    TrailHash,
    Update,
    Verdict,
)

ENDED = frozenset({QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN})
"""Phases after which nothing more is accepted."""

WAITING = frozenset({QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED})
"""Phases in which the query waits for the ouroboros."""

SENT = frozenset({QueryPhase.ROUTED, QueryPhase.COMPUTED})
"""Phases in which a recipient may dispute what it was sent."""


@dataclass(frozen=True)
class _Anchor:
    """An accepted update, as far as a later attempt needs it."""

    attempt: Attempt
    signer: Address
    next_output: OutputCommitment


@dataclass
class QueryVerifier:
    """Follows one query, from its first event on.

    Attributes:
        query, querent, submitted_at: its id, who asked, and the Unix time of that.
        trail: rolling hash over all accepted entries.
        touched_at: Unix time of the last hop or route: the next hop's deadline counts from it; 0 after the last hop.
        phase: as on the ledger.
        attempt, next_hop, hops: the attempt that runs, the hop that is due, and how many there are.
        items: number of items in the query's batch, as its first route told; 0 before that.
        route: the link that is left.
        expected_output: H of the last accepted hop; zero before hop 0.
        model_version: that the attempt's route was opened for.
    """

    query: QueryId
    querent: Address
    submitted_at: int
    trail: TrailHash
    touched_at: int
    phase: QueryPhase = QueryPhase.SUBMITTED
    attempt: Attempt = Attempt(0)
    next_hop: Hop = Hop(0)
    hops: int = 0
    items: int = 0
    route: RouteLink = NO_ROUTE
    expected_output: OutputCommitment = NO_OUTPUT
    model_version: int = 0
    _workers: frozenset[Address] = frozenset()
    _signers: dict[Address, Hop] = field(default_factory=dict)
    _accepted: dict[Hop, _Anchor] = field(default_factory=dict)
    _due: OutputDisputed | QueryResumed | None = None
    _contradiction: OutputDisputed | None = None

    @classmethod
    def submitted(cls, step: Step, event: QuerySubmitted) -> QueryVerifier:
        """A new query: with a usable key, and the right first trail hash. Implements eq. (3)."""
        query = cls(event.query, event.querent, step.time, event.trail, step.time)
        step.nonzero(Check.REGISTRATION, query._subject(), "sealing_key", event.sealing_key)
        trail = start_trail(event.query, event.querent, Question(event.sealed_input, event.sealing_key, step.time))
        step.equal(Check.TRAIL, query._subject(), "trail", trail, event.trail)
        return query

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is accepted."""
        return self.phase in ENDED

    def due(self) -> OutputDisputed | QueryResumed | None:
        """What must be recorded next, in the same call: a violation of eq. 13, or where an attempt goes on from."""
        return self._due

    def accept(self) -> None:
        """Takes in what was due."""
        if isinstance(self._due, OutputDisputed):
            self.phase, self._contradiction = QueryPhase.DISPUTED, self._due
            self.trail = mark_trail(self.trail, VIOLATION)
        self._due = None

    # ------------------------------------------------------------------ rules

    def reject(self, step: Step, _event: QueryRejected) -> None:
        """A query is turned down while it waits for the ouroboros, or not at all."""
        self._check_phase(step, WAITING)
        self.phase = QueryPhase.REJECTED

    def state(self) -> QueryState:
        """What the ledger must hold of the query."""
        return QueryState(
            self.phase,
            self.attempt,
            self.next_hop,
            self.items,
            self.model_version,
            self.touched_at,
            self.route,
            self.expected_output,
            self.trail,
        )

    def open_route(self, step: Step, event: RouteOpened, workers: frozenset[Address], model_version: int) -> None:
        """A route: the next attempt, from hop 0 or from the last accepted output of the hop before.

        Args:
            step: the event under examination.
            event: the same.
            workers: who is seated now, the ouroboros apart; they sign the hops after hop 0.
            model_version: that the ring holds now.
        """
        self._check_phase(step, WAITING)
        subject = self._subject()
        step.equal(Check.PLACE, subject, "attempt", self.attempt + 1, event.attempt)
        step.nonzero(Check.ROUTE, subject, "route", event.route)
        self._check_items(step, event)
        self.hops, self._workers, self._signers = len(workers) + 1, workers, {}
        latest = min(self.next_hop, self.hops - 1)
        step.member(Check.PLACE, subject, "first_hop", range(latest + 1), event.first_hop)
        if event.first_hop:
            self._check_model(step, model_version)
            self._resume(step, event)
        else:
            self._begin_anew(model_version)
        self.model_version = model_version
        self.phase, self.touched_at = QueryPhase.ROUTED, step.time
        self.attempt, self.next_hop, self.route = event.attempt, event.first_hop, event.route

    def update(self, step: Step, event: UpdatePosted, authentic_since: int, model_version: int) -> None:
        """A hop: at its place, in time, by whom the route names, over the history so far; then eq. 13.

        Args:
            step: the event under examination.
            event: the same.
            authentic_since: when the flag became true; time before that does not count against the hop.
            model_version: that the ring holds now.
        """
        signed, update = event.signed, event.signed.update
        self._check_phase(step, {QueryPhase.ROUTED})
        self._check_model(step, model_version)
        self._check_place(step, update, "signed.update.")
        subject = self._subject(update.hop)
        step.equal(Check.PLACE, subject, "signed.update.items", self.items, update.items)
        deadline = self._deadline(step, authentic_since)
        step.require(
            Check.DEADLINE, subject, "event (its time)", step.time <= deadline, f"{deadline} or before", step.time
        )
        step.signed(subject, update, signed.signature, "signed.signature", event.signer)
        self._check_signer(step, subject, event.signer, "signer")
        self._check_route(step, subject, event.signer, signed.salt, signed.next_route, "signed.")
        self._extend(step, subject, update, event.signer, event.trail)
        self.route, self.touched_at = signed.next_route, step.time
        self._signers[event.signer] = update.hop
        if update.hop != 0 and self._violates_validation(step, update.hop, update.output):
            return
        self._accepted[update.hop] = _Anchor(update.attempt, event.signer, update.next_output)
        self.expected_output, self.next_hop = update.next_output, Hop(update.hop + 1)
        if self.next_hop == self.hops:
            self.phase, self.touched_at = QueryPhase.COMPUTED, 0

    def deliver(self, step: Step, event: AnswerDelivered, model_version: int) -> None:
        """The ouroboros's closing entry over the whole history; eq. 13 for the last layer. Implements eq. (12)."""
        self._check_phase(step, {QueryPhase.COMPUTED})
        self._check_model(step, model_version)
        subject = f"{self._subject()}, delivery"
        step.equal(Check.PLACE, subject, "attempt", self.attempt, event.attempt)
        delivery = event.delivery(self.trail)
        step.signed(subject, delivery, event.signature, "signature", step.terms.ouroboros)
        self._extend(step, subject, delivery, step.terms.ouroboros, event.trail)
        if not self._violates_validation(step, Hop(self.hops), event.output):
            self.phase = QueryPhase.DELIVERED

    def dispute(self, step: Step, event: EnvelopeDisputed) -> None:
        """A complaint: by the recipient whose turn it is, which the route proves; after the last hop the ouroboros."""
        complaint = event.complaint
        self._check_phase(step, SENT)
        self._check_place(step, complaint, "complaint.")
        subject = self._subject(complaint.hop)
        sent = complaint.hop > 0
        step.require(Check.PLACE, subject, "complaint.hop", sent, "a hop after another", complaint.hop)
        step.signed(subject, complaint, event.signature, "signature", event.recipient)
        if self.phase is QueryPhase.COMPUTED:
            step.equal(Check.SEAT, subject, "recipient", step.terms.ouroboros, event.recipient)
        else:
            self._check_signer(step, subject, event.recipient, "recipient")
            self._check_route(step, subject, event.recipient, event.salt, event.next_route, "")
        self._extend(step, subject, complaint, event.recipient, event.trail)
        self.phase, self._contradiction = QueryPhase.DISPUTED, None

    def judge(self, step: Step, event: VerdictPosted) -> None:
        """A verdict: by the ouroboros, on the edge in dispute; what a guilty side sent is no output to go on from."""
        verdict = event.verdict
        self._check_phase(step, {QueryPhase.DISPUTED})
        self._check_place(step, verdict, "verdict.")
        subject = self._subject(verdict.hop)
        step.signed(subject, verdict, event.signature, "signature", step.terms.ouroboros)
        self._check_finding(step, subject, verdict)
        self._extend(step, subject, verdict, step.terms.ouroboros, event.trail)
        if verdict.sender_guilty:
            self._accepted.pop(Hop(verdict.hop - 1), None)
        if verdict.receiver_guilty:
            self._accepted.pop(verdict.hop, None)
        self.phase = QueryPhase.INTERRUPTED

    def time_out(self, step: Step, event: HopTimedOut, authentic_since: int) -> None:
        """The end of an attempt whose hop is overdue; `authentic_since` as for `update`."""
        self._check_phase(step, {QueryPhase.ROUTED})
        subject, deadline = self._subject(self.next_hop), self._deadline(step, authentic_since)
        step.equal(Check.PLACE, subject, "attempt", self.attempt, event.attempt)
        step.equal(Check.PLACE, subject, "hop", self.next_hop, event.hop)
        step.equal(Check.DEADLINE, subject, "deadline", deadline, event.deadline)
        self._check_overdue(step, subject, deadline)
        self.phase = QueryPhase.INTERRUPTED

    def withdraw(self, step: Step, _event: QueryWithdrawn) -> None:
        """The querent gives up a query that is open too long."""
        self._check_overdue(step, self._subject(), self.submitted_at + step.terms.withdraw_seconds)
        self.phase = QueryPhase.WITHDRAWN

    # ------------------------------------------------------------------ steps

    def _begin_anew(self, model_version: int) -> None:
        """From hop 0. What another version of the model computed is no output to go on from."""
        if self.attempt and self.model_version != model_version:
            self.trail = mark_trail(self.trail, RENEWAL)
            self._accepted.clear()
        self.expected_output = NO_OUTPUT

    def _check_model(self, step: Step, model_version: int) -> None:
        wanted = f"model version {self.model_version}, which the route was opened for"
        is_same = self.model_version == model_version
        step.require(Check.MODE, self._subject(), "event (the ring's model)", is_same, wanted, model_version)

    def _check_items(self, step: Step, event: RouteOpened) -> None:
        """The first route says how many items the query has; what was asked is the same in each attempt."""
        step.member(Check.PLACE, self._subject(), "items", range(1, MAX_ITEMS + 1), event.items)
        step.equal(Check.PLACE, self._subject(), "items", self.items or event.items, event.items)
        self.items = event.items

    def _resume(self, step: Step, event: RouteOpened) -> None:
        hop = Hop(event.first_hop - 1)
        anchor = self._accepted.get(hop)
        step.count(Check.ANCHOR)
        if anchor is None:
            wanted = f"a hop after an accepted output that no verdict refuted, which hop {hop} has not"
            raise step.fail(self._subject(), "first_hop", wanted, str(event.first_hop))
        self.expected_output = anchor.next_output
        self._signers[anchor.signer] = hop
        self._due = QueryResumed(self.query, event.attempt, anchor.attempt, hop)

    def _check_phase(self, step: Step, allowed: set[QueryPhase] | frozenset[QueryPhase]) -> None:
        step.member(Check.PHASE, self._subject(), "query (its phase)", allowed, self.phase)

    def _check_place(self, step: Step, entry: Update | Complaint | Verdict, path: str) -> None:
        subject = self._subject(entry.hop)
        step.equal(Check.PLACE, subject, f"{path}attempt", self.attempt, entry.attempt)
        step.equal(Check.PLACE, subject, f"{path}hop", self.next_hop, entry.hop)
        step.equal(Check.TRAIL, subject, f"{path}trail", self.trail, entry.trail)

    def _deadline(self, step: Step, authentic_since: int) -> int:
        return max(self.touched_at, authentic_since) + step.terms.hop_seconds

    def _check_overdue(self, step: Step, subject: str, deadline: int) -> None:
        is_over = step.time > deadline
        step.require(Check.DEADLINE, subject, "event (its time)", is_over, f"a time after {deadline}", step.time)

    def _check_signer(self, step: Step, subject: str, signer: Address, field: str) -> None:
        allowed = frozenset({step.terms.ouroboros}) if self.next_hop == 0 else self._workers
        step.member(Check.SEAT, subject, field, allowed, signer)
        # A worker serves one layer, so it cannot be the signer of two hops.
        is_first = signer not in self._signers
        step.require(Check.SEAT, subject, field, is_first, "an account that signed no other hop", signer)

    def _check_route(
        self, step: Step, subject: str, signer: Address, salt: Digest, next_route: RouteLink, path: str
    ) -> None:
        """The route names the signer, which `Step.signed` has checked. Implements eq. (9)."""
        field = f"{path}salt, {path}next_route, signer (their route link)"
        step.equal(Check.ROUTE, subject, field, self.route, route_link(signer, salt, next_route))
        is_last = self.next_hop + 1 == self.hops
        wanted = "zero after the last hop" if is_last else "a link to the next hop"
        step.require(Check.ROUTE, subject, f"{path}next_route", (next_route == ZERO) == is_last, wanted, next_route)

    def _check_finding(self, step: Step, subject: str, verdict: Verdict) -> None:
        """Two layers that contradict each other are not both right; after the last hop it may be the ouroboros."""
        is_between_layers = self._contradiction is not None and verdict.hop < self.hops
        is_anyone_guilty = verdict.sender_guilty or verdict.receiver_guilty
        holds = is_anyone_guilty or not is_between_layers
        wanted = "a guilty side, since eq. 13 failed between them"
        step.require(Check.VERDICT, subject, "verdict (its finding)", holds, wanted, "nobody")

    def _extend(self, step: Step, subject: str, message: SignedMessage, signer: Address, found: TrailHash) -> None:
        self.trail = extend_trail(self.trail, step.digest(message), signer)
        step.equal(Check.TRAIL, subject, "trail", self.trail, found)

    def _violates_validation(self, step: Step, hop: Hop, actual: OutputCommitment) -> bool:
        """Whether the output of `hop` is another than the hop before it expects. Implements eq. (13)."""
        step.count(Check.VALIDATION)
        if actual == self.expected_output:
            return False
        self._due = OutputDisputed(self.query, self.attempt, hop, self.expected_output, actual)
        return True

    def _subject(self, hop: Hop | None = None) -> str:
        return f"query {self.query}" + ("" if hop is None else f", hop {hop}")
