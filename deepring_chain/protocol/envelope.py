"""Envelopes: the two blobs that leave the ring's members, and the answer and the query, all bound to their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.crypto.sealing import (
    context,
    decrypt_in_place,
    encrypt_parts,
    new_content_key,
    open_sealed,
    seal,
)
from deepring_chain.encoding import (
    check_digests,
    decode_fields,
    decode_tensor,
    encode_before_payload,
    encode_fields,
    encode_tensor,
    split_payload,
    tensor_head,
)
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Address, Attempt, Digest, Domain, Hop, QueryId, SealingKey, TensorBytes

CONTENT_KEY_BYTES = 32


def seal_content(recipient: SealingKey, plaintext: bytes, place: bytes) -> bytes:
    """K_i and X_i in one blob: a fresh AES key sealed to `recipient`, and the content under that key.

    Args:
        recipient: X25519 public key.
        plaintext: what only the recipient shall read.
        place: the context (`crypto.sealing.context`) that both parts are bound to.
    """
    return _seal_parts(recipient, [plaintext], place)


def _seal_parts(recipient: SealingKey, plaintext: Sequence[bytes | memoryview], place: bytes) -> bytes:
    """`seal_content` of a plaintext in several parts. Implements eq. (5), eq. (7).

    Each byte is encrypted where it lies, and copied once.
    """
    key = new_content_key()
    parts = encrypt_parts(key, plaintext, place)
    size = sum(len(part) for part in parts)
    return b"".join((encode_before_payload("envelope", [seal(recipient, key, place)], size), *parts))


def open_content(recipient: X25519PrivateKey, blob: bytes, place: bytes) -> bytes:
    """Inverse of `seal_content`.

    Raises:
        ProtocolError: malformed, for another recipient or place, or altered.
    """
    return bytes(_open(recipient, blob, place))


def _open(recipient: X25519PrivateKey, blob: bytes, place: bytes) -> memoryview:
    """`open_content`, into fresh memory."""
    return _decrypt(unwrap_key(recipient, blob, place), blob, place)


def _decrypt(key: bytes, blob: bytes, place: bytes) -> memoryview:
    """Return what the ciphertext holds, in fresh memory. Implements eq. (11)."""
    return decrypt_in_place(key, split_payload(blob, "envelope", [bytes])[1], place)


def unwrap_key(recipient: X25519PrivateKey, blob: bytes, place: bytes) -> bytes:
    """Return the content key of an envelope: it opens this blob, and no other. Implements eq. (10).

    Raises:
        ProtocolError: malformed, or for another recipient or place.
    """
    (wrapped_key,), _ = split_payload(blob, "envelope", [bytes])
    key = open_sealed(recipient, wrapped_key, place)
    if len(key) != CONTENT_KEY_BYTES:
        raise ProtocolError(f"envelope: a content key of {len(key)} bytes, expected {CONTENT_KEY_BYTES}")
    return key


def open_with_key(key: bytes, blob: bytes, place: bytes) -> bytes:
    """The content of an envelope, with the key that `unwrap_key` gave.

    Raises:
        ProtocolError: malformed, another key's or place's, or altered.
    """
    return bytes(_decrypt(key, blob, place))


def hop_context(domain: Domain, query: QueryId, attempt: Attempt, hop: Hop) -> bytes:
    """Place of the envelope that `hop` sends to the next hop."""
    return context("hop", domain, query, attempt, hop)


def seal_output(recipient: SealingKey, output: TensorBytes, place: bytes) -> bytes:
    """Envelope with a layer's output for the next layer alone."""
    return _seal_parts(recipient, [tensor_head(output), output.data], place)


def open_output(recipient: X25519PrivateKey, blob: bytes, place: bytes) -> TensorBytes:
    """Inverse of `seal_output`.

    Raises:
        ProtocolError: malformed, for another recipient or place, or altered.
    """
    return decode_tensor(_open(recipient, blob, place))


def query_context(domain: Domain, querent: Address, sealing_key: SealingKey) -> bytes:
    """Place of a query's input (eq. 3): nobody can post another's sealed input with a key of its own and read on."""
    return context("query", domain, bytes.fromhex(querent[2:]), sealing_key)


def answer_context(domain: Domain, query: QueryId, sealing_key: SealingKey) -> bytes:
    """Place of a query's answer (eq. 12)."""
    return context("answer", domain, query, sealing_key)


@dataclass(frozen=True)
class Answer:
    """What the querent gets: the network's output and the key to its commitment, to hold it against the ledger."""

    output: TensorBytes
    commitment_key: Digest

    def seal(self, recipient: SealingKey, place: bytes) -> bytes:
        """Seal the answer to the querent. Implements eq. (12).

        Args:
            recipient: Pub_Q, the querent's X25519 key.
            place: `answer_context`.
        """
        return seal_content(recipient, self.encode(), place)

    def encode(self) -> bytes:
        """Bytes for sealing."""
        return encode_fields("answer", [encode_tensor(self.output), self.commitment_key])

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        output, key = decode_fields(data, "answer", [bytes, bytes])
        check_digests("answer", key)
        return cls(decode_tensor(output), key)
