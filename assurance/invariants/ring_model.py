"""The ring's half of the model: members, seats, leaves, the flag, restores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from assurance.invariants import hashes
from assurance.invariants.hashes import ZERO
from assurance.invariants.reasons import Reasons

Event = tuple[str, tuple[Any, ...]]
MOST_LAYERS = 127
REPORT_LIMIT = 256


class Mode(IntEnum):
    """`ILedger.RingMode`."""

    SETUP = 0
    ATTESTING = 1
    QUERY = 2
    TRACKING = 3


@dataclass(frozen=True)
class Seat:
    """One seat: who sits there, and its leaf once it is attested in the round."""

    worker: str
    round: int = 0
    reported: int = 0
    leaf: bytes | None = None


@dataclass
class RingModel:
    """What the ledger holds of the ring, written without the contract's bookkeeping.

    Block hashes, flag and mode are not stored: they are computed from the leaves whenever they are asked for.
    """

    owner: str
    domain: bytes = ZERO
    version: int = 0
    layers: int = 0
    keys: dict[str, bytes] = field(default_factory=dict)
    arrangement: int = 0
    arranged_version: int = 0
    recorded: bytes = ZERO
    authentic_at: int = 0
    """When the last leaf came in that made the flag true."""
    seats: tuple[Seat, ...] = ()

    def copy(self) -> RingModel:
        """Another one in the same state."""
        return replace(self, keys=dict(self.keys))

    # ------------------------------------------------------------------ reads

    @property
    def block_hashes(self) -> list[bytes]:
        """Of the seats in ring order, up to the first that has not attested."""
        leaves: list[bytes] = []
        for seat in self.seats:
            if seat.leaf is None:
                break
            leaves.append(seat.leaf)
        return hashes.fold(leaves)

    @property
    def mode(self) -> Mode:
        """What follows from the leaves and the record."""
        if self.arrangement == 0 or self.arranged_version != self.version:
            return Mode.SETUP
        blocks = self.block_hashes
        if len(blocks) < len(self.seats):
            return Mode.ATTESTING
        return Mode.QUERY if blocks[-1] == self.recorded else Mode.TRACKING

    @property
    def is_authentic(self) -> bool:
        """The flag."""
        return self.mode is Mode.QUERY

    def owner_only(self, reasons: Reasons, sender: str) -> None:
        """Only the ouroboros may do this."""
        reasons.add(sender != self.owner, "NotOuroboros", self.owner, sender)

    def authentic_only(self, reasons: Reasons) -> None:
        """Only in query mode."""
        reasons.add(not self.is_authentic, "NotAuthentic", self.arrangement, int(self.mode))

    def signer(self, reasons: Reasons, kind: bytes, signature: bytes, *values: Any) -> str | None:
        """Who signed a message of this kind, by OpenZeppelin's rules."""
        if reasons.add(len(signature) != 65, "ECDSAInvalidSignatureLength", len(signature)):
            return None
        s = int.from_bytes(signature[32:64], "big")
        if reasons.add(s > hashes.HALF_ORDER, "ECDSAInvalidSignatureS", signature[32:64]):
            return None
        found = hashes.recover(hashes.digest(self.domain, kind, *values), signature)
        reasons.add(found is None, "ECDSAInvalidSignature")
        return found

    # ------------------------------------------------------------------ calls

    def register_model(self, sender: str, _time: int, root: bytes, card: bytes, layers: int) -> list[Event]:
        """`registerModel`."""
        reasons = Reasons()
        self.owner_only(reasons, sender)
        reasons.add(root == ZERO or not 1 <= layers <= MOST_LAYERS, "InvalidModel", root, layers)
        reasons.settle()
        self.version, self.layers = self.version + 1, layers
        return [("ModelRegistered", (self.version, root, card, layers))]

    def admit_workers(self, sender: str, _time: int, workers: Any, keys: Any) -> list[Event]:
        """`admitWorkers`."""
        reasons = Reasons()
        self.owner_only(reasons, sender)
        reasons.add(len(workers) != len(keys), "LengthMismatch", len(workers), len(keys))
        for worker, key in zip(workers, keys, strict=False):
            reasons.add(key == ZERO, "ZeroSealingKey", worker)
        reasons.settle()
        self.keys |= dict(zip(workers, keys, strict=True))
        return [("WorkerAdmitted", pair) for pair in zip(workers, keys, strict=True)]

    def arrange(self, sender: str, _time: int, seats: Any, recorded: bytes, notes: bytes) -> list[Event]:
        """`arrange`."""
        reasons = Reasons()
        self.owner_only(reasons, sender)
        if not reasons.add(self.version == 0, "ModelMissing"):
            reasons.add(len(seats) != self.layers + 1, "UnexpectedSeatCount", self.layers + 1, len(seats))
        if seats:
            reasons.add(seats[0] != self.owner, "OuroborosNotFirst", self.owner, seats[0])
        for index, worker in enumerate(seats):
            reasons.add(worker not in self.keys, "WorkerNotAdmitted", worker)
            reasons.add(worker in seats[:index], "WorkerSeatedTwice", worker)
        reasons.settle()
        self.arrangement, self.arranged_version, self.recorded = self.arrangement + 1, self.version, recorded
        self.seats = tuple(Seat(worker) for worker in seats)
        return [("RingArranged", (self.arrangement, self.version, tuple(seats), recorded, notes))]

    def attest(self, _sender: str, time: int, attestations: Any, signatures: Any) -> list[Event]:
        """`attest`."""
        reasons = Reasons()
        reasons.add(len(attestations) != len(signatures), "LengthMismatch", len(attestations), len(signatures))
        reasons.settle()
        trial = self.copy()
        events = [
            trial._take_leaf(attestation, signature)
            for attestation, signature in zip(attestations, signatures, strict=True)
        ]
        before, after = len(self.block_hashes), trial.block_hashes
        self.seats = trial.seats
        events += [("BlockHashed", (self.arrangement, seat, after[seat])) for seat in range(before, len(after))]
        if before < len(after) == len(self.seats):
            events.append(self._derive(time, after[-1]))
        return events

    def _take_leaf(self, attestation: Any, signature: bytes) -> Event:
        arrangement, position, round_, leaf, key = attestation
        reasons = Reasons()
        reasons.add(arrangement != self.arrangement, "StaleArrangement", self.arrangement, arrangement)
        if reasons.add(position >= len(self.seats), "UnknownPosition", position, len(self.seats)):
            reasons.settle()
        seat, place = self.seats[position], (self.arrangement, position)
        reasons.add(round_ != seat.round, "UnexpectedRound", *place, seat.round, round_)
        reasons.add(seat.leaf is not None, "AlreadyAttested", *place)
        reasons.add(key == ZERO, "ZeroSealingKey", seat.worker)
        signer = self.signer(reasons, hashes.ATTESTATION, signature, *attestation)
        reasons.add(signer not in (None, seat.worker), "UnexpectedAttester", *place, seat.worker, signer)
        reasons.settle()
        self._change_seat(position, leaf=leaf)
        return "BlockAttested", (*place, seat.worker, round_, leaf, key, signature)

    def _derive(self, time: int, last: bytes) -> Event:
        if self.is_authentic:
            self.authentic_at = time
        return "AuthenticityDerived", (self.arrangement, self.is_authentic, self.recorded, last)

    def order_restore(
        self, sender: str, _time: int, position: int, leaves: Any, renewed: bytes, parameters: bytes
    ) -> list[Event]:
        """`orderRestore`."""
        reasons = Reasons()
        self.owner_only(reasons, sender)
        mode = self.mode
        reasons.add(mode is not Mode.TRACKING, "NotTracking", self.arrangement, int(mode))
        if reasons.add(position >= len(self.seats), "UnknownPosition", position, len(self.seats)):
            reasons.settle()
        rest = len(self.seats) - position
        if reasons.add(len(leaves) != rest, "LengthMismatch", rest, len(leaves)) or mode is not Mode.TRACKING:
            reasons.settle()
        blocks = self.block_hashes
        claimed = hashes.fold(list(leaves), blocks[position - 1] if position else None)
        reasons.add(claimed[-1] != self.recorded, "UnexpectedEvidence", self.arrangement, self.recorded, claimed[-1])
        reasons.add(claimed[0] == blocks[position], "BlockIntact", self.arrangement, position, claimed[0])
        is_shown = renewed in {claimed[0], blocks[position]}
        reasons.add(is_shown, "ChallengeNotFresh", self.arrangement, position, renewed)
        reasons.settle()
        seat = self.seats[position]
        self._change_seat(position, round=seat.round + 1, leaf=None)
        self.recorded = hashes.fold(list(leaves[1:]), renewed)[-1] if rest > 1 else renewed
        place = (self.arrangement, position, seat.worker, seat.round + 1)
        return [("RestoreOrdered", (*place, claimed[0], blocks[position], renewed, self.recorded, parameters))]

    def report_restore(self, sender: str, _time: int, position: int, changed: str) -> list[Event]:
        """`reportRestore`."""
        reasons = Reasons()
        if reasons.add(position >= len(self.seats), "UnknownPosition", position, len(self.seats)):
            reasons.settle()
        seat, place, size = self.seats[position], (self.arrangement, position), len(changed.encode())
        reasons.add(sender != seat.worker, "NotSeated", *place, seat.worker, sender)
        reasons.add(seat.reported == seat.round, "NothingToReport", *place)
        reasons.add(size > REPORT_LIMIT, "ReportTooLong", REPORT_LIMIT, size)
        reasons.settle()
        self._change_seat(position, reported=seat.round)
        return [("RestoreReported", (*place, sender, seat.round, changed))]

    def _change_seat(self, position: int, **changes: Any) -> None:
        seat = replace(self.seats[position], **changes)
        self.seats = (*self.seats[:position], seat, *self.seats[position + 1 :])
