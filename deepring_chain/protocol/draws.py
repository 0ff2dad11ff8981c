"""What the ouroboros draws at random and must remember: challenges, salts, the queries' commitment keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_utils import to_checksum_address

from deepring_chain.encoding import check_digests, decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Address, Challenge, Digest, Hop, Leaf, Pointer, SealingKey


@dataclass(frozen=True)
class ArrangementDraw:
    """An arrangement as drawn: seats in ring order, secret challenge, leaves that must come back, notes."""

    seats: tuple[Address, ...]
    challenge: Challenge = field(repr=False)
    leaves: tuple[Leaf, ...]
    notes: Pointer

    def encode(self) -> bytes:
        """Bytes for the journal."""
        return encode_fields("arrangement", [_raw(self.seats), self.challenge, list(self.leaves), self.notes])

    @classmethod
    def decode(cls, data: bytes) -> ArrangementDraw:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        seats, challenge, leaves, notes = decode_fields(data, "arrangement", [list, bytes, list, bytes])
        check_digests("arrangement", challenge, notes, *leaves)
        return cls(_addresses(seats), challenge, tuple(leaves), notes)


@dataclass(frozen=True)
class RestoreDraw:
    """A restore as drawn: the seat's fresh challenge, the leaf that must come back, the blob with the parameters."""

    challenge: Challenge = field(repr=False)
    leaf: Leaf
    parameters: Pointer

    def encode(self) -> bytes:
        """Bytes for the journal."""
        return encode_fields("restore draw", [self.challenge, self.leaf, self.parameters])

    @classmethod
    def decode(cls, data: bytes) -> RestoreDraw:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        challenge, leaf, parameters = decode_fields(data, "restore draw", [bytes] * 3)
        check_digests("restore draw", challenge, leaf, parameters)
        return cls(challenge, leaf, parameters)


@dataclass(frozen=True)
class RouteDraw:
    """The route of one attempt as drawn.

    Attributes:
        first_hop: where the attempt begins.
        signers, keys: account and sealing key of every hop 0..n, also of those before `first_hop`.
        salts: one for each hop from `first_hop` on.
        commitment_key: of the query; all attempts share it, so that accepted commitments stay valid.
        notes: blob with the sealed route notes.
    """

    first_hop: Hop
    signers: tuple[Address, ...]
    keys: tuple[SealingKey, ...]
    salts: tuple[Digest, ...] = field(repr=False)
    commitment_key: Digest = field(repr=False)
    notes: Pointer

    def encode(self) -> bytes:
        """Bytes for the journal."""
        fields = [
            self.first_hop,
            _raw(self.signers),
            list(self.keys),
            list(self.salts),
            self.commitment_key,
            self.notes,
        ]
        return encode_fields("route", fields)

    @classmethod
    def decode(cls, data: bytes) -> RouteDraw:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        first_hop, signers, keys, salts, key, notes = decode_fields(
            data, "route", [int, list, list, list, bytes, bytes]
        )
        check_digests("route", key, notes, *keys, *salts)
        return cls(Hop(first_hop), _addresses(signers), tuple(keys), tuple(salts), key, notes)


def _raw(addresses: tuple[Address, ...]) -> list[bytes]:
    return [bytes.fromhex(address[2:]) for address in addresses]


def _addresses(raw: list[bytes]) -> tuple[Address, ...]:
    if any(type(address) is not bytes or len(address) != 20 for address in raw):
        raise ProtocolError("journal: malformed address; restore the journal")
    return tuple(Address(to_checksum_address(address)) for address in raw)
