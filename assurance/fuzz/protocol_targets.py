"""Sealed and stored structures: envelopes, notes, answers, evidence, records of the journal."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from assurance.fuzz.codecs import CBOR, Codec, prefixed
from assurance.fuzz.target import Target
from deepring_chain.audit.formats import BlobKind, format_fault
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.encoding import decode, decode_tensor, encode, encode_fields, encode_tensor
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.draws import ArrangementDraw, RestoreDraw, RouteDraw
from deepring_chain.protocol.envelope import Answer, open_content, query_context, seal_output
from deepring_chain.protocol.evidence import Evidence, decode_shared, open_shared, seal_shared
from deepring_chain.protocol.notes import open_notes, seal_notes
from deepring_chain.protocol.restore import RestoreNote
from deepring_chain.protocol.route import ArrangementNote, RouteNote
from deepring_chain.protocol.update import decode_entry, decode_signed_update, encode_entry, encode_signed_update
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    RouteLink,
    SignedUpdate,
    TensorBytes,
    Update,
    Verdict,
)

ADDRESS = Address("0x52908400098527886E0F7030069857D2E4169EE7")
KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
PLACE = query_context(Domain(31337, ADDRESS), ADDRESS, public_bytes(KEY))
DIGESTS: list[Any] = [Digest(bytes([number]) * 32) for number in range(12)]
TENSOR = TensorBytes("int8", (2, 3), bytes(range(6)))
LOGITS = TensorBytes("int32", (1, 4), bytes(range(16)))
SIGNATURE = bytes(range(65))
ENTRIES: tuple[Attestation | Delivery | Complaint | Verdict, ...] = (
    Attestation(ArrangementId(3), Position(2), 1, DIGESTS[1], DIGESTS[2]),
    Delivery(QueryId(7), Attempt(1), *DIGESTS[3:6]),
    Complaint(QueryId(7), Attempt(1), Hop(3), ComplaintKind.ALTERED, *DIGESTS[6:8]),
    Verdict(QueryId(7), Attempt(1), Hop(3), True, False, *DIGESTS[8:10]),
)
ENTRY_KINDS = tuple(type(entry) for entry in ENTRIES)
SIGNED = SignedUpdate(
    Update(QueryId(9), Attempt(2), Hop(4), 3, *DIGESTS[1:5]),
    SIGNATURE,
    Digest(DIGESTS[5]),
    RouteLink(Digest(DIGESTS[6])),
)
NOTE = RouteNote(Hop(3), 2, DIGESTS[1], DIGESTS[2], ADDRESS, DIGESTS[3], DIGESTS[4], DIGESTS[5], DIGESTS[6])
CHOSEN = tuple(BlobKind)


def _evidence() -> list[bytes]:
    plain = Evidence("hop 3 sent other bytes", DIGESTS[1], DIGESTS[2], Hop(2), (TENSOR, LOGITS))
    full = Evidence("why", DIGESTS[1], DIGESTS[2], Hop(0), (TENSOR,), DIGESTS[3], DIGESTS[4])
    return [plain.encode(), full.encode()]


def _entry(data: bytes) -> tuple[Any, bytes]:
    kind: Any = ENTRY_KINDS[data[0] % len(ENTRY_KINDS)] if data else Verdict
    return decode_entry(data[1:], kind)


def _entries() -> list[bytes]:
    return [bytes([number]) + encode_entry(entry, SIGNATURE) for number, entry in enumerate(ENTRIES)]


def _draw(data: bytes) -> ArrangementDraw | RestoreDraw | RouteDraw:
    kinds = (ArrangementDraw, RestoreDraw, RouteDraw)
    kind: Any = kinds[data[0] % 3] if data else RouteDraw
    return kind.decode(data[1:])  # type: ignore[no-any-return]


def _draws() -> list[bytes]:
    route = RouteDraw(Hop(1), (ADDRESS, ADDRESS), (DIGESTS[1], DIGESTS[2]), (DIGESTS[3],), DIGESTS[4], DIGESTS[5])
    arrangement = ArrangementDraw((ADDRESS,), DIGESTS[1], (DIGESTS[2],), DIGESTS[3])
    drawn: tuple[ArrangementDraw | RestoreDraw | RouteDraw, ...] = (arrangement, RestoreDraw(*DIGESTS[1:4]), route)
    return [bytes([number]) + each.encode() for number, each in enumerate(drawn)]


def _blob(data: bytes) -> str | None:
    """Which kind, how many parts, and the blob."""
    kind, parts = (CHOSEN[data[0] % len(CHOSEN)], data[1]) if len(data) > 1 else (BlobKind.INPUT, 0)
    fault = format_fault(kind, data[2:], parts)
    if fault is not None:
        raise ProtocolError(fault)
    return None


def _blobs() -> list[bytes]:
    envelope = encode_fields("envelope", [bytes(80), bytes(40)])
    notes = encode_fields("notes", [[bytes(60), bytes(60)]])
    shared = encode_fields("shared", [[bytes(80)], bytes(28)])
    chosen = {BlobKind.ENVELOPE: envelope, BlobKind.ROUTE_NOTES: notes, BlobKind.VERDICT: shared}
    return [bytes([CHOSEN.index(kind), 2]) + blob for kind, blob in chosen.items()]


def _cbor(
    name: str,
    parse: Callable[[bytes], Any],
    seeds: Callable[[], list[bytes]],
    again: Callable[[Any], bytes] | None = None,
    codec: Codec = CBOR,
) -> Target:
    return Target(name, parse, (ProtocolError,), seeds, again, codec, share=20)


def _encoded(value: Any) -> bytes:
    found: bytes = value.encode()
    return found


def _values() -> list[bytes]:
    values: tuple[object, ...] = (None, [1, -1, 1.5, "é", b"\0", True, {"a": [], "b": {}}], [[[[]]]], 2**64 - 1)
    return [encode(value) for value in values]


def _sealed_notes() -> list[bytes]:
    other = public_bytes(X25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
    notes = [(public_bytes(KEY), NOTE.encode()), (other, NOTE.encode())]
    rng = random.Random(1)  # noqa: S311 - repeatable on purpose
    return [seal_notes(notes, PLACE, rng), seal_notes(notes[1:], PLACE, rng)]


TARGETS = (
    _cbor("cbor", lambda data: decode(data, "value"), _values, encode),
    _cbor("tensor", decode_tensor, lambda: [encode_tensor(TENSOR), encode_tensor(LOGITS)], encode_tensor),
    _cbor("envelope", lambda d: open_content(KEY, d, PLACE), lambda: [seal_output(public_bytes(KEY), TENSOR, PLACE)]),
    _cbor("notes", lambda data: [*open_notes(data, KEY, PLACE)], _sealed_notes),
    _cbor("shared", decode_shared, lambda: [seal_shared([public_bytes(KEY)], b"why", PLACE)]),
    _cbor(
        "shared-open",
        lambda data: open_shared(KEY, data, PLACE),
        lambda: [seal_shared([DIGESTS[9], public_bytes(KEY)], b"why", PLACE)],
    ),
    _cbor("answer", Answer.decode, lambda: [Answer(LOGITS, DIGESTS[1]).encode()], _encoded),
    _cbor("route-note", RouteNote.decode, lambda: [NOTE.encode()], _encoded),
    _cbor("arrangement-note", ArrangementNote.decode, lambda: [ArrangementNote(Position(3), DIGESTS[1]).encode()]),
    _cbor("restore-note", RestoreNote.decode, lambda: [RestoreNote(DIGESTS[1], b"parameters").encode()], _encoded),
    _cbor("evidence", Evidence.decode, _evidence, _encoded),
    _cbor("signed-entry", _entry, _entries, codec=prefixed(1, CBOR)),
    _cbor("signed-update", decode_signed_update, lambda: [encode_signed_update(SIGNED)], encode_signed_update),
    _cbor("journal-draw", _draw, _draws, codec=prefixed(1, CBOR)),
    _cbor("blob-format", _blob, _blobs, codec=prefixed(2, CBOR)),
)
