"""The evidence for a verdict: what is malformed is refused before anything is done with it."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.encoding import encode_fields, encode_tensor
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.evidence import (
    LEAST_CIPHERTEXT_BYTES,
    MAX_READERS,
    WRAPPED_KEY_BYTES,
    Evidence,
    decode_shared,
    seal_shared,
)
from deepring_chain.types import Digest, Hop, SealingKey, TensorBytes

KEY = Digest(b"k" * 32)
OUTPUT = TensorBytes("int8", (2,), b"\x01\x02")
HONEST = Evidence("because", KEY, KEY, Hop(1), (OUTPUT, OUTPUT), KEY, b"")


def encoded(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "reason": "because",
        "first_hop": 1,
        "outputs": [encode_tensor(OUTPUT)],
        "commitment": KEY,
        "entered": KEY,
        "complaint": KEY,
        "recipient": b"",
    }
    return encode_fields("evidence", list({**fields, **changes}.values()))


def shared(wrapped: list[Any], ciphertext: bytes = bytes(LEAST_CIPHERTEXT_BYTES)) -> bytes:
    return encode_fields("shared", [wrapped, ciphertext])


def test_evidence_survives_encoding() -> None:
    assert Evidence.decode(HONEST.encode()) == HONEST
    assert Evidence.decode(encoded(first_hop=0)).first_hop == 0
    assert Evidence.decode(encoded(first_hop=2**16 - 1)).first_hop == 2**16 - 1
    assert len(Evidence.decode(encoded(outputs=[encode_tensor(OUTPUT)] * 3)).outputs) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": b"k" * 31},
        {"entered": b"k" * 33},
        {"complaint": b"k" * 31},
        {"recipient": b"k"},
        {"first_hop": -1},
        {"first_hop": 2**16},
        {"outputs": []},
        {"outputs": [encode_tensor(OUTPUT)] * 4},
        {"outputs": ["text"]},
        {"outputs": [7]},
    ],
)
def test_evidence_with_an_unusable_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        Evidence.decode(encoded(**changes))


@pytest.mark.parametrize("count", [1, MAX_READERS])
def test_shared_message_for_its_readers_is_read(count: int) -> None:
    wrapped = [bytes(WRAPPED_KEY_BYTES)] * count
    assert decode_shared(shared(wrapped)) == (wrapped, bytes(LEAST_CIPHERTEXT_BYTES))


@pytest.mark.parametrize(
    ("wrapped", "size"),
    [
        ([], LEAST_CIPHERTEXT_BYTES),
        ([bytes(WRAPPED_KEY_BYTES)] * (MAX_READERS + 1), LEAST_CIPHERTEXT_BYTES),
        ([bytes(WRAPPED_KEY_BYTES - 1)], LEAST_CIPHERTEXT_BYTES),
        (["x" * WRAPPED_KEY_BYTES], LEAST_CIPHERTEXT_BYTES),
        ([7], LEAST_CIPHERTEXT_BYTES),
        ([bytes(WRAPPED_KEY_BYTES)], LEAST_CIPHERTEXT_BYTES - 1),
    ],
)
def test_shared_message_of_another_form_is_refused(wrapped: list[Any], size: int) -> None:
    with pytest.raises(ProtocolError):
        decode_shared(shared(wrapped, bytes(size)))


def readers(count: int) -> list[SealingKey]:
    """Public keys; 9 is the base point, and the next ones will do."""
    return [SealingKey(Digest((9 + number).to_bytes(32, "little"))) for number in range(count)]


@pytest.mark.parametrize("count", [1, MAX_READERS])
def test_message_is_shared_with_as_many_as_can_be_read(count: int) -> None:
    wrapped, _ = decode_shared(seal_shared(readers(count) * 2, b"message", b"place"))
    assert len(wrapped) == count


@pytest.mark.parametrize("count", [0, MAX_READERS + 1])
def test_message_for_nobody_or_too_many_is_refused(count: int) -> None:
    with pytest.raises(ProtocolError, match="readers of one message"):
        seal_shared(readers(count), b"message", b"place")
