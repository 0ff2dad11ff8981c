"""Envelopes, queries and answers open for their recipient at their place; everything else is an attack that fails."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.sealing import SealBroken, encrypt_content, public_bytes, seal
from deepring_chain.encoding import decode_fields, encode, encode_fields, encode_tensor
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import (
    Answer,
    answer_context,
    hop_context,
    open_content,
    open_output,
    query_context,
    seal_content,
    seal_output,
)
from deepring_chain.types import Attempt, Hop, QueryId, TensorBytes
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_CHAIN, OTHER_LEDGER, address, digest, sealing_key

WORKER, MALLORY = sealing_key(1), sealing_key(2)
OUTPUT = TensorBytes("int8", (2, 3), b"abcdef")
PLACE = hop_context(DOMAIN, QueryId(1), Attempt(1), Hop(2))
ENVELOPE = seal_output(public_bytes(WORKER), OUTPUT, PLACE)


def parts(blob: bytes) -> tuple[bytes, bytes]:
    wrapped_key, ciphertext = decode_fields(blob, "envelope", [bytes, bytes])
    return wrapped_key, ciphertext


# ---------------------------------------------------------------- envelopes


@given(st.integers(1, 40), st.binary(min_size=40, max_size=40))
@settings(max_examples=20, deadline=None)
def test_envelope_opens_for_its_recipient(size: int, data: bytes) -> None:
    output = TensorBytes("uint8", (1, size), data[:size])
    assert open_output(WORKER, seal_output(public_bytes(WORKER), output, PLACE), PLACE) == output


def test_envelope_hides_its_content_and_is_never_the_same() -> None:
    """The store's host looks for the activation in the blob, or for two queries with the same one."""
    again = seal_output(public_bytes(WORKER), OUTPUT, PLACE)
    assert OUTPUT.data not in ENVELOPE
    assert parts(again)[0] != parts(ENVELOPE)[0]
    assert parts(again)[1] != parts(ENVELOPE)[1]
    assert len(again) == len(ENVELOPE)


@pytest.mark.parametrize(
    "place",
    [
        hop_context(OTHER_CHAIN, QueryId(1), Attempt(1), Hop(2)),
        hop_context(OTHER_LEDGER, QueryId(1), Attempt(1), Hop(2)),
        hop_context(DOMAIN, QueryId(2), Attempt(1), Hop(2)),
        hop_context(DOMAIN, QueryId(1), Attempt(2), Hop(2)),
        hop_context(DOMAIN, QueryId(1), Attempt(1), Hop(1)),
        hop_context(DOMAIN, QueryId(1), Attempt(2), Hop(1)),
        query_context(DOMAIN, address(1), digest(1)),
        answer_context(DOMAIN, QueryId(1), digest(1)),
    ],
    ids=["chain", "ledger", "query", "attempt", "hop", "attempt and hop exchanged", "a query", "an answer"],
)
def test_envelope_moved_to_another_place_does_not_open(place: bytes) -> None:
    """A malicious hop posts an old envelope, made for the same recipient, at another place."""
    with pytest.raises(SealBroken):
        open_output(WORKER, ENVELOPE, place)


def test_envelope_for_another_recipient_does_not_open() -> None:
    """Another worker of the ring reads the store and tries its key on every blob."""
    with pytest.raises(SealBroken):
        open_output(MALLORY, ENVELOPE, PLACE)


def test_envelope_every_flipped_bit_is_noticed() -> None:
    """The store's host flips one bit of each byte: structure, wrapped key, nonce, ciphertext and tag."""
    for index in range(len(ENVELOPE)):
        changed = bytearray(ENVELOPE)
        changed[index] ^= 1 << index % 8
        with pytest.raises(ProtocolError):
            open_output(WORKER, bytes(changed), PLACE)


@pytest.mark.parametrize(
    ("part", "index"), [(0, 0), (0, 31), (0, 32), (0, -1), (1, 0), (1, 11), (1, 12), (1, -17), (1, -16), (1, -1)]
)
def test_envelope_flipped_bit_in_each_region_breaks_the_seal(part: int, index: int) -> None:
    """Encapsulated key, wrapped content key and its tag; nonce, ciphertext and tag: first and last byte of each."""
    changed = [bytearray(piece) for piece in parts(ENVELOPE)]
    changed[part][index] ^= 0x80
    with pytest.raises(SealBroken):
        open_output(WORKER, encode_fields("envelope", [bytes(piece) for piece in changed]), PLACE)


def test_envelope_spliced_of_two_does_not_open() -> None:
    """Mallory joins the wrapped key of one envelope and the ciphertext of another, both for the same place."""
    other = seal_output(public_bytes(WORKER), OUTPUT, PLACE)
    for key, content in ((ENVELOPE, other), (other, ENVELOPE)):
        with pytest.raises(SealBroken):
            open_output(WORKER, encode_fields("envelope", [parts(key)[0], parts(content)[1]]), PLACE)


def test_envelope_parts_exchanged_do_not_open() -> None:
    wrapped_key, ciphertext = parts(ENVELOPE)
    with pytest.raises(ProtocolError):
        open_output(WORKER, encode_fields("envelope", [ciphertext, wrapped_key]), PLACE)


def test_envelope_with_a_content_key_of_another_place_does_not_open() -> None:
    """A hop wraps the key for the right place, but takes a ciphertext that it made for another."""
    key = bytes(range(32))
    elsewhere = hop_context(DOMAIN, QueryId(9), Attempt(1), Hop(2))
    blob = [seal(public_bytes(WORKER), key, PLACE), encrypt_content(key, encode_tensor(OUTPUT), elsewhere)]
    with pytest.raises(SealBroken):
        open_output(WORKER, encode_fields("envelope", blob), PLACE)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_envelope_with_a_content_key_of_another_length_is_refused(size: int) -> None:
    """A hop wraps a weaker key (AES-128, AES-192) or no key at all."""
    key = bytes(size)
    content = encrypt_content(key, encode_tensor(OUTPUT), PLACE) if size in (16, 24) else bytes(64)
    blob = encode_fields("envelope", [seal(public_bytes(WORKER), key, PLACE), content])
    with pytest.raises(ProtocolError, match=f"content key of {size} bytes, expected 32"):
        open_content(WORKER, blob, PLACE)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        ENVELOPE + b"\0",
        ENVELOPE[:-1],
        encode(["envelope", 1, *parts(ENVELOPE), b""]),
        encode(["envelope", 1, parts(ENVELOPE)[0]]),
        encode(["envelope", 2, *parts(ENVELOPE)]),
        encode(["envelope", True, *parts(ENVELOPE)]),
        encode(["letter", 1, *parts(ENVELOPE)]),
        encode(["envelope", 1, "text", parts(ENVELOPE)[1]]),
        encode(["envelope", 1, list(parts(ENVELOPE)), b""]),
        encode_fields("envelope", [b"", b""]),
        encode_tensor(OUTPUT),
        b"\x84\x68envelope\x18\x01" + ENVELOPE[11:],
    ],
    ids=lambda blob: f"{len(blob)} bytes",  # the bytes themselves are others in each run
)
def test_envelope_of_another_structure_is_refused(blob: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_content(WORKER, blob, PLACE)


@pytest.mark.parametrize("plaintext", [b"", b"\0", encode_tensor(OUTPUT) + b"\0", encode(OUTPUT.data)])
def test_envelope_with_no_tensor_inside_is_malformed_not_broken(plaintext: bytes) -> None:
    """The recipient must tell an altered envelope from one whose sender wrote nonsense."""
    blob = seal_content(public_bytes(WORKER), plaintext, PLACE)
    with pytest.raises(ProtocolError, match=r"^tensor: ") as caught:
        open_output(WORKER, blob, PLACE)
    assert not isinstance(caught.value, SealBroken)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_envelope_of_arbitrary_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_content(WORKER, data, PLACE)


@given(st.binary(max_size=120), st.binary(max_size=120))
@settings(max_examples=100, deadline=None)
def test_envelope_of_arbitrary_parts_is_refused(wrapped_key: bytes, ciphertext: bytes) -> None:
    with pytest.raises(SealBroken):
        open_content(WORKER, encode_fields("envelope", [wrapped_key, ciphertext]), PLACE)


# ---------------------------------------------------------------- queries

OUROBOROS = sealing_key(3)
QUERENT_KEY, MALLORY_KEY = public_bytes(sealing_key(4)), public_bytes(MALLORY)
QUERY_PLACE = query_context(DOMAIN, address(4), QUERENT_KEY)
QUERY = seal_output(public_bytes(OUROBOROS), OUTPUT, QUERY_PLACE)


def test_query_opens_for_the_ouroboros() -> None:
    assert open_output(OUROBOROS, QUERY, QUERY_PLACE) == OUTPUT


@pytest.mark.parametrize(
    "place",
    [
        query_context(DOMAIN, address(5), QUERENT_KEY),
        query_context(DOMAIN, address(4), MALLORY_KEY),
        query_context(DOMAIN, address(5), MALLORY_KEY),
        query_context(OTHER_CHAIN, address(4), QUERENT_KEY),
        query_context(OTHER_LEDGER, address(4), QUERENT_KEY),
    ],
    ids=["as another querent", "with her key", "as another with her key", "on another chain", "on another ledger"],
)
def test_query_posted_again_does_not_open(place: bytes) -> None:
    """Mallory posts the pointer to another's sealed query as her own, so that the answer is sealed to her key."""
    with pytest.raises(SealBroken):
        open_output(OUROBOROS, QUERY, place)


# ---------------------------------------------------------------- answers

ANSWER = Answer(TensorBytes("int32", (1, 2), b"\1\0\0\0\2\0\0\0"), digest(7))
QUERENT = sealing_key(4)


def test_answer_survives_encoding() -> None:
    assert Answer.decode(ANSWER.encode()) == ANSWER


def test_answer_opens_for_the_querent_at_its_query_only() -> None:
    """Somebody points a query's answer to that of another query of the same querent."""
    place = answer_context(DOMAIN, QueryId(1), QUERENT_KEY)
    blob = ANSWER.seal(QUERENT_KEY, place)
    assert Answer.decode(open_content(QUERENT, blob, place)) == ANSWER
    others = [
        answer_context(DOMAIN, QueryId(2), QUERENT_KEY),
        answer_context(DOMAIN, QueryId(1), MALLORY_KEY),
        answer_context(OTHER_CHAIN, QueryId(1), QUERENT_KEY),
        answer_context(OTHER_LEDGER, QueryId(1), QUERENT_KEY),
    ]
    for other in others:
        with pytest.raises(SealBroken):
            open_content(QUERENT, blob, other)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [encode_tensor(ANSWER.output)],
        [encode_tensor(ANSWER.output), digest(7), b""],
        [ANSWER.output.data, digest(7)],
        [encode_tensor(ANSWER.output), digest(7)[:31]],
        [encode_tensor(ANSWER.output), digest(7) + b"\0"],
        [encode_tensor(ANSWER.output), "x" * 32],
        [encode_tensor(ANSWER.output) + b"\0", digest(7)],
        [["tensor", 1, "int8", [1], b"a"], digest(7)],
    ],
)
def test_answer_that_does_not_add_up_is_refused(fields: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        Answer.decode(encode_fields("answer", fields))


@given(st.integers(0, len(ANSWER.encode()) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_answer_changed_byte_is_refused_or_another_answer(index: int, change: int) -> None:
    data = bytearray(ANSWER.encode())
    data[index] ^= change
    try:
        assert Answer.decode(bytes(data)) != ANSWER
    except ProtocolError:
        return


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_answer_of_arbitrary_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Answer.decode(data)
