"""The verifier's rules for models, members, arrangements, block hashes and restores (paper 3.2, 3.3, 3.4.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepring_chain.crypto.digest import sha256
from deepring_chain.encoding import TAG_BLOCK_HASH
from deepring_chain.protocol.audit_step import Check, Step
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    ModelRegistered,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    WorkerAdmitted,
)
from deepring_chain.types import ZERO, Address, ArrangementId, BlockHash, Leaf, Position, RingMode, SealingKey

MAX_LAYERS = 127
"""The ledger seats no larger ring."""

MAX_REPORT_BYTES = 256
"""The ledger takes any bytes for a text: how many characters it has is at most how many bytes."""


@dataclass
class Seating:
    """One arrangement: what was attested, how far it is folded, and what was restored.

    Attributes:
        arranged: who sits where.
        recorded_hash: HASH of the last seat that the ouroboros expects now; a restore order replaces it.
        leaves: attested, by seat.
        hashes: HASH_j of the folded seats.
        authentic_since: Unix time at which it became true; 0 before.
        rounds: restore orders by seat; 0 where there was none.
        reported: the last round that the seat's worker reported on.
    """

    arranged: RingArranged
    recorded_hash: BlockHash
    leaves: dict[Position, Leaf] = field(default_factory=dict)
    hashes: list[BlockHash] = field(default_factory=list)
    authentic_since: int = 0
    rounds: Counter[Position] = field(default_factory=Counter)
    reported: Counter[Position] = field(default_factory=Counter)

    @property
    def current_hash(self) -> BlockHash:
        """HASH_j of the last folded seat; zero before the first."""
        return self.hashes[-1] if self.hashes else BlockHash(ZERO)


@dataclass
class RingVerifier:
    """Follows the ring's events; knows by itself which hash, flag and mode follow.

    Attributes:
        ouroboros: the model owner's account.
        seating: the arrangement in force.
        model: the version in force.
        sealing_keys: long-term key of each admitted account.
    """

    ouroboros: Address
    seating: Seating | None = None
    model: ModelRegistered | None = None
    sealing_keys: dict[Address, SealingKey] = field(default_factory=dict)

    # ------------------------------------------------------------------ what follows

    @property
    def mode(self) -> RingMode:
        """The mode that the events amount to. Implements 3.3: authenticity is origHASH_prev == HASH_prev."""
        seating = self.seating
        if seating is None or self.model is None or seating.arranged.model_version != self.model.version:
            return RingMode.SETUP
        if len(seating.hashes) < len(seating.arranged.seats):
            return RingMode.ATTESTING
        return RingMode.QUERY if seating.current_hash == seating.recorded_hash else RingMode.TRACKING

    @property
    def authentic_since(self) -> int:
        """Unix time at which the flag last became true in this arrangement; 0 before."""
        return self.seating.authentic_since if self.seating else 0

    def due(self) -> BlockHashed | AuthenticityDerived | None:
        """The event that must come next, in the same call: the next hash (eq. 1-2), or the flag after the last."""
        seating = self.seating
        if seating is None:
            return None
        arrangement, position = seating.arranged.arrangement, Position(len(seating.hashes))
        if position in seating.leaves:
            return BlockHashed(arrangement, position, _next_hash(seating.hashes, seating.leaves[position]))
        if position == len(seating.arranged.seats):
            is_authentic = self.mode is RingMode.QUERY
            return AuthenticityDerived(arrangement, is_authentic, seating.recorded_hash, seating.current_hash)
        return None

    def accept(self, consequence: BlockHashed | AuthenticityDerived, time: int) -> None:
        """Takes in what was due.

        Args:
            consequence: the event.
            time: of its block.
        """
        seating = self.seating
        if seating is None:
            return
        if isinstance(consequence, BlockHashed):
            seating.hashes.append(consequence.block_hash)
            return
        if consequence.is_authentic:
            seating.authentic_since = time

    # ------------------------------------------------------------------ rules

    def register(self, step: Step, event: ModelRegistered) -> None:
        """A model version: numbered on, with a root and layers."""
        subject = f"model version {event.version}"
        step.equal(Check.NUMBERING, subject, "version", self.model.version + 1 if self.model else 1, event.version)
        step.nonzero(Check.REGISTRATION, subject, "root", event.root)
        in_range = 0 < event.layers <= MAX_LAYERS
        step.require(Check.REGISTRATION, subject, "layers", in_range, f"1..{MAX_LAYERS}", event.layers)
        self.model = event
        if self.seating is not None:
            self.seating.authentic_since = 0

    def admit(self, step: Step, event: WorkerAdmitted) -> None:
        """An account with a usable key."""
        step.nonzero(Check.REGISTRATION, f"account {event.worker}", "sealing_key", event.sealing_key)
        self.sealing_keys[event.worker] = event.sealing_key

    def arrange(self, step: Step, event: RingArranged) -> None:
        """A seating: numbered on, for the model in force, ouroboros first, the others admitted, nobody twice."""
        subject = f"arrangement {event.arrangement}"
        last = self.seating.arranged.arrangement if self.seating else 0
        step.equal(Check.NUMBERING, subject, "arrangement", last + 1, event.arrangement)
        if self.model is None:
            raise step.fail(subject, "model_version", "a registered model", str(event.model_version))
        step.equal(Check.SEAT, subject, "model_version", self.model.version, event.model_version)
        step.equal(Check.SEAT, subject, "seats (how many)", self.model.layers + 1, len(event.seats))
        step.equal(Check.SEAT, f"{subject}, seat 0", "seats", self.ouroboros, event.seats[0])
        self._check_seats(step, subject, event.seats)
        self.seating = Seating(event, event.recorded_hash)

    def attest(self, step: Step, event: BlockAttested) -> None:
        """A leaf: for the arrangement in force and the seat's round, once, signed by the seat's worker."""
        attestation = event.attestation
        position = attestation.position
        seating, subject = self._find_seat(step, attestation.arrangement, position, "attestation.")
        is_first = position not in seating.leaves
        step.require(
            Check.PLACE,
            subject,
            "attestation.position",
            is_first,
            "a seat that has not attested in this round",
            position,
        )
        step.equal(Check.PLACE, subject, "attestation.round", seating.rounds[position], attestation.round)
        step.nonzero(Check.REGISTRATION, subject, "attestation.sealing_key", attestation.sealing_key)
        step.equal(Check.SEAT, subject, "worker", seating.arranged.seats[position], event.worker)
        step.signed(subject, attestation, event.signature, "signature", event.worker)
        seating.leaves[position] = attestation.leaf

    def order_restore(self, step: Step, event: RestoreOrdered) -> None:
        """A restore: in tracking, of the first block that differs, as the owner's evidence shows; folding restarts.

        Implements 3.4.4.
        """
        seating, subject = self._find_seat(step, event.arrangement, event.position)
        position = event.position
        step.equal(Check.MODE, subject, "event (the ring's mode)", RingMode.TRACKING, self.mode)
        step.equal(Check.SEAT, subject, "worker", seating.arranged.seats[position], event.worker)
        step.equal(Check.RESTORE, subject, "round", seating.rounds[position] + 1, event.round)
        attested = seating.hashes[position]
        step.equal(Check.RESTORE, subject, "recomputed_hash", attested, event.recomputed_hash)
        differs = event.recorded_hash != attested
        step.require(
            Check.RESTORE,
            subject,
            "recorded_hash",
            differs,
            "another hash than the recomputed one",
            event.recorded_hash,
        )
        _check_evidence(step, subject, seating, event)
        _check_renewed(step, subject, event)
        seating.rounds[position] = event.round
        del seating.leaves[position], seating.hashes[position:]
        seating.recorded_hash = event.recorded_last

    def report_restore(self, step: Step, event: RestoreReported) -> None:
        """What a restore changed: by the seat's worker, once after each order."""
        seating, subject = self._find_seat(step, event.arrangement, event.position)
        step.equal(Check.SEAT, subject, "worker", seating.arranged.seats[event.position], event.worker)
        step.equal(Check.RESTORE, subject, "round", seating.rounds[event.position], event.round)
        is_due = seating.reported[event.position] < event.round
        step.require(Check.RESTORE, subject, "round", is_due, "a restore that nobody reported on", event.round)
        size, most = len(event.changed), MAX_REPORT_BYTES
        step.require(Check.RESTORE, subject, "changed", size <= most, f"{most} characters at most", size)
        seating.reported[event.position] = event.round

    # ------------------------------------------------------------------ steps

    def _find_seat(
        self, step: Step, arrangement: ArrangementId, position: Position, path: str = ""
    ) -> tuple[Seating, str]:
        """The arrangement in force, if that is the one, and a name for its seat, if it has it."""
        subject = f"arrangement {arrangement}, seat {position}"
        if self.seating is None:
            raise step.fail(subject, f"{path}arrangement", "a seated ring", str(arrangement))
        arranged = self.seating.arranged
        step.equal(Check.PLACE, subject, f"{path}arrangement", arranged.arrangement, arrangement)
        step.member(Check.PLACE, subject, f"{path}position", range(len(arranged.seats)), position)
        return self.seating, subject

    def _check_seats(self, step: Step, subject: str, seats: tuple[Address, ...]) -> None:
        seen: set[Address] = set()
        for position, seat in enumerate(seats):
            place = f"{subject}, seat {position}"
            step.require(Check.SEAT, place, "seats", seat in self.sealing_keys, "an admitted account", seat)
            step.require(Check.SEAT, place, "seats", seat not in seen, "an account that has no other seat", seat)
            seen.add(seat)


def _check_evidence(step: Step, subject: str, seating: Seating, event: RestoreOrdered) -> None:
    """The owner's leaves from the seat on lead to the recorded hash, so all before the seat is intact."""
    leaves = step.witness.expected_leaves
    rest = len(seating.arranged.seats) - event.position
    step.equal(Check.RESTORE, subject, "expectedLeaves (how many)", rest, len(leaves))
    hashes = seating.hashes[: event.position]
    for leaf in leaves:
        hashes.append(_next_hash(hashes, leaf))
    step.equal(Check.RESTORE, subject, "recorded_hash", hashes[event.position], event.recorded_hash)
    step.equal(Check.RESTORE, subject, "expectedLeaves (the last hash)", seating.recorded_hash, hashes[-1])


def _check_renewed(step: Step, subject: str, event: RestoreOrdered) -> None:
    """The owner may expect another hash of the restored block alone, and not one that it or the block has shown."""
    shown = {event.recorded_hash, event.recomputed_hash}
    is_fresh = event.renewed_hash not in shown
    step.require(
        Check.RESTORE, subject, "renewed_hash", is_fresh, "the hash under a fresh challenge", event.renewed_hash
    )
    hashes = [event.renewed_hash]
    for leaf in step.witness.expected_leaves[1:]:
        hashes.append(_next_hash(hashes, leaf))
    step.equal(Check.RESTORE, subject, "recorded_last", hashes[-1], event.recorded_last)


def _next_hash(hashes: Sequence[BlockHash], leaf: Leaf) -> BlockHash:
    """HASH_0 = SHA-256(tag, leaf_0); HASH_j = SHA-256(tag, HASH_{j-1}, leaf_j). Implements eq. (1), eq. (2)."""
    return BlockHash(sha256(TAG_BLOCK_HASH + (hashes[-1] if hashes else b"") + leaf))
