"""What a restore carries: a seat's fresh challenge and the parameters, sealed to the worker (paper 3.4.4)."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.crypto.sealing import context
from deepring_chain.encoding import check_digests, decode_fields, encode_fields
from deepring_chain.types import ArrangementId, Challenge, Domain, Position


@dataclass(frozen=True)
class RestoreNote:
    """The content of a restore blob.

    Attributes:
        challenge: fresh; the block attests under it, since leaves under the old one are evidence on the ledger now.
        parameters: the bytes of the worker's parameter file.
    """

    challenge: Challenge
    parameters: bytes

    def encode(self) -> bytes:
        """Bytes for sealing."""
        return encode_fields("restore", [self.challenge, self.parameters])

    @classmethod
    def decode(cls, data: bytes) -> RestoreNote:
        """Inverse of `encode`.

        Raises:
            ProtocolError: malformed.
        """
        challenge, parameters = decode_fields(data, "restore", [bytes, bytes])
        check_digests("restore", challenge)
        return cls(challenge, parameters)


def restore_context(domain: Domain, arrangement: ArrangementId, position: Position, round_: int) -> bytes:
    """Place of a restore blob."""
    return context("restore", domain, arrangement, position, round_)


def complaint_context(domain: Domain, query: int, attempt: int, hop: int) -> bytes:
    """Place of a complaint's evidence: the recipient's key, sealed to the ouroboros."""
    return context("complaint", domain, query, attempt, hop)


def verdict_context(domain: Domain, query: int, attempt: int, hop: int) -> bytes:
    """Place of a verdict's evidence, sealed to the owner and the auditors that it admits."""
    return context("verdict", domain, query, attempt, hop)
