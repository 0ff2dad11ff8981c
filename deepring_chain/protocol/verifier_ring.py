"""The verifier's rules for models, members, arrangements and block hashes (paper 3.2, 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from deepring_chain.crypto.digest import sha256
from deepring_chain.encoding import TAG_BLOCK_HASH
from deepring_chain.protocol.audit_step import Check, Step
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    ModelRegistered,
    RingArranged,
    WorkerAdmitted,
)
from deepring_chain.types import ZERO, Address, ArrangementId, Digest, Position, RingMode

MAX_LAYERS = 2**16 - 3
"""One seat more than layers, and the delivery's hop, must fit into 16 bits."""


@dataclass
class _Seating:
    """One arrangement: what was attested and how far it is folded."""

    arranged: RingArranged
    leaves: dict[Position, Digest] = field(default_factory=dict)
    folded: int = 0
    current_hash: Digest = ZERO
    is_derived: bool = False


class RingVerifier:
    """Follows the ring's events; knows by itself which hash, flag and mode follow.

    Attributes:
        model: the version in force.
        sealing_keys: long-term key of each admitted account.
    """

    def __init__(self, ouroboros: Address) -> None:
        self._ouroboros = ouroboros
        self._seating: _Seating | None = None
        self.model: ModelRegistered | None = None
        self.sealing_keys: dict[Address, Digest] = {}

    # ------------------------------------------------------------------ what follows

    @property
    def mode(self) -> RingMode:
        """The mode that the events amount to."""
        seating = self._seating
        if seating is None or self.model is None or seating.arranged.model_version != self.model.version:
            return RingMode.SETUP
        if seating.folded < len(seating.arranged.seats):
            return RingMode.ATTESTING
        return RingMode.QUERY if seating.current_hash == seating.arranged.recorded_hash else RingMode.TRACKING

    @property
    def arranged(self) -> RingArranged | None:
        """The arrangement in force."""
        return self._seating.arranged if self._seating else None

    @property
    def folded(self) -> int:
        """Seats of the arrangement that are folded."""
        return self._seating.folded if self._seating else 0

    @property
    def current_hash(self) -> Digest:
        """HASH_j of the last folded seat; zero before the first."""
        return self._seating.current_hash if self._seating else ZERO

    def due(self) -> BlockHashed | AuthenticityDerived | None:
        """The event that must come next, in the same call: the next hash (eq. 1-2), or the flag after the last."""
        seating = self._seating
        if seating is None or seating.is_derived:
            return None
        arrangement, position = seating.arranged.arrangement, Position(seating.folded)
        if position in seating.leaves:
            return BlockHashed(arrangement, position, _next_hash(seating, seating.leaves[position]))
        if position == len(seating.arranged.seats):
            recorded = seating.arranged.recorded_hash
            return AuthenticityDerived(arrangement, self.mode is RingMode.QUERY, recorded, seating.current_hash)
        return None

    def accept(self, consequence: BlockHashed | AuthenticityDerived) -> None:
        """Takes in what was due."""
        seating = self._seating
        if seating is None:
            return
        if isinstance(consequence, BlockHashed):
            seating.current_hash = consequence.block_hash
            seating.folded += 1
        else:
            seating.is_derived = True

    # ------------------------------------------------------------------ rules

    def register(self, step: Step, event: ModelRegistered) -> None:
        """A model version: numbered on, with a root and layers."""
        subject = f"model version {event.version}"
        step.equal(Check.NUMBERING, subject, "version", self.model.version + 1 if self.model else 1, event.version)
        step.nonzero(Check.REGISTRATION, subject, "root", event.root)
        in_range = 0 < event.layers <= MAX_LAYERS
        step.require(Check.REGISTRATION, subject, "layers", in_range, f"1..{MAX_LAYERS}", event.layers)
        self.model = event

    def admit(self, step: Step, event: WorkerAdmitted) -> None:
        """An account with a usable key."""
        step.nonzero(Check.REGISTRATION, f"account {event.worker}", "sealing_key", event.sealing_key)
        self.sealing_keys[event.worker] = event.sealing_key

    def arrange(self, step: Step, event: RingArranged) -> None:
        """A seating: numbered on, for the model in force, ouroboros first, the others admitted, nobody twice."""
        subject = f"arrangement {event.arrangement}"
        last = self._seating.arranged.arrangement if self._seating else 0
        step.equal(Check.NUMBERING, subject, "arrangement", last + 1, event.arrangement)
        if self.model is None:
            raise step.fail(subject, "model_version", "a registered model", str(event.model_version))
        step.equal(Check.SEAT, subject, "model_version", self.model.version, event.model_version)
        step.equal(Check.SEAT, subject, "seats (how many)", self.model.layers + 1, len(event.seats))
        step.equal(Check.SEAT, f"{subject}, seat 0", "seats", self._ouroboros, event.seats[0])
        self._check_seats(step, subject, event.seats)
        self._seating = _Seating(event)

    def attest(self, step: Step, event: BlockAttested) -> None:
        """A leaf: for the arrangement in force, once, signed by the seat's worker."""
        attestation = event.attestation
        subject = f"arrangement {attestation.arrangement}, seat {attestation.position}"
        seating = self._seating
        if seating is None:
            raise step.fail(subject, "attestation.arrangement", "a seated ring", str(attestation.arrangement))
        arranged = seating.arranged
        step.equal(
            Check.PLACE,
            subject,
            "attestation.arrangement",
            arranged.arrangement,
            ArrangementId(attestation.arrangement),
        )
        seats = range(len(arranged.seats))
        step.member(Check.PLACE, subject, "attestation.position", seats, attestation.position)
        is_first = attestation.position not in seating.leaves
        step.require(
            Check.PLACE, subject, "attestation.position", is_first, "a seat that has not attested", attestation.position
        )
        step.nonzero(Check.REGISTRATION, subject, "attestation.sealing_key", attestation.sealing_key)
        step.equal(Check.SEAT, subject, "worker", arranged.seats[attestation.position], event.worker)
        step.signed(subject, attestation, event.signature, "signature", event.worker)
        seating.leaves[attestation.position] = attestation.leaf

    def _check_seats(self, step: Step, subject: str, seats: tuple[Address, ...]) -> None:
        seen: set[Address] = set()
        for position, seat in enumerate(seats):
            place = f"{subject}, seat {position}"
            step.require(Check.SEAT, place, "seats", seat in self.sealing_keys, "an admitted account", seat)
            step.require(Check.SEAT, place, "seats", seat not in seen, "an account that has no other seat", seat)
            seen.add(seat)


def _next_hash(seating: _Seating, leaf: Digest) -> Digest:
    """HASH_0 = SHA-256(tag, leaf_0) (eq. 2); HASH_j = SHA-256(tag, HASH_{j-1}, leaf_j) (eq. 1)."""
    previous = seating.current_hash if seating.folded else b""
    return sha256(TAG_BLOCK_HASH + previous + leaf)
