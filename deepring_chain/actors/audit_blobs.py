"""The auditor's view of the store: every blob that an event points to is there, undamaged, and of its outer format.

What the ring itself has found unusable is no news: an envelope that its recipient disputed for that, or whose sender
was found guilty, is counted as disputed. So is the evidence of a complaint whose author was found guilty.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from deepring_chain.actors.audit_formats import BlobFormatBroken, BlobKind, format_fault
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
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge, ContentStore
from deepring_chain.types import ZERO, Address, ComplaintKind, Digest, Hop, QueryId


@dataclass(frozen=True)
class _Held:
    """A failure that the ring may have found itself: what a complaint about it says, and in which words."""

    failure: AuditFailure
    complaint: ComplaintKind | None = None


class BlobAuditor:
    """Takes events in order and reads what they point to.

    A querent's input counts only once the ouroboros has accepted it, by opening a route: anyone may post a pointer to
    nothing, and is turned down for it.

    Args:
        store: the ciphertext store.
        ouroboros: the model owner's account; it needs no evidence for a complaint of its own.

    Attributes:
        counts, total_bytes: of the blobs that were found good.
        disputed: how many are not, as the trail itself says.
        remarks: unusable inputs that are nobody's fault in the ring, and the disputed blobs.
    """

    def __init__(self, store: ContentStore, ouroboros: Address) -> None:
        self._store = store
        self._ouroboros = ouroboros
        self._layers = 0
        self._inputs: dict[QueryId, LoggedEvent] = {}
        self._envelopes: dict[QueryId, dict[Hop, _Held]] = {}
        self._evidence: dict[QueryId, _Held] = {}
        self._delivered: QueryId | None = None
        self.counts: Counter[BlobKind] = Counter()
        self.total_bytes = 0
        self.disputed = 0
        self.remarks: list[str] = []

    def check(self, logged: LoggedEvent) -> None:
        """Reads what the next event, which the verifier found good, points to.

        Raises:
            AuditFailure: absent, damaged, too large, or of another format.
            StoreError: the store cannot be read at all.
        """
        self._settle_delivered(logged)
        match logged.event:
            case ModelRegistered() as event:
                self._layers = event.layers
                subject = f"model version {event.version}"
                self._check_blob(logged, BlobKind.CARD, subject, "card", event.card, self._layers)
            case RingArranged() as event:
                subject = f"arrangement {event.arrangement}"
                self._check_blob(logged, BlobKind.ARRANGEMENT_NOTES, subject, "notes", event.notes, self._layers)
            case RestoreOrdered() as event:
                subject = f"arrangement {event.arrangement}, seat {event.position}"
                self._check_blob(logged, BlobKind.PARAMETERS, subject, "parameters", event.parameters)
            case QuerySubmitted() | RouteOpened() | QueryRejected() | QueryWithdrawn():
                self._check_query(logged)
            case _:
                self._check_entry(logged)

    def finish(self) -> None:
        """Looks at the inputs that the ouroboros has neither accepted nor turned down; only remarks on them.

        Raises:
            AuditFailure: a blob of a query that is still open is unusable, and nobody has disputed it.
        """
        if self._delivered is not None:
            self._settle(self._delivered)
        for query in [*self._envelopes, *self._evidence]:
            self._settle(query)
        for logged in self._inputs.values():
            self._try_input(logged, "nobody has accepted it yet")
        self._inputs.clear()

    # ------------------------------------------------------------------ queries

    def _check_query(self, logged: LoggedEvent) -> None:
        match logged.event:
            case QuerySubmitted() as event:
                self._inputs[event.query] = logged
            case RouteOpened() as event:
                if event.query in self._inputs:
                    self._check_input(self._inputs.pop(event.query))
                # Hop 0 is the ouroboros, who needs no note.
                receivers = self._layers + 1 - max(1, event.first_hop)
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
        if query in self._inputs:
            self._try_input(self._inputs.pop(query), why)
        self._settle(query)

    def _check_input(self, logged: LoggedEvent) -> None:
        if isinstance(logged.event, QuerySubmitted):
            pointer = logged.event.sealed_input
            self._check_blob(logged, BlobKind.INPUT, f"query {logged.event.query}", "sealed_input", pointer)

    def _try_input(self, logged: LoggedEvent, why: str) -> None:
        try:
            self._check_input(logged)
        except AuditFailure as failure:
            self.remarks.append(f"{failure}; {why}")

    # ------------------------------------------------------------------ disputes

    def _check_envelope(self, logged: LoggedEvent, event: UpdatePosted) -> None:
        update = event.signed.update
        held = self._envelopes.setdefault(update.query, {})
        if update.hop in held:  # nobody reads the older one any more, so nobody will dispute it
            raise held[update.hop].failure
        subject, field = f"query {update.query}, hop {update.hop}", "signed.update.envelope"
        try:
            self._check_blob(logged, BlobKind.ENVELOPE, subject, field, update.envelope)
        except BlobFormatBroken as failure:
            held[update.hop] = _Held(failure, ComplaintKind.UNREADABLE)
        except AuditFailure as failure:
            held[update.hop] = _Held(failure, ComplaintKind.MISSING)

    def _check_complaint(self, logged: LoggedEvent, event: EnvelopeDisputed) -> None:
        complaint = event.complaint
        held = self._envelopes.get(complaint.query, {})
        sent = held.get(Hop(complaint.hop - 1))
        if sent is not None and sent.complaint is complaint.kind:
            self._excuse(held.pop(Hop(complaint.hop - 1)), f"its recipient disputed it ({complaint.kind.name})")
        if event.recipient == self._ouroboros and complaint.evidence == ZERO:
            return
        subject, field = f"query {complaint.query}, hop {complaint.hop}", "complaint.evidence"
        try:
            self._check_blob(logged, BlobKind.COMPLAINT, subject, field, complaint.evidence)
        except AuditFailure as failure:
            self._evidence[complaint.query] = _Held(failure)

    def _check_verdict(self, logged: LoggedEvent, event: VerdictPosted) -> None:
        verdict = event.verdict
        subject = f"query {verdict.query}, hop {verdict.hop}"
        self._check_blob(logged, BlobKind.VERDICT, subject, "verdict.evidence", verdict.evidence)
        envelopes, evidence = self._envelopes.get(verdict.query, {}), self._evidence.pop(verdict.query, None)
        if evidence is not None and not verdict.receiver_guilty:
            raise evidence.failure
        sides = ((verdict.sender_guilty, Hop(verdict.hop - 1)), (verdict.receiver_guilty, verdict.hop))
        found = [envelopes.pop(hop) for is_guilty, hop in sides if is_guilty and hop in envelopes]
        for held in [*found, *([evidence] if evidence is not None else [])]:
            self._excuse(held, "who posted it was found guilty")

    def _excuse(self, held: _Held, why: str) -> None:
        self.disputed += 1
        self.remarks.append(f"{held.failure}; {why}")

    def _settle(self, query: QueryId) -> None:
        """Nothing more will come that disputes a blob of this query."""
        held = [*self._envelopes.pop(query, {}).values()]
        if query in self._evidence:
            held.append(self._evidence.pop(query))
        if held:
            raise held[0].failure

    def _settle_delivered(self, logged: LoggedEvent) -> None:
        """A delivery that violates eq. 13 is no end: its record follows at once."""
        query, self._delivered = self._delivered, None
        if query is not None and not isinstance(logged.event, OutputDisputed):
            self._settle(query)

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
        except BlobTooLarge as error:
            raise fail(f"a blob {show(pointer)} of {self._store.max_bytes} bytes or less", f"{error.size}") from None
        fault = format_fault(kind, blob, parts)
        if fault is not None:
            expected = f"a blob {show(pointer)} in the format of {kind.value}"
            raise BlobFormatBroken(subject, name, expected, fault, Place.of(logged))
        self.counts[kind] += 1
        self.total_bytes += len(blob)
