"""The verifier's rules for one query (paper 3.4.1-3.4.3, eq. 3-13)."""

from __future__ import annotations

from deepring_chain.protocol.audit_step import Check, Step
from deepring_chain.protocol.events import (
    AnswerDelivered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    RouteOpened,
    UpdatePosted,
)
from deepring_chain.protocol.route import route_link
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.types import (
    ZERO,
    Address,
    Attempt,
    Delivery,
    Digest,
    Hop,
    QueryId,
    QueryPhase,
    SignedUpdate,
    Update,
)

ENDED = frozenset({QueryPhase.DELIVERED, QueryPhase.DISPUTED, QueryPhase.REJECTED})
"""Phases after which nothing more is accepted."""


class QueryVerifier:
    """Follows one query; made by its first event.

    Attributes:
        query: its id.
        phase: as on the ledger.
        attempt, next_hop, hops: the attempt that runs, the hop that is due, and how many there are.
        route: the link that is left.
        trail: rolling hash over all accepted entries.
        expected_output: H of the last accepted hop.
    """

    def __init__(self, step: Step, event: QuerySubmitted, ouroboros: Address) -> None:
        self.query: QueryId = event.query
        self._ouroboros = ouroboros
        step.nonzero(Check.REGISTRATION, self._subject(), "sealing_key", event.sealing_key)
        self.trail = start_trail(event.query, event.querent, event.sealed_input, event.sealing_key)
        step.equal(Check.TRAIL, self._subject(), "trail", self.trail, event.trail)
        self.phase = QueryPhase.SUBMITTED
        self.attempt = Attempt(0)
        self.next_hop = Hop(0)
        self.hops = 0
        self.route: Digest = ZERO
        self.expected_output: Digest = ZERO
        self._workers: frozenset[Address] = frozenset()
        self._signers: dict[Address, Hop] = {}
        self._due: OutputDisputed | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is accepted."""
        return self.phase in ENDED

    def due(self) -> OutputDisputed | None:
        """The violation of eq. 13 that must be recorded next, in the same call."""
        return self._due

    def accept(self) -> None:
        """Takes in what was due."""
        self._due = None
        self.phase = QueryPhase.DISPUTED

    # ------------------------------------------------------------------ rules

    def reject(self, step: Step, _event: QueryRejected) -> None:
        """A query is turned down before its route is opened, or not at all."""
        self._check_phase(step, QueryPhase.SUBMITTED)
        self.phase = QueryPhase.REJECTED

    def open_route(self, step: Step, event: RouteOpened, workers: frozenset[Address]) -> None:
        """A route: the next attempt, from the hop that is due.

        Args:
            step: the event under examination.
            event: the same.
            workers: who is seated now, the ouroboros apart; they sign the hops after hop 0.
        """
        self._check_phase(step, QueryPhase.SUBMITTED)
        subject = self._subject()
        step.equal(Check.PLACE, subject, "attempt", self.attempt + 1, event.attempt)
        step.equal(Check.PLACE, subject, "first_hop", self.next_hop, event.first_hop)
        step.nonzero(Check.ROUTE, subject, "route", event.route)
        self.phase = QueryPhase.ROUTED
        self.attempt, self.route = event.attempt, event.route
        self.hops, self._workers = len(workers) + 1, workers

    def update(self, step: Step, event: UpdatePosted) -> None:
        """A hop: at its place, by whom the route names, over the history so far; then eq. 13."""
        update = event.signed.update
        self._check_phase(step, QueryPhase.ROUTED)
        self._check_update_place(step, update)
        subject = self._subject(update.hop)
        step.signed(subject, update, event.signed.signature, "signed.signature", event.signer)
        self._check_signer(step, subject, update.hop, event.signer)
        self._check_route(step, subject, event.signed, event.signer)
        self._extend(step, subject, update, event.signer, event.trail)
        self.route = event.signed.next_route
        self._signers[event.signer] = update.hop
        if update.hop != 0 and self._violates_validation(step, update.hop, update.output):
            return
        self.expected_output, self.next_hop = update.next_output, Hop(update.hop + 1)
        if self.next_hop == self.hops:
            self.phase = QueryPhase.COMPUTED

    def deliver(self, step: Step, event: AnswerDelivered) -> None:
        """The closing entry (eq. 12): by the ouroboros, over the whole history; then eq. 13 for the last layer."""
        self._check_phase(step, QueryPhase.COMPUTED)
        subject = f"{self._subject()}, delivery"
        step.equal(Check.PLACE, subject, "attempt", self.attempt, event.attempt)
        delivery = event.delivery(self.trail)
        step.signed(subject, delivery, event.signature, "signature", self._ouroboros)
        self._extend(step, subject, delivery, self._ouroboros, event.trail)
        if not self._violates_validation(step, Hop(self.hops), event.output):
            self.phase = QueryPhase.DELIVERED

    # ------------------------------------------------------------------ steps

    def _check_phase(self, step: Step, expected: QueryPhase) -> None:
        step.equal(Check.PHASE, self._subject(), "query (its phase)", expected, self.phase)

    def _check_update_place(self, step: Step, update: Update) -> None:
        subject = self._subject(update.hop)
        step.equal(Check.PLACE, subject, "signed.update.attempt", self.attempt, update.attempt)
        step.equal(Check.PLACE, subject, "signed.update.hop", self.next_hop, update.hop)
        step.equal(Check.TRAIL, subject, "signed.update.trail", self.trail, update.trail)

    def _check_signer(self, step: Step, subject: str, hop: Hop, signer: Address) -> None:
        allowed = frozenset({self._ouroboros}) if hop == 0 else self._workers
        step.member(Check.SEAT, subject, "signer", allowed, signer)
        # A worker serves one layer, so it cannot be the signer of two hops.
        step.require(
            Check.SEAT, subject, "signer", signer not in self._signers, "an account that signed no other hop", signer
        )

    def _check_route(self, step: Step, subject: str, signed: SignedUpdate, signer: Address) -> None:
        link = route_link(signer, signed.salt, signed.next_route)
        step.equal(Check.ROUTE, subject, "signed.salt, signed.next_route, signer (their route link)", self.route, link)
        is_last = signed.update.hop + 1 == self.hops
        wanted = "zero after the last hop" if is_last else "a link to the next hop"
        holds = (signed.next_route == ZERO) == is_last
        step.require(Check.ROUTE, subject, "signed.next_route", holds, wanted, signed.next_route)

    def _extend(self, step: Step, subject: str, message: Update | Delivery, signer: Address, found: Digest) -> None:
        self.trail = extend_trail(self.trail, step.digest(message), signer)
        step.equal(Check.TRAIL, subject, "trail", self.trail, found)

    def _violates_validation(self, step: Step, hop: Hop, actual: Digest) -> bool:
        step.count(Check.VALIDATION)
        if actual == self.expected_output:
            return False
        self._due = OutputDisputed(self.query, self.attempt, hop, self.expected_output, actual)
        return True

    def _subject(self, hop: Hop | None = None) -> str:
        return f"query {self.query}" + ("" if hop is None else f", hop {hop}")
