"""A query's rolling hash over all accepted entries; contracts/libraries/Trails.sol computes the same."""

from __future__ import annotations

from dataclasses import astuple

from eth_abi.abi import encode as abi_encode

from deepring_chain.crypto.digest import keccak256
from deepring_chain.encoding import TAG_QUERY, TAG_RENEWAL, TAG_TRAIL, TAG_VIOLATION
from deepring_chain.types import Address, Digest, QueryId, Question, TrailEntry, TrailHash

NOBODY = Address("0x0000000000000000000000000000000000000000")

VIOLATION = TrailEntry(Digest(TAG_VIOLATION), NOBODY)
"""The mark that stands on the trail right after an entry that violated eq. 13."""

RENEWAL = TrailEntry(Digest(TAG_RENEWAL), NOBODY)
"""The mark that stands where a query begins anew under another version of the model."""


def start_trail(query: QueryId, querent: Address, question: Question) -> TrailHash:
    """First value: binds what was asked, by whom and when (eq. 3)."""
    types = ["bytes32", "uint64", "address", "bytes32", "bytes32", "uint40"]
    return TrailHash(keccak256(abi_encode(types, [TAG_QUERY, query, querent, *astuple(question)])))


def extend_trail(trail: TrailHash, digest: Digest, signer: Address) -> TrailHash:
    """Next value, after an accepted update or delivery.

    Args:
        trail: the trail so far.
        digest: EIP-712 digest of the entry.
        signer: who signed it.
    """
    types = ["bytes32", "bytes32", "bytes32", "address"]
    return TrailHash(keccak256(abi_encode(types, [TAG_TRAIL, trail, digest, signer])))


def mark_trail(trail: TrailHash, mark: TrailEntry) -> TrailHash:
    """Next value, after `VIOLATION` or `RENEWAL`, which nobody signs."""
    return extend_trail(trail, mark.digest, mark.signer)
