"""What the ouroboros draws at random and must remember: an arrangement's challenge, a route's salts and keys."""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils import to_checksum_address

from deepring_chain.encoding import check_digests, decode_fields, encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Address, Digest


@dataclass(frozen=True)
class ArrangementDraw:
    """An arrangement as drawn: seats in ring order, secret challenge, expected block hashes, the notes' blob."""

    seats: tuple[Address, ...]
    challenge: Digest
    recorded_hashes: tuple[Digest, ...]
    notes: Digest

    def encode(self) -> bytes:
        """Bytes for the journal."""
        return encode_fields("arrangement", [_raw(self.seats), self.challenge, list(self.recorded_hashes), self.notes])

    @classmethod
    def decode(cls, data: bytes) -> ArrangementDraw:
        """Inverse of `encode`."""
        seats, challenge, recorded, notes = decode_fields(data, "arrangement", [list, bytes, list, bytes])
        check_digests("arrangement", challenge, notes, *recorded)
        return cls(_addresses(seats), challenge, tuple(recorded), notes)


@dataclass(frozen=True)
class RouteDraw:
    """A route as drawn: each hop's signer and salt, the query's commitment key, the notes' blob."""

    signers: tuple[Address, ...]
    salts: tuple[Digest, ...]
    commitment_key: Digest
    notes: Digest

    def encode(self) -> bytes:
        """Bytes for the journal."""
        return encode_fields("route", [_raw(self.signers), list(self.salts), self.commitment_key, self.notes])

    @classmethod
    def decode(cls, data: bytes) -> RouteDraw:
        """Inverse of `encode`."""
        signers, salts, key, notes = decode_fields(data, "route", [list, list, bytes, bytes])
        check_digests("route", key, notes, *salts)
        return cls(_addresses(signers), tuple(salts), key, notes)


def _raw(addresses: tuple[Address, ...]) -> list[bytes]:
    return [bytes.fromhex(address[2:]) for address in addresses]


def _addresses(raw: list[bytes]) -> tuple[Address, ...]:
    if any(type(address) is not bytes or len(address) != 20 for address in raw):
        raise ProtocolError("journal: malformed address; restore the journal")
    return tuple(Address(to_checksum_address(address)) for address in raw)
