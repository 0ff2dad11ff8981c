"""The outer formats of blobs, as far as nobody needs a key to check them."""

from __future__ import annotations

from enum import Enum

from deepring_chain.encoding import decode_fields
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.evidence import LEAST_CIPHERTEXT_BYTES, WRAPPED_KEY_BYTES, decode_shared

LEAST_SEALED_BYTES = 32 + 16
"""HPKE of an empty message: encapsulated key and tag."""


class BlobKind(Enum):
    """What an event points to."""

    CARD = "model cards"
    ARRANGEMENT_NOTES = "arrangement notes"
    PARAMETERS = "restore parameters"
    INPUT = "sealed inputs"
    ROUTE_NOTES = "route notes"
    ENVELOPE = "envelopes"
    COMPLAINT = "evidence of complaints"
    VERDICT = "evidence of verdicts"
    ANSWER = "sealed answers"


class BlobFormatBroken(AuditFailure):
    """A blob is there, with the bytes that the ledger names, but it is no such thing."""


def format_fault(kind: BlobKind, blob: bytes, parts: int) -> str | None:
    """What is wrong with a blob's outer format; None if nothing is.

    Args:
        kind: what it should be.
        blob: its bytes.
        parts: how many layers a card, or how many notes a bundle must have.
    """
    try:
        if kind is BlobKind.CARD:
            _check_card(blob, parts)
        elif kind in (BlobKind.ARRANGEMENT_NOTES, BlobKind.ROUTE_NOTES):
            _check_notes(blob, parts)
        elif kind is BlobKind.VERDICT:
            decode_shared(blob)
        else:
            _check_envelope(blob)
    except (ProtocolError, ModelError) as error:
        return str(error)
    return None


def _check_card(blob: bytes, expected: int) -> None:
    layers = ModelCard.decode(blob).layers
    if layers != expected:
        raise ProtocolError(f"model card: of {layers} layers, registered with {expected}")


def _check_notes(blob: bytes, expected: int) -> None:
    """One note for each receiver, all of one length, so that the bundle does not tell who gets which."""
    (notes,) = decode_fields(blob, "notes", [list])
    if len(notes) != expected:
        raise ProtocolError(f"notes: {len(notes)} of them for {expected} workers")
    if not notes or any(type(note) is not bytes or len(note) < LEAST_SEALED_BYTES for note in notes):
        raise ProtocolError("notes: one that is no sealed message")
    if len({len(note) for note in notes}) > 1:
        raise ProtocolError("notes: of different lengths")


def _check_envelope(blob: bytes) -> None:
    wrapped_key, ciphertext = decode_fields(blob, "envelope", [bytes, bytes])
    if len(wrapped_key) != WRAPPED_KEY_BYTES:
        raise ProtocolError(f"envelope: a wrapped key of {len(wrapped_key)} bytes, expected {WRAPPED_KEY_BYTES}")
    if len(ciphertext) < LEAST_CIPHERTEXT_BYTES:
        raise ProtocolError(f"envelope: a ciphertext of {len(ciphertext)} bytes, the least is {LEAST_CIPHERTEXT_BYTES}")
