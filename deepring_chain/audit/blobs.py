"""The auditor's view of the store: every blob that an event points to is there, undamaged, and of its outer format.

What the ring itself has found unusable is no news: an envelope that its recipient disputed for that, or whose sender
was found guilty, is counted as disputed. So is the evidence of a complaint whose author was found guilty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from deepring_chain.audit.formats import BlobFormatBroken, BlobKind, format_fault
from deepring_chain.protocol.audit_step import AuditFailure, Place, show
from deepring_chain.protocol.events import (
    AnswerDelivered,
    EnvelopeDisputed,
    LoggedEvent,
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge, BlobUnreadable, ContentStore
from deepring_chain.types import ZERO, Address, ComplaintKind, Digest, Hop, QueryId

MAX_REMARKS = 1000
"""So many are kept: memory must not grow with a trail that is odd all along."""


@dataclass(frozen=True)
class Held:
    """A failure that the ring may have found itself: the failure's words, and what a complaint about it says."""

    subject: str
    field: str
    expected: str
    found: str
    place: Place
    complaint: ComplaintKind | None = None

    @classmethod
    def of(cls, failure: AuditFailure, complaint: ComplaintKind | None = None) -> Held:
        """Keeps a failure."""
        return cls(failure.subject, failure.field, failure.expected, failure.found, failure.place, complaint)

    @property
    def failure(self) -> AuditFailure:
        """The failure to raise."""
        return AuditFailure(self.subject, self.field, self.expected, self.found, self.place)


@dataclass
class BlobState:
    """What the auditor of blobs knows between two blocks.

    Attributes:
        layers: of the model in force.
        inputs: queries whose input nobody has accepted yet.
        envelopes, evidence: unusable blobs of open queries, which the ring may yet dispute.
        counts, total_bytes: of the blobs that were found good.
        disputed: how many are not, as the trail itself says.
        remarks: unusable inputs that are nobody's fault in the ring, and the disputed blobs; the first `MAX_REMARKS`.
        more_remarks: how many there are beyond these.
    """

    layers: int = 0
    inputs: dict[QueryId, LoggedEvent] = field(default_factory=dict)
    envelopes: dict[QueryId, dict[Hop, Held]] = field(default_factory=dict)
    evidence: dict[QueryId, Held] = field(default_factory=dict)
    counts: dict[BlobKind, int] = field(default_factory=dict)
    total_bytes: int = 0
    disputed: int = 0
    remarks: list[str] = field(default_factory=list)
    more_remarks: int = 0


class BlobAuditor:
    """Takes events in order and reads what they point to.

    A querent's input counts only once the ouroboros has accepted it, by opening a route: anyone may post a pointer to
    nothing, and is turned down for it.

    Args:
        store: the ciphertext store.
        ouroboros: the model owner's account; it needs no evidence for a complaint of its own.
        state: where another one stopped; from the first event on if None.

    Attributes:
        state: what was found so far.
    """

    def __init__(self, store: ContentStore, ouroboros: Address, state: BlobState | None = None) -> None:
        self._store = store
        self._ouroboros = ouroboros
        self._delivered: QueryId | None = None
        self.state = state or BlobState()

    def check(self, logged: LoggedEvent) -> None:
        """Reads what the next event, which the verifier found good, points to.

        Raises:
            AuditFailure: absent, damaged, too large, or of another format.
            StoreError: the store cannot be read at all.
        """
        self._settle_delivered(logged)
        match logged.event:
            case ModelRegistered() as event:
                self.state.layers = event.layers
                subject = f"model version {event.version}"
                self._check_blob(logged, BlobKind.CARD, subject, "card", event.card, self.state.layers)
            case RingArranged() as event:
                subject = f"arrangement {event.arrangement}"
                self._check_blob(logged, BlobKind.ARRANGEMENT_NOTES, subject, "notes", event.notes, self.state.layers)
            case RestoreOrdered() as event:
                subject = f"arrangement {event.arrangement}, seat {event.position}"
                self._check_blob(logged, BlobKind.PARAMETERS, subject, "parameters", event.parameters)
            case QuerySubmitted() | RouteOpened() | QueryRejected() | QueryWithdrawn():
                self._check_query(logged)
            case _:
                self._check_entry(logged)

    def end_block(self) -> None:
        """Nothing more comes in the transaction of a delivery that the block ended with.

        Raises:
            AuditFailure: a blob of the delivered query is unusable, and nobody has disputed it.
        """
        query, self._delivered = self._delivered, None
        if query is not None:
            self._settle(query)

    def finish(self) -> None:
        """Looks at the inputs that the ouroboros has neither accepted nor turned down; only remarks on them.

        Raises:
            AuditFailure: a blob of a query that is still open is unusable, and nobody has disputed it.
        """
        self.end_block()
        for query in [*self.state.envelopes, *self.state.evidence]:
            self._settle(query)
        for logged in self.state.inputs.values():
            self._try_input(logged, "nobody has accepted it yet")
        self.state.inputs.clear()

    # ------------------------------------------------------------------ queries

    def _check_query(self, logged: LoggedEvent) -> None:
        match logged.event:
            case QuerySubmitted() as event:
                self.state.inputs[event.query] = logged
            case RouteOpened() as event:
                if event.query in self.state.inputs:
                    self._check_input(self.state.inputs.pop(event.query))
                # Hop 0 is the ouroboros, who needs no note.
                receivers = self.state.layers + 1 - max(1, event.first_hop)
                subject = f"query {event.query}"
                self._check_blob(logged, BlobKind.ROUTE_NOTES, subject, "notes", event.notes, receivers)
            case QueryRejected() as event:
                self._end(event.query, f"the query was rejected ({event.reason.name})")
            case QueryWithdrawn() as event:
                self._end(event.query, "the query was withdrawn")

    def _check_entry(self, logged: LoggedEvent) -> None:
        match logged.event:
            case UpdatePosted() as event:
                self._check_envelope(logged, event)
            case EnvelopeDisputed() as event:
                self._check_complaint(logged, event)
            case VerdictPosted() as event:
                self._check_verdict(logged, event)
            case AnswerDelivered() as event:
                self._check_blob(logged, BlobKind.ANSWER, f"query {event.query}, delivery", "answer", event.answer)
                self._delivered = event.query

    def _end(self, query: QueryId, why: str) -> None:
        if query in self.state.inputs:
            self._try_input(self.state.inputs.pop(query), why)
        self._settle(query)

    def _check_input(self, logged: LoggedEvent) -> None:
        if isinstance(logged.event, QuerySubmitted):
            pointer = logged.event.sealed_input
            self._check_blob(logged, BlobKind.INPUT, f"query {logged.event.query}", "sealed_input", pointer)

    def _try_input(self, logged: LoggedEvent, why: str) -> None:
        try:
            self._check_input(logged)
        except AuditFailure as failure:
            self._remark(f"{failure}; {why}")

    # ------------------------------------------------------------------ disputes

    def _check_envelope(self, logged: LoggedEvent, event: UpdatePosted) -> None:
        update = event.signed.update
        held = self.state.envelopes.setdefault(update.query, {})
        if update.hop in held:  # nobody reads the older one any more, so nobody will dispute it
            raise held[update.hop].failure
        subject, field = f"query {update.query}, hop {update.hop}", "signed.update.envelope"
        try:
            self._check_blob(logged, BlobKind.ENVELOPE, subject, field, update.envelope)
        except BlobFormatBroken as failure:
            held[update.hop] = Held.of(failure, ComplaintKind.UNREADABLE)
        except AuditFailure as failure:
            held[update.hop] = Held.of(failure, ComplaintKind.MISSING)

    def _check_complaint(self, logged: LoggedEvent, event: EnvelopeDisputed) -> None:
        complaint = event.complaint
        held = self.state.envelopes.get(complaint.query, {})
        sent = held.get(Hop(complaint.hop - 1))
        if sent is not None and sent.complaint is complaint.kind:
            self._excuse(held.pop(Hop(complaint.hop - 1)), f"its recipient disputed it ({complaint.kind.name})")
        if event.recipient == self._ouroboros and complaint.evidence == ZERO:
            return
        subject, field = f"query {complaint.query}, hop {complaint.hop}", "complaint.evidence"
        try:
            self._check_blob(logged, BlobKind.COMPLAINT, subject, field, complaint.evidence)
        except AuditFailure as failure:
            self.state.evidence[complaint.query] = Held.of(failure)

    def _check_verdict(self, logged: LoggedEvent, event: VerdictPosted) -> None:
        verdict = event.verdict
        subject = f"query {verdict.query}, hop {verdict.hop}"
        self._check_blob(logged, BlobKind.VERDICT, subject, "verdict.evidence", verdict.evidence)
        envelopes, evidence = self.state.envelopes.get(verdict.query, {}), self.state.evidence.pop(verdict.query, None)
        if evidence is not None and not verdict.receiver_guilty:
            raise evidence.failure
        sides = ((verdict.sender_guilty, Hop(verdict.hop - 1)), (verdict.receiver_guilty, verdict.hop))
        found = [envelopes.pop(hop) for is_guilty, hop in sides if is_guilty and hop in envelopes]
        for held in [*found, *([evidence] if evidence is not None else [])]:
            self._excuse(held, "who posted it was found guilty")

    def _excuse(self, held: Held, why: str) -> None:
        self.state.disputed += 1
        self._remark(f"{held.failure}; {why}")

    def _remark(self, text: str) -> None:
        if len(self.state.remarks) < MAX_REMARKS:
            self.state.remarks.append(text)
        else:
            self.state.more_remarks += 1

    def _settle(self, query: QueryId) -> None:
        """Nothing more will come that disputes a blob of this query."""
        held = [*self.state.envelopes.pop(query, {}).values()]
        if query in self.state.evidence:
            held.append(self.state.evidence.pop(query))
        if held:
            raise held[0].failure

    def _settle_delivered(self, logged: LoggedEvent) -> None:
        """A delivery that violates eq. 13 is no end: its record follows at once."""
        if isinstance(logged.event, OutputDisputed):
            self._delivered = None
        self.end_block()

    # ------------------------------------------------------------------ one blob

    def _check_blob(
        self, logged: LoggedEvent, kind: BlobKind, subject: str, field: str, pointer: Digest, parts: int = 0
    ) -> None:
        """`parts` is how many layers or notes the blob must have, if it is of a kind that has any."""
        name = f"{type(logged.event).__name__}.{field}"

        def fail(expected: str, found: str) -> AuditFailure:
            return AuditFailure(subject, name, expected, found, Place.of(logged))

        try:
            blob = self._store.get(pointer)
        except BlobMissing:
            raise fail(f"a blob {show(pointer)} in {self._store.url}", "none") from None
        except BlobCorrupt as error:
            raise fail(f"the bytes of blob {show(pointer)}", f"bytes that hash to {show(error.actual)}") from None
        except BlobUnreadable as error:
            raise fail(f"a blob {show(pointer)} in {self._store.url}", f"what cannot be read: {error.reason}") from None
        except BlobTooLarge as error:
            raise fail(f"a blob {show(pointer)} of {self._store.max_bytes} bytes or less", f"{error.size}") from None
        fault = format_fault(kind, blob, parts)
        if fault is not None:
            expected = f"a blob {show(pointer)} in the format of {kind.value}"
            raise BlobFormatBroken(subject, name, expected, fault, Place.of(logged))
        self.state.counts[kind] = self.state.counts.get(kind, 0) + 1
        self.state.total_bytes += len(blob)
