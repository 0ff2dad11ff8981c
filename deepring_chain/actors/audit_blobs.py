"""The auditor's view of the store: every blob that an event points to is there, undamaged, and of its outer format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum

from deepring_chain.encoding import decode_fields
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.audit_step import AuditFailure, Place, show
from deepring_chain.protocol.events import (
    AnswerDelivered,
    LoggedEvent,
    ModelRegistered,
    QueryRejected,
    QuerySubmitted,
    RingArranged,
    RouteOpened,
    UpdatePosted,
)
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge, ContentStore
from deepring_chain.types import Digest, QueryId

WRAPPED_KEY_BYTES = 32 + 32 + 16
"""HPKE with X25519 and AES-256-GCM (RFC 9180): encapsulated key, sealed AES-256 key, tag."""

LEAST_SEALED_BYTES = 32 + 16
"""HPKE of an empty message: encapsulated key and tag."""

LEAST_CIPHERTEXT_BYTES = 12 + 16
"""AES-256-GCM of an empty message: nonce and tag."""


class BlobKind(Enum):
    """What an event points to."""

    CARD = "model cards"
    ARRANGEMENT_NOTES = "arrangement notes"
    INPUT = "sealed inputs"
    ROUTE_NOTES = "route notes"
    ENVELOPE = "envelopes"
    ANSWER = "sealed answers"


class BlobAuditor:
    """Takes events in order and reads what they point to.

    A querent's input counts only once the ouroboros has accepted it, by opening a route: anyone may post a pointer to
    nothing, and is turned down for it.

    Attributes:
        counts, total_bytes: of the blobs that were found good.
        remarks: unusable inputs that are nobody's fault in the ring.
    """

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._layers = 0
        self._inputs: dict[QueryId, LoggedEvent] = {}
        self.counts: Counter[BlobKind] = Counter()
        self.total_bytes = 0
        self.remarks: list[str] = []

    def check(self, logged: LoggedEvent) -> None:
        """Reads what the next event, which the verifier found good, points to.

        Raises:
            AuditFailure: absent, damaged, too large, or of another format.
            StoreError: the store cannot be read at all.
        """
        match logged.event:
            case ModelRegistered() as event:
                self._layers = event.layers
                subject = f"model version {event.version}"
                self._check_blob(logged, BlobKind.CARD, subject, "card", event.card)
            case RingArranged() as event:
                subject = f"arrangement {event.arrangement}"
                self._check_blob(logged, BlobKind.ARRANGEMENT_NOTES, subject, "notes", event.notes)
            case UpdatePosted() as event:
                update = event.signed.update
                subject = f"query {update.query}, hop {update.hop}"
                self._check_blob(logged, BlobKind.ENVELOPE, subject, "signed.update.envelope", update.envelope)
            case AnswerDelivered() as event:
                self._check_blob(logged, BlobKind.ANSWER, f"query {event.query}, delivery", "answer", event.answer)
            case QuerySubmitted() | RouteOpened() | QueryRejected():
                self._check_query(logged)

    def finish(self) -> None:
        """Looks at the inputs that the ouroboros has neither accepted nor turned down; only remarks on them."""
        for logged in self._inputs.values():
            self._try_input(logged, "nobody has accepted it yet")
        self._inputs.clear()

    # ------------------------------------------------------------------ steps

    def _check_query(self, logged: LoggedEvent) -> None:
        match logged.event:
            case QuerySubmitted() as event:
                self._inputs[event.query] = logged
            case RouteOpened() as event:
                self._check_input(self._inputs.pop(event.query))
                self._check_blob(logged, BlobKind.ROUTE_NOTES, f"query {event.query}", "notes", event.notes)
            case QueryRejected() as event:
                self._try_input(self._inputs.pop(event.query), f"the query was rejected ({event.reason.name})")

    def _check_input(self, logged: LoggedEvent) -> None:
        if isinstance(logged.event, QuerySubmitted):
            pointer = logged.event.sealed_input
            self._check_blob(logged, BlobKind.INPUT, f"query {logged.event.query}", "sealed_input", pointer)

    def _try_input(self, logged: LoggedEvent, why: str) -> None:
        try:
            self._check_input(logged)
        except AuditFailure as failure:
            self.remarks.append(f"{failure}; {why}")

    def _check_blob(self, logged: LoggedEvent, kind: BlobKind, subject: str, field: str, pointer: Digest) -> None:
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
        try:
            self._formats()[kind](blob)
        except (ProtocolError, ModelError) as error:
            raise fail(f"a blob {show(pointer)} in the format of {kind.value}", str(error)) from None
        self.counts[kind] += 1
        self.total_bytes += len(blob)

    def _formats(self) -> dict[BlobKind, Callable[[bytes], None]]:
        return {
            BlobKind.CARD: self._check_card,
            BlobKind.ARRANGEMENT_NOTES: self._check_notes,
            BlobKind.INPUT: _check_envelope,
            BlobKind.ROUTE_NOTES: self._check_notes,
            BlobKind.ENVELOPE: _check_envelope,
            BlobKind.ANSWER: _check_envelope,
        }

    def _check_card(self, blob: bytes) -> None:
        layers = ModelCard.decode(blob).layers
        if layers != self._layers:
            raise ProtocolError(f"model card: of {layers} layers, registered with {self._layers}")

    def _check_notes(self, blob: bytes) -> None:
        """One note for each worker, all of one length, so that the bundle does not tell who gets which."""
        (notes,) = decode_fields(blob, "notes", [list])
        if len(notes) != self._layers:
            raise ProtocolError(f"notes: {len(notes)} of them for {self._layers} workers")
        if any(type(note) is not bytes or len(note) < LEAST_SEALED_BYTES for note in notes):
            raise ProtocolError("notes: one that is no sealed message")
        if len({len(note) for note in notes}) > 1:
            raise ProtocolError("notes: of different lengths")


def _check_envelope(blob: bytes) -> None:
    wrapped_key, ciphertext = decode_fields(blob, "envelope", [bytes, bytes])
    if len(wrapped_key) != WRAPPED_KEY_BYTES:
        raise ProtocolError(f"envelope: a wrapped key of {len(wrapped_key)} bytes, expected {WRAPPED_KEY_BYTES}")
    if len(ciphertext) < LEAST_CIPHERTEXT_BYTES:
        raise ProtocolError(f"envelope: a ciphertext of {len(ciphertext)} bytes, the least is {LEAST_CIPHERTEXT_BYTES}")
