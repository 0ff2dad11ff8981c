"""Making and checking the signed entries of a query (paper 3.4.2, eq. 4-11)."""

from __future__ import annotations

from dataclasses import astuple
from enum import IntEnum
from typing import Any, TypeVar, get_type_hints

from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import SIGNATURE_BYTES, sign_message
from deepring_chain.encoding import check_digests, decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.plain import base_of
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    MAX_ITEMS,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    RouteLink,
    SignedUpdate,
    Update,
    Verdict,
)


def next_update(session: Session, envelope: Pointer, output: OutputCommitment, next_output: OutputCommitment) -> Update:
    """The entry for the hop that is due.

    Args:
        session: the query.
        envelope: pointer to K_i and X_i.
        output: commitment to O_i.
        next_output: H_i, commitment to what the next layer must produce.
    """
    return Update(
        query=session.query,
        attempt=session.attempt,
        hop=session.next_hop,
        items=session.items,
        envelope=envelope,
        output=output,
        next_output=next_output,
        trail=session.trail,
    )


def sign_update(account: LocalAccount, domain: Domain, update: Update, salt: Digest, rest: RouteLink) -> SignedUpdate:
    """The update with S_i (eq. 4) and the opening of its route link."""
    return SignedUpdate(update, sign_message(account, domain, update), salt, rest)


def closing_delivery(session: Session, answer: Pointer, output: OutputCommitment) -> Delivery:
    """The entry that closes a computed query (eq. 12)."""
    return Delivery(session.query, session.attempt, answer, output, session.trail)


Entry = TypeVar("Entry", Attestation, Delivery, Complaint, Verdict)
"""What is signed besides updates."""


def _field_types(kind: type) -> list[type]:
    """Return what each field is in a record: bool, int or bytes."""
    bases = [base_of(hint) for hint in get_type_hints(kind).values()]
    return [int if issubclass(base, IntEnum) else base for base in bases]


_FIELD_TYPES: dict[type, list[type]] = {
    kind: _field_types(kind) for kind in (Attestation, Delivery, Complaint, Verdict)
}


def encode_entry(entry: Attestation | Delivery | Complaint | Verdict, signature: bytes) -> bytes:
    """Bytes of a signed entry for the write-ahead record, or for another actor that carries it to the ledger."""
    values = [int(value) if isinstance(value, ComplaintKind) else value for value in astuple(entry)]
    return encode_fields(type(entry).__name__.lower(), [*values, signature])


def decode_entry(data: bytes, kind: type[Entry]) -> tuple[Entry, bytes]:
    """Inverse of `encode_entry`.

    Args:
        data: a record.
        kind: Attestation, Delivery, Complaint or Verdict.

    Raises:
        ProtocolError: malformed, or of another kind.
    """
    name = kind.__name__.lower()
    values: list[Any] = decode_fields(data, name, [*_FIELD_TYPES[kind], bytes])
    signature = values.pop()
    check_digests(name, *(value for value in values if isinstance(value, bytes)))
    if len(signature) != SIGNATURE_BYTES:
        raise ProtocolError(f"{name}: a signature of {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    return kind(*values), signature


def encode_signed_update(signed: SignedUpdate) -> bytes:
    """Bytes for the write-ahead record."""
    update = signed.update
    place = [update.query, update.attempt, update.hop, update.items]
    digests = [update.envelope, update.output, update.next_output, update.trail]
    return encode_fields("signed update", [*place, *digests, signed.signature, signed.salt, signed.next_route])


def decode_signed_update(data: bytes) -> SignedUpdate:
    """Inverse of `encode_signed_update`.

    Raises:
        ProtocolError: malformed.
    """
    fields = decode_fields(data, "signed update", [int, int, int, int, *[bytes] * 7])
    query, attempt, hop, items = fields[:4]
    envelope, output, next_output, trail, signature, salt, rest = fields[4:]
    check_digests("signed update", envelope, output, next_output, trail, salt, rest)
    if len(signature) != SIGNATURE_BYTES:
        raise ProtocolError(f"signed update: a signature of {len(signature)} bytes, expected {SIGNATURE_BYTES}")
    if not (0 <= query < 2**64 and 0 <= attempt < 2**16 and 0 <= hop < 2**16):
        raise ProtocolError("signed update: query, attempt or hop out of range")
    if not 0 < items <= MAX_ITEMS:
        raise ProtocolError(f"signed update: {items} items, expected 1 to {MAX_ITEMS}")
    update = Update(QueryId(query), Attempt(attempt), Hop(hop), items, envelope, output, next_output, trail)
    return SignedUpdate(update, signature, salt, rest)
