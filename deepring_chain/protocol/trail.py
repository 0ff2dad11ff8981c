"""A query's rolling hash over all accepted entries; contracts/libraries/Trails.sol computes the same."""

from __future__ import annotations

from eth_abi.abi import encode as abi_encode

from deepring_chain.crypto.digest import keccak256
from deepring_chain.encoding import TAG_QUERY, TAG_TRAIL
from deepring_chain.types import Address, Digest, QueryId


def start_trail(query: QueryId, querent: Address, sealed_input: Digest, sealing_key: Digest) -> Digest:
    """First value: binds what the querent asked (eq. 3)."""
    types = ["bytes32", "uint64", "address", "bytes32", "bytes32"]
    return keccak256(abi_encode(types, [TAG_QUERY, query, querent, sealed_input, sealing_key]))


def extend_trail(trail: Digest, digest: Digest, signer: Address) -> Digest:
    """Next value, after an accepted update or delivery.

    Args:
        trail: the trail so far.
        digest: EIP-712 digest of the entry.
        signer: who signed it.
    """
    return keccak256(abi_encode(["bytes32", "bytes32", "bytes32", "address"], [TAG_TRAIL, trail, digest, signer]))
