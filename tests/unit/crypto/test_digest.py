"""Commitments: nothing but the very same tensor under the very same key has the same commitment."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.digest import commit_output, hop_key, keccak256, sha256
from deepring_chain.types import Digest, Hop, TensorBytes

KEY = Digest(bytes(range(32)))
OUTPUT = TensorBytes("int8", (2, 6), bytes(range(12)))


def test_hashes_are_the_standard_ones() -> None:
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"  # the EVM's


def test_hop_key_is_the_documented_derivation() -> None:
    expected = hmac.new(KEY, b"deepring/v1/hop-key".ljust(32, b"\0") + b"\1\2", hashlib.sha256).digest()
    assert hop_key(KEY, Hop(0x0102)) == expected


def test_hop_keys_differ_between_hops_and_queries() -> None:
    """A worker that holds the keys of its own hop and its neighbors' cannot use them at any other hop."""
    keys = [hop_key(KEY, Hop(hop)) for hop in (0, 1, 2, 255, 256, 65535)]
    keys += [hop_key(Digest(bytes(32)), Hop(hop)) for hop in (0, 1, 2)]
    assert len(set(keys)) == len(keys)


def test_commitment_is_the_documented_mac() -> None:
    covered = b"deepring/v1/output".ljust(32, b"\0") + b"int8\0\0\0\0" + b"\2\0\0\0"
    covered += (2).to_bytes(8, "little") + (6).to_bytes(8, "little") + OUTPUT.data
    assert commit_output(KEY, OUTPUT) == hmac.new(KEY, covered, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "other",
    [
        replace(OUTPUT, dtype="uint8"),
        replace(OUTPUT, shape=(6, 2)),
        replace(OUTPUT, shape=(12,)),
        replace(OUTPUT, shape=(1, 12)),
        replace(OUTPUT, shape=(2, 6, 1)),
        replace(OUTPUT, shape=(2, 2, 3)),
        TensorBytes("int32", (3,), OUTPUT.data),
        replace(OUTPUT, data=OUTPUT.data[::-1]),
        replace(OUTPUT, data=OUTPUT.data[:-1]),
        replace(OUTPUT, data=bytes(OUTPUT.data) + b"\0"),
    ],
)
def test_commitment_to_another_tensor_is_another(other: TensorBytes) -> None:
    """A layer sends a tensor with the right bytes in another shape or dtype: the commitment tells."""
    assert commit_output(KEY, other) != commit_output(KEY, OUTPUT)


@given(st.integers(0, 11), st.integers(0, 7))
@settings(max_examples=96, deadline=None)
def test_commitment_changes_with_every_bit(place: int, bit: int) -> None:
    data = bytearray(OUTPUT.data)
    data[place] ^= 1 << bit
    assert commit_output(KEY, replace(OUTPUT, data=bytes(data))) != commit_output(KEY, OUTPUT)


@given(st.integers(0, 31), st.integers(0, 7))
@settings(max_examples=50, deadline=None)
def test_commitment_changes_with_every_bit_of_the_key(place: int, bit: int) -> None:
    """Somebody without the key tries guesses against a commitment: under no other key does the right one fit."""
    key = bytearray(KEY)
    key[place] ^= 1 << bit
    assert commit_output(Digest(bytes(key)), OUTPUT) != commit_output(KEY, OUTPUT)


def test_commitment_bytes_cannot_move_between_shape_and_data() -> None:
    """A tensor whose first elements spell the sizes of another's: the rank in front keeps them apart."""
    inner = TensorBytes("int8", (8,), (3).to_bytes(8, "little"))
    outer = TensorBytes("int8", (8, 3), b"")
    assert commit_output(KEY, inner) != commit_output(KEY, outer)
