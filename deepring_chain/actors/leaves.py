"""Signed leaves on their way to the ledger: the ouroboros collects them and posts all in one transaction.

A leaf is worth what its signature says, so it may travel through the store. A worker that is left out posts its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple

from deepring_chain.actors.member import Member
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import recover_signer
from deepring_chain.errors import ProtocolError, StoreError
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import Address, Attestation, Position

LOG = logging.getLogger(__name__)

COLLECT_SECONDS = 0.5
"""The ouroboros waits so long for the next leaf before it posts those that it has."""

SETTLED = frozenset({"AlreadyAttested", "StaleArrangement", "UnexpectedRound"})

SignedLeaf = tuple[Attestation, bytes]


def place_of(leaf: Attestation) -> LeafPlace:
    """Where a leaf belongs."""
    return LeafPlace(leaf.arrangement, leaf.position, leaf.round)


def message_name(ledger: Address, place: LeafPlace) -> str:
    """Where a leaf is left in the store."""
    return "-".join(["leaf", ledger[2:].lower(), *map(str, astuple(place))])


def post_leaves(member: Member, leaves: Sequence[SignedLeaf]) -> bool:
    """Posts signed leaves; one that is on the ledger already, or too late, is no error.

    Returns:
        Whether they were taken: the ledger takes all of them or none.
    """
    seats = len(member.arranged().arranged.seats)
    try:
        member.client.attest([leaf for leaf, _ in leaves], [signature for _, signature in leaves], seats)
    except LedgerReverted as refusal:
        if refusal.name not in SETTLED:
            raise
        return False
    LOG.info("arrangement %d: %d leaves posted", leaves[0][0].arrangement, len(leaves))
    return True


class LeafSender:
    """A worker's side: hands its leaf in once, and posts it itself if nobody else does."""

    def __init__(self, member: Member, clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._clock = clock
        self._sent: tuple[SignedLeaf, float] | None = None

    @property
    def handed_in(self) -> LeafPlace | None:
        """The leaf that was handed in last, if any."""
        return place_of(self._sent[0][0]) if self._sent else None

    @property
    def waited(self) -> float:
        """Seconds since then, or since it was posted last."""
        return self._clock() - self._sent[1] if self._sent else 0.0

    def hand_in(self, leaf: SignedLeaf) -> None:
        """Leaves a signed leaf for the ouroboros; posts it at once if the store does not take it."""
        self._sent = (leaf, self._clock())
        try:
            self._member.store.leave(
                message_name(self._member.client.domain.ledger, place_of(leaf[0])), encode_entry(*leaf)
            )
        except StoreError as error:
            LOG.warning("%s; the leaf is posted directly", error)
            post_leaves(self._member, [leaf])

    def post_again(self) -> None:
        """Posts the leaf past the ouroboros."""
        if self._sent is not None:
            leaf, _ = self._sent
            self._sent = (leaf, self._clock())
            post_leaves(self._member, [leaf])


class LeafCollector:
    """The ouroboros's side: posts the leaves that wait, all at once."""

    def __init__(self, member: Member, clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._clock = clock
        self._own: SignedLeaf | None = None
        self._since: tuple[int, int, float] | None = None

    def holds(self, place: LeafPlace) -> bool:
        """Whether the ouroboros's own leaf for this place is at hand."""
        return self._own is not None and place_of(self._own[0]) == place

    def hold(self, leaf: SignedLeaf) -> None:
        """Keeps the ouroboros's own leaf for the next posting."""
        self._own = leaf

    def act(self) -> bool:
        """Posts what has come in, if all are there or the next one takes too long."""
        current = self._member.state.arrangement
        missing = current.missing_seats() if current else []
        if current is None or not missing:
            self._since = None
            return False
        leaves = [found for position in missing if (found := self._find(current, position)) is not None]
        if not leaves or (len(leaves) < len(missing) and not self._is_late(current, len(leaves))):
            return False
        if not post_leaves(self._member, leaves):
            return False
        for attestation, _ in leaves:
            self._member.store.discard(message_name(self._member.client.domain.ledger, place_of(attestation)))
        return True

    def _is_late(self, current: ArrangementState, found: int) -> bool:
        progress = (current.arranged.arrangement, found)
        if self._since is None or self._since[:2] != progress:
            self._since = (*progress, self._clock())
        return self._clock() - self._since[2] > COLLECT_SECONDS

    def _find(self, current: ArrangementState, position: Position) -> SignedLeaf | None:
        """The leaf for a seat, if a good one is there: one bad leaf would have the ledger refuse them all."""
        place = LeafPlace(current.arranged.arrangement, position, current.round_of(position))
        if self._own is not None and place_of(self._own[0]) == place:
            return self._own
        message = self._member.store.pick_up(message_name(self._member.client.domain.ledger, place))
        try:
            leaf, signature = decode_entry(message or b"", Attestation)
            signer = recover_signer(self._member.client.domain, leaf, signature)
        except ProtocolError:
            return None
        is_good = place_of(leaf) == place and signer == current.arranged.seats[position] and any(leaf.sealing_key)
        return (leaf, signature) if is_good else None
