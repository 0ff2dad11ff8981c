"""Which leaves the owner posts, and when: all in one transaction (paper 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.types import Address, ArrangementId, Attestation

COLLECT_SECONDS = 0.5
"""The ouroboros waits so long for the next leaf before it posts those that it has."""


@dataclass(frozen=True)
class AwaitedLeaf:
    """A leaf that is not on the ledger, and whose signature it needs."""

    place: LeafPlace
    worker: Address


@dataclass(frozen=True)
class FoundLeaf:
    """A leaf that was left for the owner, and who signed it."""

    leaf: Attestation
    signature: bytes
    signer: Address


@dataclass(frozen=True)
class Collection:
    """What the owner knows of leaves on their way.

    Attributes:
        awaited: which are not on the ledger.
        found: what was left for them, by the place that it was left for, answer to `PickUp`; None if it has not been
            asked. Anybody may leave anything.
        waited: seconds since the last good one came in, answer to `Measure`; None if it has not been asked.
    """

    awaited: tuple[AwaitedLeaf, ...]
    found: Mapping[LeafPlace, FoundLeaf] | None = None
    waited: float | None = None


@dataclass(frozen=True)
class PickUp:
    """Read what was left for these leaves."""

    awaited: tuple[AwaitedLeaf, ...]


@dataclass(frozen=True)
class Measure:
    """Measure for how long the owner has had so many good leaves of this arrangement."""

    arrangement: ArrangementId
    leaves: int


@dataclass(frozen=True)
class PostLeaves:
    """Post these, and clear them away."""

    leaves: tuple[FoundLeaf, ...]


Question = PickUp | Measure
"""What the owner finds out, to ask again with the answer."""


def awaited_leaves(current: ArrangementState | None) -> tuple[AwaitedLeaf, ...]:
    """Return which leaves of the current arrangement are not on the ledger, in the seats' order."""
    if current is None:
        return ()
    number, seats = current.arranged.arrangement, current.arranged.seats
    return tuple(
        AwaitedLeaf(LeafPlace(number, position, current.round_of(position)), seats[position])
        for position in current.missing_seats()
    )


def next_action(collection: Collection) -> Question | PostLeaves | None:
    """Return what is due: to post what has come in, if all are there or the next one takes too long."""
    awaited = collection.awaited
    if not awaited:
        return None
    if collection.found is None:
        return PickUp(awaited)
    good = good_leaves(awaited, collection.found)
    if len(good) == len(awaited):
        return PostLeaves(good)
    if not good:
        return None
    if collection.waited is None:
        return Measure(awaited[0].place.arrangement, len(good))
    return PostLeaves(good) if collection.waited > COLLECT_SECONDS else None


def good_leaves(awaited: tuple[AwaitedLeaf, ...], found: Mapping[LeafPlace, FoundLeaf]) -> tuple[FoundLeaf, ...]:
    """Return the leaves that the ledger takes: one bad leaf would have it refuse them all."""
    pairs = ((each, found.get(each.place)) for each in awaited)
    return tuple(leaf for each, leaf in pairs if leaf is not None and is_good(each, leaf))


def is_good(awaited: AwaitedLeaf, found: FoundLeaf) -> bool:
    """Return whether this is the awaited leaf, signed by the seat's worker, with a sealing key."""
    has_key = any(found.leaf.sealing_key)
    return has_key and (place_of(found.leaf), found.signer) == (awaited.place, awaited.worker)


def place_of(leaf: Attestation) -> LeafPlace:
    """Return where a leaf belongs."""
    return LeafPlace(leaf.arrangement, leaf.position, leaf.round)
