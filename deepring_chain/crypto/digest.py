"""Hashes and keyed commitments (FIPS 180-4, FIPS 198-1, Keccak-256 as in the EVM)."""

from __future__ import annotations

import hashlib
import hmac
import struct

from eth_utils import keccak as _keccak

from deepring_chain.encoding import TAG_HOP_KEY, TAG_OUTPUT, tensor_prefix
from deepring_chain.types import Digest, Hop, OutputCommitment, TensorBytes


def sha256(data: bytes) -> Digest:
    """SHA-256 of `data`."""
    return Digest(hashlib.sha256(data).digest())


def keccak256(data: bytes) -> Digest:
    """Keccak-256 of `data`, the EVM's hash."""
    return Digest(_keccak(data))


def hop_key(commitment_key: Digest, hop: Hop) -> Digest:
    """Key of one hop's commitments, derived from the query's key.

    A worker holds the keys of its own hop and of its two neighbors' only, so that nobody else in the ring can try
    guesses against a commitment (docs/adr/0004).
    """
    return Digest(hmac.digest(commitment_key, TAG_HOP_KEY + struct.pack(">H", hop), "sha256"))


def commit_output(key: Digest, output: TensorBytes) -> OutputCommitment:
    """Keyed commitment to a layer's output, HMAC-SHA256 over dtype, shape and bytes. Implements eq. (8).

    Layer i commits to its own output so, and with H_i to what it computed with layer i + 1; eq. 13 compares the two.

    Args:
        key: `hop_key` of the hop that produces `output`.
        output: O_i, or what layer i + 1 makes of it.
    """
    mac = hmac.new(key, TAG_OUTPUT + tensor_prefix(output.dtype, output.shape), "sha256")
    mac.update(output.data)
    return OutputCommitment(Digest(mac.digest()))
