"""One verdict, derived anew from its evidence and the trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.crypto.digest import commit_output, hop_key
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.encoding import decode_tensor
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.audit_step import AuditFailure, Place, Terms, show
from deepring_chain.protocol.envelope import hop_context, open_output, open_with_key, query_context
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    OutputDisputed,
    QuerySubmitted,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.protocol.evidence import Evidence
from deepring_chain.protocol.restore import complaint_context
from deepring_chain.protocol.validation import check_form, check_items
from deepring_chain.store.content import BlobFault, ContentStore
from deepring_chain.types import Address, Attempt, ComplaintKind, Digest, Hop, TensorBytes

LayerRunner = Callable[[TensorBytes], list[TensorBytes]]
"""O_0 .. O_n of an input."""


@dataclass
class Dispute:
    """A query, as far as a verdict on it needs it.

    Attributes:
        asked: its first event.
        hops: of the attempt that runs.
        keys: for each attempt what every account attested in its arrangement.
        updates: the last accepted one of each hop.
        edge: what is in dispute.
        is_delivered: whether its answer was posted; it may yet be disputed.
    """

    asked: QuerySubmitted
    hops: int = 0
    keys: dict[Attempt, dict[Address, Digest]] = field(default_factory=dict)
    updates: dict[Hop, UpdatePosted] = field(default_factory=dict)
    edge: OutputDisputed | EnvelopeDisputed | None = None
    is_delivered: bool = False

    def open_route(self, event: RouteOpened, keys: dict[Address, Digest]) -> None:
        """The next attempt, in an arrangement of `keys`."""
        self.hops = len(keys)
        self.keys[event.attempt] = keys

    def take(self, event: UpdatePosted | OutputDisputed | EnvelopeDisputed) -> None:
        """An accepted update, or what stops it."""
        match event:
            case UpdatePosted():
                self.updates[event.signed.update.hop] = event
            case OutputDisputed():
                self.updates.pop(event.hop, None)
                self.edge, self.is_delivered = event, False
            case EnvelopeDisputed():
                self.edge = event


@dataclass(frozen=True)
class Finding:
    """Who is guilty; None where the record cannot tell, and what is open."""

    sender_guilty: bool | None
    receiver_guilty: bool | None
    open_points: tuple[str, ...] = ()


class Replay:
    """Derives one verdict.

    Args:
        terms: of the ledger.
        store: the ciphertext store.
        dispute: the query.
        evidence: what the ouroboros sealed to the auditor.
        run: the model, if the auditor has it.
    """

    def __init__(
        self, terms: Terms, store: ContentStore, dispute: Dispute, evidence: Evidence, run: LayerRunner | None
    ) -> None:
        self._domain = terms.domain
        self._store = store
        self._dispute = dispute
        self._evidence = evidence
        self._run = run

    def judge(self, event: VerdictPosted, place: Place) -> Finding:
        """Who is guilty.

        Args:
            event: the verdict that was posted; what it says of the sides is not used.
            place: where it stands.

        Raises:
            AuditFailure: the evidence contradicts the trail, the input, or the layers.
            BlobFault: the querent's input is not to be read any more.
        """
        hop = event.verdict.hop

        def fail(what: str, expected: str, found: str) -> AuditFailure:
            subject = f"query {event.verdict.query}, hop {hop}"
            return AuditFailure(subject, f"VerdictPosted.verdict.evidence ({what})", expected, found, place)

        truth = self._true_outputs(hop, fail)
        self._check_commitment_key(truth, fail)
        edge = self._dispute.edge
        if isinstance(edge, EnvelopeDisputed):
            return self._judge_complaint(edge, hop, truth, fail)
        if edge is None:
            raise fail("its dispute", "a disputed edge", "none")
        return self._judge_contradiction(edge, hop, truth)

    # ------------------------------------------------------------------ the truth

    def _true_outputs(self, hop: Hop, fail: _Fail) -> dict[Hop, TensorBytes]:
        """O_0 from the querent's blob, and the outputs around the edge: computed, or as the evidence has them."""
        entered = self._open_input(fail)
        self._check_item_count(entered, fail)
        first, given = self._evidence.first_hop, self._evidence.outputs
        wanted = max(0, hop - 2)
        if (first, len(given)) != (wanted, hop + 1 - wanted):
            found = f"{len(given)} from hop {first} on"
            raise fail("its outputs", f"those of hops {wanted} to {hop}", found)
        truth = {Hop(first + index): output for index, output in enumerate(given)}
        known: dict[Hop, TensorBytes] = {Hop(0): entered}
        if self._run is not None:
            outputs = self._run_layers(self._run, entered, fail)
            # The delivery repeats the last layer's output.
            known = {Hop(index): output for index, output in enumerate([*outputs, outputs[-1]])}
        for number, output in truth.items():
            if number in known and known[number] != output:
                raise fail(f"output of hop {number}", "what honest layers make of the input", "another tensor")
        return {**truth, Hop(0): entered}

    def _run_layers(self, run: LayerRunner, entered: TensorBytes, fail: _Fail) -> list[TensorBytes]:
        try:
            return run(entered)
        except ProtocolError as error:
            raise fail("its input", "one that the model takes", str(error)) from None

    def _open_input(self, fail: _Fail) -> TensorBytes:
        asked = self._dispute.asked
        place = query_context(self._domain, asked.querent, asked.sealing_key)
        try:
            return decode_tensor(open_with_key(self._evidence.input_key, self._store.get(asked.sealed_input), place))
        except ProtocolError as error:
            raise fail("its key of the input", "the key of the querent's sealed input", str(error)) from None

    def _check_item_count(self, entered: TensorBytes, fail: _Fail) -> None:
        """The ouroboros told the number of items when it opened the route; every hop since is held to it."""
        told, asked = self._dispute.updates[Hop(0)].signed.update.items, entered.shape[:1]
        if asked != (told,):
            raise fail("the query's number of items", f"{asked[0] if asked else 0}, as the input has", str(told))

    def _check_commitment_key(self, truth: dict[Hop, TensorBytes], fail: _Fail) -> None:
        """Hop 0 is the ouroboros's own: it committed to the input under this key before anything was in dispute."""
        posted = self._dispute.updates[Hop(0)].signed.update.output
        derived = self._commit(Hop(0), truth[Hop(0)])
        if posted != derived:
            raise fail("its commitment key", f"one that gives hop 0's commitment {show(posted)}", show(derived))

    def _commit(self, hop: Hop, output: TensorBytes) -> Digest:
        return commit_output(hop_key(self._evidence.commitment_key, hop), output)

    # ------------------------------------------------------------------ the rules

    def _sender_lied(self, hop: Hop, truth: dict[Hop, TensorBytes]) -> bool:
        """Whether the sender's commitments, to its output or to the next one, are not the layers'."""
        sent = self._sent(hop).signed.update
        expected = [self._commit(Hop(at), truth[Hop(at)]) for at in (hop - 1, hop)]
        return [sent.output, sent.next_output] != expected

    def _was_sent_truth(self, hop: int, truth: dict[Hop, TensorBytes]) -> bool:
        """Whether `hop` was sent its layer's true input: if not, what it made of that is not held against it."""
        before = self._dispute.updates.get(Hop(hop - 1))
        return before is None or before.signed.update.output == self._commit(Hop(hop - 1), truth[Hop(hop - 1)])

    def _judge_contradiction(self, edge: OutputDisputed, hop: Hop, truth: dict[Hop, TensorBytes]) -> Finding:
        sender = self._sender_lied(hop, truth)
        is_layer = hop < self._dispute.hops
        receiver = is_layer and self._was_sent_truth(hop, truth) and edge.actual != self._commit(hop, truth[hop])
        points: Sequence[str] = ()
        if not is_layer and edge.actual != self._commit(hop, truth[hop]):
            points = ("the ouroboros's own delivery, which was not the last layer's output",)
        return Finding(sender, receiver, tuple(points))

    def _judge_complaint(self, edge: EnvelopeDisputed, hop: Hop, truth: dict[Hop, TensorBytes], fail: _Fail) -> Finding:
        lied = self._sender_lied(hop, truth) and self._was_sent_truth(hop - 1, truth)
        kind = edge.complaint.kind
        if kind is ComplaintKind.UNABLE:
            return Finding(lied, False)
        if kind is ComplaintKind.MISSING:
            if lied:
                return Finding(True, False)
            return Finding(None, False, ("whether the envelope was in the store then",))
        key, is_open = self._recipient_key(edge, hop, fail)
        try:
            if key is not None and self._is_unusable(hop, key, truth[Hop(hop - 1)]):
                return Finding(True, False)
        except BlobFault:
            return Finding(True if lied else None, None, ("what the disputed envelope was: it is not to be read now",))
        points = ("whether the complaint's evidence could be opened by the ouroboros",) if is_open else ()
        is_own = hop == self._dispute.hops
        return Finding(lied, None if is_open else not is_own, points)

    def _recipient_key(self, edge: EnvelopeDisputed, hop: Hop, fail: _Fail) -> tuple[X25519PrivateKey | None, bool]:
        """The key that the envelope had to be sealed to, if it was revealed; and whether that stays open."""
        attested = self._dispute.keys[self._sent(hop).signed.update.attempt].get(edge.recipient)
        if self._evidence.recipient_key:
            key = X25519PrivateKey.from_private_bytes(self._evidence.recipient_key)
            if public_bytes(key) != attested:
                wanted = f"the key of {show(attested)}, which the recipient attested"
                raise fail("the recipient's key", wanted, f"one of {show(public_bytes(key))}")
            return key, False
        if hop == self._dispute.hops:
            raise fail("the recipient's key", "the ouroboros's own key of the arrangement", "none")
        return None, not self._shows_no_key(edge, attested, fail)

    def _shows_no_key(self, edge: EnvelopeDisputed, attested: Digest | None, fail: _Fail) -> bool:
        """Whether the complaint's own evidence proves that it did not reveal the right key."""
        if not self._evidence.complaint_key:
            return False
        complaint = edge.complaint
        place = complaint_context(self._domain, complaint.query, complaint.attempt, complaint.hop)
        try:
            content = open_with_key(self._evidence.complaint_key, self._store.get(complaint.evidence), place)
        except (ProtocolError, BlobFault):
            return False
        if len(content) == 32 and public_bytes(X25519PrivateKey.from_private_bytes(content)) == attested:
            raise fail("the recipient's key", "the one that the complaint reveals", "none")
        return True

    def _is_unusable(self, hop: Hop, key: X25519PrivateKey, honest: TensorBytes) -> bool:
        """The recipient's check, repeated.

        Raises:
            BlobFault: the envelope is not to be read. It may have been there when the verdict was given, or not.
        """
        update = self._sent(hop).signed.update
        place = hop_context(self._domain, update.query, update.attempt, update.hop)
        try:
            received = open_output(key, self._store.get(update.envelope), place)
            check_items(update.query, update.hop, received, update.items)
            check_form(update.query, update.hop, received, honest)
        except ProtocolError:
            return True
        return self._commit(update.hop, received) != update.output

    def _sent(self, hop: Hop) -> UpdatePosted:
        return self._dispute.updates[Hop(hop - 1)]


_Fail = Callable[[str, str, str], AuditFailure]
"""Makes the failure that names what in the evidence is wrong, what was expected, and what was found."""
