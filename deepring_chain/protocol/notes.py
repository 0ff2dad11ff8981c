"""Bundles of sealed notes: one blob for many recipients, each of whom finds its own note by opening it.

The notes are equally long and in random order, so that the blob tells nobody who gets which.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.crypto.sealing import SealBroken, open_sealed, seal
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.types import SealingKey

MAX_NOTES = 1 << 16


def seal_notes(notes: Sequence[tuple[SealingKey, bytes]], info: bytes, rng: random.Random) -> bytes:
    """Seals each note to its recipient.

    Args:
        notes: (X25519 public key, plaintext) of each recipient.
        info: context that the notes are bound to.
        rng: source of the order; `random.SystemRandom()` outside of tests.
    """
    longest = max((len(plaintext) for _, plaintext in notes), default=0)
    sealed = [seal(key, _pad(plaintext, longest), info) for key, plaintext in notes]
    rng.shuffle(sealed)
    return encode_fields("notes", [sealed])


def open_notes(bundle: bytes, recipient: X25519PrivateKey, info: bytes) -> Iterator[bytes]:
    """All notes that `recipient` can open: more than its own if another member gave out its public key.

    Raises:
        ProtocolError: malformed bundle or padding.
    """
    (sealed,) = decode_fields(bundle, "notes", [list])
    if len(sealed) > MAX_NOTES or any(type(note) is not bytes for note in sealed):
        raise ProtocolError("notes: not a list of sealed notes")
    for note in sealed:
        with suppress(SealBroken):
            yield _unpad(open_sealed(recipient, note, info))


def _pad(plaintext: bytes, size: int) -> bytes:
    return struct.pack(">I", len(plaintext)) + plaintext.ljust(size, b"\0")


def _unpad(padded: bytes) -> bytes:
    if len(padded) < 4:
        raise ProtocolError("notes: a note without its length")
    (size,) = struct.unpack_from(">I", padded)
    if size > len(padded) - 4 or any(padded[4 + size :]):
        raise ProtocolError("notes: a note with broken padding")
    return padded[4 : 4 + size]
