"""The auditor's view of the store: every blob that an event points to is there, undamaged, and of its outer format.

A blob that is not is a fault; the auditor collects it and reads on, since who can write to the store or post a pointer
must not end the audit. What the ring itself has found unusable is no news: an envelope that its recipient disputed for
that, or whose sender was found guilty, is counted as disputed. So is the evidence of a complaint whose author was found
guilty. Evidence that nobody has to read is a remark at most: no verdict opens it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from deepring_chain.audit.faults import Fault, Faults
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
from deepring_chain.types import ZERO, Address, ComplaintKind, Hop, Pointer, QueryId, Verdict

MAX_REMARKS = 1000
"""So many are kept: memory must not grow with a trail that is odd all along."""


ABOUT_CONTENT = frozenset({ComplaintKind.UNREADABLE, ComplaintKind.ALTERED})
"""Complaints whose evidence, the recipient's key, a verdict needs; the ledger binds a pointer for all kinds."""


@dataclass(frozen=True)
class Held:
    """A fault that the ring may have found itself.

    Attributes:
        fault: what is wrong.
        complaint: what a complaint about it says.
        is_disputed: whether its recipient complained of something else; then the verdict decides.
    """

    fault: Fault
    complaint: ComplaintKind | None = None
    is_disputed: bool = False


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
    evidence: dict[QueryId, Fault] = field(default_factory=dict)
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
        faults: takes what is wrong.
        state: where another one stopped; from the first event on if None.

    Attributes:
        state: what was found so far.
    """

    def __init__(self, store: ContentStore, ouroboros: Address, faults: Faults, state: BlobState | None = None) -> None:
        self._store = store
        self._ouroboros = ouroboros
        self._faults = faults
        self._delivered: QueryId | None = None
        self.state = state or BlobState()

    def check(self, logged: LoggedEvent) -> None:
        """Reads what the next event, which the verifier found good, points to.

        Raises:
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
        """Nothing more comes in the transaction of a delivery that the block ended with."""
        query, self._delivered = self._delivered, None
        if query is not None:
            self._settle(query)

    def finish(self) -> None:
        """Looks at what open queries leave undecided: blobs that nobody disputed; inputs, only to remark on them."""
        self.end_block()
        for query in {**self.state.envelopes, **self.state.evidence}:
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
        if query in self.state.evidence:  # no verdict will read it
            self._remark(f"{self.state.evidence.pop(query).failure}; {why}")
        self._settle(query)

    def _check_input(self, logged: LoggedEvent) -> None:
        fault = self._find_input_fault(logged)
        if fault is not None:
            self._faults.add(fault)

    def _try_input(self, logged: LoggedEvent, why: str) -> None:
        fault = self._find_input_fault(logged)
        if fault is not None:
            self._remark(f"{fault.failure}; {why}")

    def _find_input_fault(self, logged: LoggedEvent) -> Fault | None:
        if not isinstance(logged.event, QuerySubmitted):
            return None
        subject, pointer = f"query {logged.event.query}", logged.event.sealed_input
        return _fault_of(lambda: self._read_blob(logged, BlobKind.INPUT, subject, "sealed_input", pointer))

    # ------------------------------------------------------------------ disputes

    def _check_envelope(self, logged: LoggedEvent, event: UpdatePosted) -> None:
        update = event.signed.update
        held = self.state.envelopes.setdefault(update.query, {})
        if update.hop in held:  # nobody reads the older one any more, so nobody will dispute it
            self._faults.add(held.pop(update.hop).fault)
        subject, field = f"query {update.query}, hop {update.hop}", "signed.update.envelope"
        try:
            self._read_blob(logged, BlobKind.ENVELOPE, subject, field, update.envelope)
        except BlobFormatBroken as failure:
            held[update.hop] = Held(Fault.of(failure), ComplaintKind.UNREADABLE)
        except AuditFailure as failure:
            held[update.hop] = Held(Fault.of(failure), ComplaintKind.MISSING)

    def _check_complaint(self, logged: LoggedEvent, event: EnvelopeDisputed) -> None:
        complaint = event.complaint
        held, sender = self.state.envelopes.get(complaint.query, {}), Hop(complaint.hop - 1)
        sent = held.get(sender)
        if sent is not None and sent.complaint is complaint.kind:
            self._excuse(held.pop(sender).fault, f"its recipient disputed it ({complaint.kind.name})")
        elif sent is not None and complaint.kind is not ComplaintKind.UNABLE:
            held[sender] = replace(sent, is_disputed=True)
        if event.recipient == self._ouroboros and complaint.evidence == ZERO:
            return
        subject, field = f"query {complaint.query}, hop {complaint.hop}", "complaint.evidence"
        fault = _fault_of(lambda: self._read_blob(logged, BlobKind.COMPLAINT, subject, field, complaint.evidence))
        if fault is None:
            return
        if complaint.kind in ABOUT_CONTENT:
            self.state.evidence[complaint.query] = fault
        else:
            self._remark(f"{fault.failure}; nobody has to read it ({complaint.kind.name})")

    def _check_verdict(self, logged: LoggedEvent, event: VerdictPosted) -> None:
        verdict = event.verdict
        subject = f"query {verdict.query}, hop {verdict.hop}"
        self._check_blob(logged, BlobKind.VERDICT, subject, "verdict.evidence", verdict.evidence)
        evidence = self.state.evidence.pop(verdict.query, None)
        if evidence is not None and verdict.receiver_guilty:
            self._excuse(evidence, "who posted it was found guilty")
        elif evidence is not None:
            self._faults.add(evidence)
        self._excuse_envelopes(verdict)

    def _excuse_envelopes(self, verdict: Verdict) -> None:
        """What a guilty side sent, and what its recipient disputed without being found guilty for that."""
        envelopes = self.state.envelopes.get(verdict.query, {})
        for is_guilty, hop in ((verdict.sender_guilty, Hop(verdict.hop - 1)), (verdict.receiver_guilty, verdict.hop)):
            if is_guilty and hop in envelopes:
                self._excuse(envelopes.pop(hop).fault, "who posted it was found guilty")
        sent = envelopes.get(Hop(verdict.hop - 1))
        if sent is not None and sent.is_disputed and not verdict.receiver_guilty:
            self._excuse(envelopes.pop(Hop(verdict.hop - 1)).fault, "its recipient disputed it, without guilt")

    def _excuse(self, fault: Fault, why: str) -> None:
        self.state.disputed += 1
        self._remark(f"{fault.failure}; {why}")

    def _remark(self, text: str) -> None:
        if len(self.state.remarks) < MAX_REMARKS:
            self.state.remarks.append(text)
        else:
            self.state.more_remarks += 1

    def _settle(self, query: QueryId) -> None:
        """Nothing more will come that disputes a blob of this query."""
        for held in self.state.envelopes.pop(query, {}).values():
            self._faults.add(held.fault)
        if query in self.state.evidence:
            self._faults.add(self.state.evidence.pop(query))

    def _settle_delivered(self, logged: LoggedEvent) -> None:
        """A delivery that violates eq. 13 is no end: its record follows at once."""
        if isinstance(logged.event, OutputDisputed):
            self._delivered = None
        self.end_block()

    # ------------------------------------------------------------------ one blob

    def _check_blob(
        self, logged: LoggedEvent, kind: BlobKind, subject: str, field: str, pointer: Pointer, parts: int = 0
    ) -> None:
        """Reads a blob; what is wrong with it is a fault."""
        fault = _fault_of(lambda: self._read_blob(logged, kind, subject, field, pointer, parts))
        if fault is not None:
            self._faults.add(fault)

    def _read_blob(
        self, logged: LoggedEvent, kind: BlobKind, subject: str, field: str, pointer: Pointer, parts: int = 0
    ) -> None:
        """`parts` is how many layers or notes the blob must have, if it is of a kind that has any.

        Raises:
            AuditFailure: absent, damaged, too large, not to be read, or of another format.
            StoreError: the store cannot be read at all.
        """
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


def _fault_of(read: Callable[[], None]) -> Fault | None:
    """What is wrong with the blob that `read` reads."""
    try:
        read()
    except AuditFailure as failure:
        return Fault.of(failure)
    return None
