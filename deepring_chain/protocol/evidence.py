"""The evidence for a verdict, sealed to the owner and to each auditor whom it admits (protocol: "Disputes").

One AES-256 key encrypts the content and is wrapped for every reader: however many they are, the content is there once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.crypto.sealing import (
    SealBroken,
    decrypt_content,
    encrypt_content,
    new_content_key,
    open_sealed,
    seal,
)
from deepring_chain.encoding import check_digests, decode_fields, decode_tensor, encode_fields, encode_tensor
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Digest, Hop, SealingKey, TensorBytes

WRAPPED_KEY_BYTES = 32 + 32 + 16
"""HPKE with X25519 and AES-256-GCM (RFC 9180): encapsulated key, sealed AES-256 key, tag."""

LEAST_CIPHERTEXT_BYTES = 12 + 16
"""AES-256-GCM of an empty message: nonce and tag."""

MAX_READERS = 256
KEY_SIZES = (0, 32)


@dataclass(frozen=True)
class Evidence:
    """What an admitted auditor needs to repeat a verdict on the edge (hop - 1, hop).

    Attributes:
        reason: the referee's, in a sentence.
        commitment_key: of the query; gives the keys of all its commitments.
        input_key: AES key of the query's sealed input: with it anybody opens the very blob that the querent posted.
        first_hop: hop of the first of `outputs`: max(0, hop - 2).
        outputs: O of the hops from `first_hop` to `hop`, as honest layers compute them from the input.
        complaint_key: AES key of the complaint's evidence; empty without one, or if it does not open.
        recipient_key: X25519 key of the envelope's recipient, as revealed by a complaint; empty without one.
    """

    reason: str
    commitment_key: Digest
    input_key: bytes
    first_hop: Hop
    outputs: tuple[TensorBytes, ...]
    complaint_key: bytes = b""
    recipient_key: bytes = b""

    def encode(self) -> bytes:
        """Bytes for sealing."""
        outputs = [encode_tensor(output) for output in self.outputs]
        keys = [self.commitment_key, self.input_key, self.complaint_key, self.recipient_key]
        return encode_fields("evidence", [self.reason, self.first_hop, outputs, *keys])

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        kinds = [str, int, list, bytes, bytes, bytes, bytes]
        reason, first_hop, outputs, commitment, entered, complaint, recipient = decode_fields(data, "evidence", kinds)
        check_digests("evidence", commitment, entered)
        if len(complaint) not in KEY_SIZES or len(recipient) not in KEY_SIZES:
            raise ProtocolError("evidence: a key that is not 32 bytes")
        if not 0 <= first_hop < 2**16 or not 1 <= len(outputs) <= 3 or any(type(item) is not bytes for item in outputs):
            raise ProtocolError("evidence: unusable outputs")
        tensors = tuple(decode_tensor(item) for item in outputs)
        return cls(reason, commitment, entered, Hop(first_hop), tensors, complaint, recipient)


def seal_shared(readers: Sequence[SealingKey], plaintext: bytes, place: bytes) -> bytes:
    """Encrypts a message once and wraps its key for each reader.

    Args:
        readers: X25519 public keys; a repeated one gets one wrapped key.
        plaintext: what only they shall read.
        place: the context (`crypto.sealing.context`) that all of it is bound to.

    Raises:
        ProtocolError: an unusable public key, or too many.
    """
    chosen = list(dict.fromkeys(readers))
    if not 1 <= len(chosen) <= MAX_READERS:
        raise ProtocolError(f"{len(chosen)} readers of one message; 1 to {MAX_READERS} are possible")
    key = new_content_key()
    wrapped = [seal(reader, key, place) for reader in chosen]
    return encode_fields("shared", [wrapped, encrypt_content(key, plaintext, place)])


def open_shared(reader: X25519PrivateKey, blob: bytes, place: bytes) -> bytes | None:
    """The message, or None if it is not for `reader`.

    Raises:
        ProtocolError: malformed or altered.
    """
    wrapped, ciphertext = decode_shared(blob)
    for item in wrapped:
        try:
            key = open_sealed(reader, item, place)
        except SealBroken:
            continue
        return decrypt_content(key, ciphertext, place)
    return None


def decode_shared(blob: bytes) -> tuple[list[bytes], bytes]:
    """The wrapped keys and the ciphertext.

    Raises:
        ProtocolError: malformed.
    """
    wrapped, ciphertext = decode_fields(blob, "shared", [list, bytes])
    if not 1 <= len(wrapped) <= MAX_READERS:
        raise ProtocolError(f"shared: {len(wrapped)} wrapped keys, 1 to {MAX_READERS} are possible")
    if any(type(item) is not bytes or len(item) != WRAPPED_KEY_BYTES for item in wrapped):
        raise ProtocolError(f"shared: a wrapped key that is not {WRAPPED_KEY_BYTES} bytes")
    if len(ciphertext) < LEAST_CIPHERTEXT_BYTES:
        raise ProtocolError(f"shared: a ciphertext of {len(ciphertext)} bytes, the least is {LEAST_CIPHERTEXT_BYTES}")
    return wrapped, ciphertext
