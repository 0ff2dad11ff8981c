"""What the owner does for seats that were restored, or must be (paper 3.4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN
from deepring_chain.protocol.tracking import find_first_mismatch
from deepring_chain.types import BlockHash, Leaf, Pointer, Position, RingMode

LONGEST_PAUSE_SECONDS = 300.0


@dataclass(frozen=True)
class Renewal:
    """A restore as drawn: the leaf that must come back, and the blob with the parameters."""

    leaf: Leaf
    parameters: Pointer


@dataclass(frozen=True)
class Tracked:
    """What the owner knows of an arrangement and its restores.

    Attributes:
        mode: of the ring.
        block_hashes: as the ledger derived them so far, in the seats' order.
        rounds: how often each seat was restored; none for one that was not.
        rest: seconds until a seat may be restored that was restored in vain.
        own, is_held: which leaf the ring awaits of the owner, and whether that leaf is at hand.
        expected: the leaves that the seats must attest now, answer to `ExpectLeaves`; None if it has not been asked.
        renewal: the answer to `DrawRenewal`; None if it has not been asked.
    """

    mode: RingMode
    block_hashes: tuple[BlockHash, ...] = ()
    rounds: Mapping[Position, int] = field(default_factory=dict)
    rest: float = 0.0
    own: LeafPlace | None = None
    is_held: bool = False
    expected: tuple[Leaf, ...] | None = None
    renewal: Renewal | None = None


@dataclass(frozen=True)
class ExpectLeaves:
    """Read what every seat must attest now."""


@dataclass(frozen=True)
class DrawRenewal:
    """Draw this restore of this seat, or look up how it was drawn."""

    position: Position
    round: int


@dataclass(frozen=True)
class AttestRestored:
    """Sign the leaf of the owner's own restored seat, and hold it for the next posting."""

    place: LeafPlace


@dataclass(frozen=True)
class OrderRestore:
    """Order the restore of a seat's block.

    Attributes:
        position: the seat.
        evidence: what this seat and those after it had to attest.
        renewed: the hash that this seat must come to.
        parameters: the blob that holds them, sealed to the seat's worker.
        pause: seconds to wait before the next restore in vain.
    """

    position: Position
    evidence: tuple[Leaf, ...]
    renewed: BlockHash
    parameters: Pointer
    pause: float


Question = ExpectLeaves | DrawRenewal
"""What the owner finds out, to ask again with the answer."""

Deed = AttestRestored | OrderRestore
"""What the owner does for restored seats."""


def next_action(ring: Tracked) -> Question | Deed | None:
    """Return what is due; None if it is nothing, or another's."""
    if ring.own is not None and ring.own.round > 0 and not ring.is_held:
        return AttestRestored(ring.own)
    if ring.mode is not RingMode.TRACKING:
        return None
    if ring.expected is None:
        return ExpectLeaves()
    return _order(ring, ring.expected)


def _order(ring: Tracked, expected: tuple[Leaf, ...]) -> DrawRenewal | OrderRestore | None:
    """The first block whose hash differs is restored; the others' hashes may differ because of it."""
    position = find_first_mismatch(fold_leaves(expected), ring.block_hashes)
    if position is None:
        return None
    rounds = ring.rounds.get(position, 0)
    if rounds >= RESTORES_IN_VAIN and ring.rest > 0:
        return None
    if ring.renewal is None:
        return DrawRenewal(position, rounds + 1)
    renewed = fold_leaves([*expected[:position], ring.renewal.leaf])[-1]
    return OrderRestore(position, expected[position:], renewed, ring.renewal.parameters, pause_after(rounds))


def pause_after(rounds: int) -> float:
    """Return for how many seconds no restore in vain is ordered after one of a seat that was restored so often.

    A worker that is false after every restore, with nobody to take its place, gets ever fewer orders.
    """
    return min(2.0**rounds, LONGEST_PAUSE_SECONDS)


def expect_leaves(drawn: Sequence[Leaf], renewed: Mapping[Position, Leaf]) -> tuple[Leaf, ...]:
    """Return what every seat must attest now.

    Args:
        drawn: as drawn for the arrangement, in the seats' order.
        renewed: as drawn at its last restore, for each restored seat.
    """
    return tuple(renewed.get(Position(position), leaf) for position, leaf in enumerate(drawn))
