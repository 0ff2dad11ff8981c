"""One query of a scripted trail: every entry that its ledger would take, and ones that no ledger would."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest, sign_message
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QueryWithdrawn,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
    query_of,
)
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, mark_trail
from deepring_chain.protocol.update import sign_update
from deepring_chain.types import (
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Hop,
    OutputCommitment,
    QueryId,
    RejectReason,
    RouteLink,
    TrailHash,
    Update,
    Verdict,
)
from tests.unit.protocol.trail_names import FIRST, ITEMS, OWNER, TERMS, WORKERS, named

if TYPE_CHECKING:
    from tests.unit.protocol.trail_script import ScriptedTrail


@dataclass
class ScriptedQuery:
    """A query of a scripted trail, and what comes next in it."""

    script: ScriptedTrail
    query: QueryId
    trail: TrailHash
    hop: int = 0
    attempt: Attempt = FIRST
    items: int = ITEMS
    signers: tuple[LocalAccount, ...] = (OWNER, *WORKERS)
    links: list[RouteLink] = field(default_factory=list)
    version: int = field(init=False)

    def __post_init__(self) -> None:
        self.version = self.script.version

    def reject(self) -> None:
        """Turns it down."""
        self.script.emit(QueryRejected(self.query, RejectReason.MALFORMED))

    def salts(self) -> list[Digest]:
        """Of each hop."""
        return [named(f"salt {self.query}/{self.attempt}/{hop}") for hop in range(len(self.signers))]

    def open_route(self) -> ScriptedQuery:
        """Commits the route."""
        self.version = self.script.version
        self.links = self.links or build_route([Address(signer.address) for signer in self.signers], self.salts())
        self.script.emit(
            RouteOpened(
                self.query,
                self.attempt,
                Hop(self.hop),
                self.items,
                self.links[0],
                named(f"notes {self.query}"),
            )
        )
        return self

    def reopen(self, first_hop: int = 0, anchor: int | None = None) -> ScriptedQuery:
        """Commits the route of the next attempt, which goes on from attempt `anchor`, by default the last one."""
        last, self.attempt, self.hop = self.attempt, Attempt(self.attempt + 1), first_hop
        if self.version != self.script.version:
            self.trail = mark_trail(self.trail, RENEWAL)
        self.version = self.script.version
        signers = [Address(signer.address) for signer in self.signers]
        self.links = [NO_ROUTE] * first_hop + build_route(signers[first_hop:], self.salts()[first_hop:])
        notes = named(f"notes {self.query}/{self.attempt}")
        opened = RouteOpened(self.query, self.attempt, Hop(first_hop), self.items, self.links[first_hop], notes)
        events: list[Event] = [opened]
        if first_hop:
            from_attempt = last if anchor is None else Attempt(anchor)
            events.append(QueryResumed(self.query, self.attempt, from_attempt, Hop(first_hop - 1)))
        self.script.emit(*events)
        return self

    def posted(self, **changes: Any) -> UpdatePosted:
        """The update that is due, with some fields changed before it is signed."""
        honest = Update(
            self.query,
            self.attempt,
            Hop(self.hop),
            self.items,
            named(f"envelope {self.query}/{self.attempt}/{self.hop}"),
            named(f"output {self.query}/{self.hop}"),
            named(f"output {self.query}/{self.hop + 1}"),
            self.trail,
        )
        update, signer = replace(honest, **changes), self.signers[self.hop]
        signed = sign_update(signer, self.script.domain, update, self.salts()[self.hop], self.links[self.hop + 1])
        address = Address(signer.address)
        self.trail = extend_trail(update.trail, message_digest(self.script.domain, update), address)
        self.hop += 1
        return UpdatePosted(signed, address, self.trail)

    def post(self, **changes: Any) -> ScriptedQuery:
        """Posts the update that is due."""
        self.script.emit(self.posted(**changes))
        return self

    def post_run(self, count: int) -> ScriptedQuery:
        """Posts the updates of the next `count` hops in one log."""
        self.script.emit(*(self.posted() for _ in range(count)), is_run=True)
        return self

    def delivered(self, signer: LocalAccount = OWNER, **changes: Any) -> AnswerDelivered:
        """The closing entry, with some fields changed before it is signed."""
        output = named(f"output {self.query}/{self.hop}")
        delivery = replace(Delivery(self.query, self.attempt, named("answer"), output, self.trail), **changes)
        signature = sign_message(signer, self.script.domain, delivery)
        digest = message_digest(self.script.domain, delivery)
        self.trail = extend_trail(self.trail, digest, Address(signer.address))
        return AnswerDelivered(
            delivery.query, delivery.attempt, delivery.answer, delivery.output, signature, self.trail
        )

    def deliver(self) -> None:
        """Posts the closing entry."""
        self.script.emit(self.delivered())

    def contradict(self, output: OutputCommitment) -> ScriptedQuery:
        """Posts an update that violates eq. 13, with the record of that."""
        posted = self.posted(output=output)
        self.script.emit(posted, self.disputed(output))
        self.trail = mark_trail(self.trail, VIOLATION)
        self.hop -= 1
        return self

    def contradict_delivery(self, output: OutputCommitment) -> ScriptedQuery:
        """Delivers another answer than the last layer's, with the record of that."""
        expected = named(f"output {self.query}/{self.hop}")
        self.script.emit(self.delivered(output=output), self.contradicted(self.hop, expected, output))
        self.trail = mark_trail(self.trail, VIOLATION)
        return self

    def complained(self, kind: ComplaintKind = ComplaintKind.ALTERED, **changes: Any) -> EnvelopeDisputed:
        """A complaint of the recipient whose turn it is, with some fields changed before it is signed."""
        is_last = self.hop == len(self.signers)
        recipient = OWNER if is_last else self.signers[self.hop]
        salt, rest = (ZERO, ZERO) if is_last else (self.salts()[self.hop], self.links[self.hop + 1])
        evidence = named(f"evidence {self.query}/{self.hop}")
        honest = Complaint(self.query, self.attempt, Hop(self.hop), kind, evidence, self.trail)
        complaint = replace(honest, **changes)
        signature = sign_message(recipient, self.script.domain, complaint)
        self._extend(complaint, recipient)
        return EnvelopeDisputed(complaint, Address(recipient.address), salt, RouteLink(rest), signature, self.trail)

    def complain(self, kind: ComplaintKind = ComplaintKind.ALTERED, **changes: Any) -> ScriptedQuery:
        """Posts the complaint."""
        self.script.emit(self.complained(kind, **changes))
        return self

    def judge(
        self, *, sender: bool = False, receiver: bool = False, signer: LocalAccount = OWNER, **changes: Any
    ) -> ScriptedQuery:
        """Posts the verdict, with some fields changed before it is signed."""
        evidence = named(f"findings {self.query}/{self.hop}")
        honest = Verdict(self.query, self.attempt, Hop(self.hop), sender, receiver, evidence, self.trail)
        verdict = replace(honest, **changes)
        signature = sign_message(signer, self.script.domain, verdict)
        self._extend(verdict, signer)
        self.script.emit(VerdictPosted(verdict, signature, self.trail))
        return self

    def deadline(self) -> int:
        """Until when the next hop is due."""
        steps = [
            sent.time
            for sent, event in self.script.calls
            if (isinstance(event, RouteOpened | UpdatePosted) and query_of(event) == self.query)
            or (isinstance(event, AuthenticityDerived) and event.is_authentic)
        ]
        return max(steps) + TERMS.hop_seconds

    def time_out(self, wait: int = TERMS.hop_seconds, **changes: Any) -> ScriptedQuery:
        """Ends the attempt, `wait` seconds after the last call."""
        event = HopTimedOut(self.query, self.attempt, Hop(self.hop), self.deadline())
        self.script.emit(replace(event, **changes), wait=wait)
        return self

    def withdraw(self, wait: int = TERMS.withdraw_seconds) -> None:
        """The querent gives up, `wait` seconds after the last call."""
        self.script.emit(QueryWithdrawn(self.query), wait=wait)

    def _extend(self, message: Complaint | Verdict, signer: LocalAccount) -> None:
        digest = message_digest(self.script.domain, message)
        self.trail = extend_trail(self.trail, digest, Address(signer.address))

    def disputed(self, actual: OutputCommitment) -> OutputDisputed:
        """The record of a violation of eq. 13 by the hop before the next."""
        hop = self.hop - 1
        return self.contradicted(hop, named(f"output {self.query}/{hop}"), actual)

    def contradicted(self, hop: int, expected: OutputCommitment, actual: OutputCommitment) -> OutputDisputed:
        """The record of a violation of eq. 13."""
        return OutputDisputed(self.query, self.attempt, Hop(hop), expected, actual)
