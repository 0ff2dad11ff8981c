"""A query's route: commitments to the hops' signers (contracts/libraries/Routes.sol), and the sealed notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_utils import to_checksum_address

from deepring_chain.crypto.digest import keccak256
from deepring_chain.crypto.sealing import context
from deepring_chain.encoding import TAG_ROUTE, check_digests, decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.types import (
    MAX_ITEMS,
    NO_ROUTE,
    Address,
    ArrangementId,
    Attempt,
    Challenge,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    RouteLink,
    SealingKey,
)


def route_link(signer: Address, salt: Digest, rest: RouteLink) -> RouteLink:
    """route_k = keccak256(tag, signer_k, salt_k, route_{k+1})."""
    words = ["bytes32", "address", "bytes32", "bytes32"]
    return RouteLink(keccak256(abi_encode(words, [TAG_ROUTE, signer, salt, rest])))


def is_turn_of(signer: Address, salt: Digest, rest: RouteLink, link: RouteLink) -> bool:
    """Whether the committed route names who signed an entry as the layer that is due. Implements eq. (9).

    The paper decrypts S_i with the public key of the layer before; `signing.recover_signer` gives the signer of S_i.

    Args:
        signer: of the entry.
        salt: opens the link.
        rest: what is left of the route after it.
        link: of the route, as the ledger has it before the entry.
    """
    return route_link(signer, salt, rest) == link


def build_route(signers: Sequence[Address], salts: Sequence[Digest]) -> list[RouteLink]:
    """Commits to a route.

    Args:
        signers: of each hop, in order.
        salts: 32 random bytes for each hop; they keep a signer hidden until it acts.

    Returns:
        One link more than hops: link k is what the ledger holds before hop k; the last is zero.
    """
    links = [NO_ROUTE]
    for signer, salt in zip(reversed(signers), reversed(salts), strict=True):
        links.append(route_link(signer, salt, links[-1]))
    return links[::-1]


@dataclass(frozen=True)
class RouteNote:
    """What one hop must know about its route, sealed to its worker.

    Attributes:
        hop: the worker's hop.
        items: number of items in the query's batch, as the ledger has it.
        salt: opens the route's link for this hop.
        next_route: the link that is left.
        predecessor: account that signs the hop before.
        next_sealing_key: X25519 key of the hop after; the ouroboros's after the last layer.
        previous_key, own_key, next_key: `hop_key` of the three hops whose commitments this hop checks or makes.
    """

    hop: Hop
    items: int
    salt: Digest
    next_route: RouteLink
    predecessor: Address
    next_sealing_key: SealingKey
    previous_key: Digest
    own_key: Digest
    next_key: Digest

    def encode(self) -> bytes:
        """Bytes for sealing."""
        digests = [self.salt, self.next_route, self.next_sealing_key, self.previous_key, self.own_key, self.next_key]
        return encode_fields("route note", [self.hop, self.items, bytes.fromhex(self.predecessor[2:]), *digests])

    @classmethod
    def decode(cls, data: bytes) -> RouteNote:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        hop, items, predecessor, *digests = decode_fields(data, "route note", [int, int, bytes, *[bytes] * 6])
        check_digests("route note", *digests)
        if not 0 <= hop < 2**16 or not 0 < items <= MAX_ITEMS or len(predecessor) != 20:
            raise ProtocolError("route note: hop, items or predecessor out of range")
        salt, next_route, next_sealing_key, previous_key, own_key, next_key = digests
        return cls(
            hop,
            items,
            salt,
            next_route,
            Address(to_checksum_address(predecessor)),
            next_sealing_key,
            previous_key,
            own_key,
            next_key,
        )


@dataclass(frozen=True)
class ArrangementNote:
    """What one block must know about an arrangement, sealed to its worker: its seat and the secret challenge."""

    position: Position
    challenge: Challenge

    def encode(self) -> bytes:
        """Bytes for sealing."""
        return encode_fields("arrangement note", [self.position, self.challenge])

    @classmethod
    def decode(cls, data: bytes) -> ArrangementNote:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        position, challenge = decode_fields(data, "arrangement note", [int, bytes])
        check_digests("arrangement note", challenge)
        if not 0 <= position < 2**16:
            raise ProtocolError("arrangement note: position out of range")
        return cls(Position(position), challenge)


def route_context(domain: Domain, query: QueryId, attempt: Attempt) -> bytes:
    """HPKE `info` of the route notes of one attempt."""
    return context("route notes", domain, query, attempt)


def arrangement_context(domain: Domain, arrangement: ArrangementId) -> bytes:
    """HPKE `info` of the notes of one arrangement."""
    return context("arrangement notes", domain, arrangement)
