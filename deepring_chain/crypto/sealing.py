"""Public-key sealing (RFC 9180 HPKE) and content encryption (AES-256-GCM, NIST SP 800-38D).

Both bind their context: a message sealed for one ledger, query, attempt and hop opens nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Digest, Domain, SealingKey

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
NONCE_BYTES = 12
TAG_BYTES = 16
BLOCK_BYTES = 16
"""What the library wants as room beyond the plaintext."""


class SealBroken(ProtocolError):
    """A sealed message does not open: other recipient, other context, or altered."""


def context(purpose: str, domain: Domain, *fields: int | bytes) -> bytes:
    """HPKE `info` or GCM associated data: what a message is for, and the only place where it opens."""
    return encode_fields(purpose, [domain.chain_id, bytes.fromhex(domain.ledger[2:]), *fields])


def public_bytes(key: X25519PrivateKey) -> SealingKey:
    """The 32-byte public key (RFC 7748) that belongs to `key`."""
    return SealingKey(Digest(key.public_key().public_bytes_raw()))


def is_usable_key(key: SealingKey) -> bool:
    """Whether anything can be sealed to `key`: a point of low order shares no secret with anyone (RFC 7748, 6.1)."""
    try:
        seal(key, b"", b"")
    except ProtocolError:
        return False
    return True


def seal(recipient: SealingKey, plaintext: bytes, info: bytes) -> bytes:
    """Seals `plaintext` to an X25519 public key (eq. 3, 5, 12): encapsulated key, then ciphertext.

    Raises:
        ProtocolError: `recipient` is no usable public key.
    """
    try:
        return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(recipient), info=info)
    except ValueError as error:
        raise ProtocolError(f"sealing key {recipient.hex()}: unusable ({error})") from None


def open_sealed(recipient: X25519PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Opens what `seal` made for the same `info` (eq. 10).

    Raises:
        SealBroken: it does not open.
    """
    try:
        return SUITE.decrypt(sealed, recipient, info=info)
    except (InvalidTag, ValueError):
        raise SealBroken("sealed message does not open: other recipient, other context, or altered") from None


def new_content_key() -> bytes:
    """A fresh AES-256 key (AES_i of the paper); used for one message only."""
    return AESGCM.generate_key(bit_length=256)


def encrypt_content(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """X_i of eq. 7: nonce, ciphertext and tag."""
    return b"".join(encrypt_parts(key, [plaintext], associated))


def encrypt_parts(key: bytes, plaintext: Sequence[bytes | memoryview], associated: bytes) -> list[bytes]:
    """`encrypt_content` of a plaintext that lies in several places, itself in several parts."""
    nonce = os.urandom(NONCE_BYTES)
    encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    parts = [encryptor.update(part) for part in plaintext]
    encryptor.finalize()
    return [nonce, *parts, encryptor.tag]


def decrypt_content(key: bytes, ciphertext: bytes | memoryview, associated: bytes) -> bytes:
    """Inverse of `encrypt_content` (eq. 11).

    Raises:
        SealBroken: wrong key, wrong context, or altered.
    """
    return bytes(decrypt_in_place(key, ciphertext, associated))


def decrypt_in_place(key: bytes, ciphertext: bytes | memoryview, associated: bytes) -> memoryview:
    """The same, into fresh memory that the caller may compute in.

    Raises:
        SealBroken: wrong key, wrong context, or altered.
    """
    view = memoryview(ciphertext).cast("B")
    size = len(view) - NONCE_BYTES - TAG_BYTES
    if size < 0:
        raise SealBroken("content does not decrypt: it is too short")
    plaintext = memoryview(bytearray(size + BLOCK_BYTES))
    try:
        decryptor = Cipher(AES(key), GCM(bytes(view[:NONCE_BYTES]), bytes(view[-TAG_BYTES:]))).decryptor()
        decryptor.authenticate_additional_data(associated)
        decryptor.update_into(view[NONCE_BYTES : NONCE_BYTES + size], plaintext)
        decryptor.finalize()
    except (InvalidTag, ValueError):
        raise SealBroken("content does not decrypt: wrong key, other context, or altered") from None
    return plaintext[:size]
