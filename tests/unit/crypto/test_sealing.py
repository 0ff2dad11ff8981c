"""Sealing: what is sealed to one key and one place opens there and nowhere else, and broken bytes end in one error."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.sealing import (
    SealBroken,
    context,
    decrypt_content,
    encrypt_content,
    new_content_key,
    open_sealed,
    public_bytes,
    seal,
)
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Address, Digest, Domain, SealingKey

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
RECIPIENT = X25519PrivateKey.from_private_bytes(bytes(range(32)))
MALLORY = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PLACE = context("test", DOMAIN, 1, b"x")
KEY = bytes(range(32))


@given(st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_sealed_opens_for_its_recipient(plaintext: bytes) -> None:
    assert open_sealed(RECIPIENT, seal(public_bytes(RECIPIENT), plaintext, PLACE), PLACE) == plaintext


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_content_decrypts_under_its_key(plaintext: bytes) -> None:
    assert decrypt_content(KEY, encrypt_content(KEY, plaintext, PLACE), PLACE) == plaintext


def test_sealing_twice_shows_nothing_equal() -> None:
    """An observer compares blobs to learn that two queries are the same: no two are alike."""
    sealed = [seal(public_bytes(RECIPIENT), b"same", PLACE) for _ in range(3)]
    encrypted = [encrypt_content(KEY, b"same", PLACE) for _ in range(3)]
    assert len({blob[:32] for blob in sealed}) == 3
    assert len({blob[:12] for blob in encrypted}) == 3
    assert len({blob[12:] for blob in encrypted}) == 3


def test_content_keys_are_fresh_and_256_bits() -> None:
    keys = {new_content_key() for _ in range(20)}
    assert len(keys) == 20
    assert {len(key) for key in keys} == {32}


def test_sealed_for_another_recipient_does_not_open() -> None:
    with pytest.raises(SealBroken):
        open_sealed(MALLORY, seal(public_bytes(RECIPIENT), b"secret", PLACE), PLACE)


def test_content_under_another_key_does_not_decrypt() -> None:
    with pytest.raises(SealBroken):
        decrypt_content(bytes(32), encrypt_content(KEY, b"secret", PLACE), PLACE)


OTHER_PLACES = [
    context("other", DOMAIN, 1, b"x"),
    context("test", Domain(1, DOMAIN.ledger), 1, b"x"),
    context("test", Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa4")), 1, b"x"),
    context("test", DOMAIN, 2, b"x"),
    context("test", DOMAIN, 1, b"y"),
    context("test", DOMAIN, 1),
    context("test", DOMAIN, 1, b"x", 0),
    context("test", DOMAIN, b"\1", b"x"),
    b"",
]


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_sealed_for_another_place_does_not_open(place: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(RECIPIENT, seal(public_bytes(RECIPIENT), b"secret", PLACE), place)
    with pytest.raises(SealBroken):
        decrypt_content(KEY, encrypt_content(KEY, b"secret", PLACE), place)


def test_places_cannot_be_confused() -> None:
    places = [*OTHER_PLACES, PLACE, context("test", DOMAIN, 11, b""), context("test", DOMAIN, 1, 1, b"")]
    assert len(set(places)) == len(places)


def test_every_flipped_bit_of_a_sealed_message_is_noticed() -> None:
    """The store's host flips one bit anywhere: encapsulated key, ciphertext or tag."""
    sealed = seal(public_bytes(RECIPIENT), b"secret", PLACE)
    assert len(sealed) == 32 + 6 + 16
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            open_sealed(RECIPIENT, bytes(changed), PLACE)


def test_every_flipped_bit_of_a_content_is_noticed() -> None:
    """The store's host flips one bit anywhere: nonce, ciphertext or tag."""
    encrypted = encrypt_content(KEY, b"secret", PLACE)
    assert len(encrypted) == 12 + 6 + 16
    for place in range(8 * len(encrypted)):
        changed = bytearray(encrypted)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(SealBroken):
            decrypt_content(KEY, bytes(changed), PLACE)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 12, 27, 28, 31, 32, 33, 47, 48])
def test_too_short_messages_are_broken_seals(size: int) -> None:
    with pytest.raises(SealBroken):
        open_sealed(RECIPIENT, bytes(range(1, size + 1)), PLACE)
    with pytest.raises(SealBroken):
        decrypt_content(KEY, bytes(range(1, size + 1)), PLACE)


@given(st.binary(max_size=120))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_broken_seals(data: bytes) -> None:
    with pytest.raises(SealBroken):
        open_sealed(RECIPIENT, data, PLACE)
    with pytest.raises(SealBroken):
        decrypt_content(KEY, data, PLACE)


@pytest.mark.parametrize("size", [0, 16 - 1, 31, 33])
def test_content_key_of_unusable_length_is_a_broken_seal(size: int) -> None:
    with pytest.raises(SealBroken):
        decrypt_content(bytes(size), encrypt_content(KEY, b"secret", PLACE), PLACE)


P = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]


@pytest.mark.parametrize("point", LOW_ORDER)
def test_seal_to_a_weak_public_key_is_refused(point: int) -> None:
    """Mallory publishes a point of low order, with which the shared secret would be zero and the seal open to all."""
    with pytest.raises(ProtocolError, match="unusable"):
        seal(SealingKey(Digest(point.to_bytes(32, "little"))), b"secret", PLACE)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_seal_to_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match="unusable"):
        seal(SealingKey(Digest(bytes([9]) * size)), b"secret", PLACE)


def test_public_bytes_is_the_key_of_rfc_7748() -> None:
    """RFC 7748, section 6.1, Bob's keys."""
    private = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert public_bytes(X25519PrivateKey.from_private_bytes(private)).hex() == public
