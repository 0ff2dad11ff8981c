"""Signed leaves on their way to the ledger: the ouroboros collects them and posts all in one transaction.

A leaf is worth what its signature says, so it may travel through the store. A worker that is left out posts its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.stopwatch import Stopwatch
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import recover_signer
from deepring_chain.errors import ProtocolError, StoreError
from deepring_chain.protocol.decide.collecting import (
    Collection,
    FoundLeaf,
    Measure,
    PickUp,
    Question,
    awaited_leaves,
    next_action,
    place_of,
)
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import Address, Attestation

LOG = logging.getLogger(__name__)

SETTLED = frozenset({"AlreadyAttested", "StaleArrangement", "UnexpectedRound"})

SignedLeaf = tuple[Attestation, bytes]


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
        self._own: dict[LeafPlace, FoundLeaf] = {}
        self._progress = Stopwatch()

    def holds(self, place: LeafPlace | None) -> bool:
        """Return whether the ouroboros's own leaf for this place is at hand."""
        return place in self._own

    def hold(self, leaf: SignedLeaf) -> None:
        """Keep the ouroboros's own leaf for the next posting."""
        self._own = {place_of(leaf[0]): FoundLeaf(*leaf, self._member.keys.address)}

    def act(self) -> bool:
        """Post what has come in, if all are there or the next one takes too long."""
        collection = Collection(awaited_leaves(self._member.state.arrangement))
        while isinstance(action := next_action(collection), Question):
            collection = self._answer(collection, action)
        return action is not None and self._post(action.leaves)

    def _answer(self, collection: Collection, question: Question) -> Collection:
        match question:
            case PickUp(awaited):
                places = [each.place for each in awaited]
                found = {place: leaf for place in places if (leaf := self._find(place)) is not None}
                return replace(collection, found=found)
            case Measure(arrangement, leaves):
                return replace(collection, waited=self._progress.held((arrangement, leaves), self._clock()))

    def _find(self, place: LeafPlace) -> FoundLeaf | None:
        """Return what was left for a place, if it is a signed leaf at all."""
        own = self._own.get(place)
        if own is not None:
            return own
        message = self._member.store.pick_up(self._name(place))
        try:
            leaf, signature = decode_entry(message or b"", Attestation)
            return FoundLeaf(leaf, signature, recover_signer(self._member.client.domain, leaf, signature))
        except ProtocolError:
            return None

    def _post(self, leaves: Sequence[FoundLeaf]) -> bool:
        if not post_leaves(self._member, [(found.leaf, found.signature) for found in leaves]):
            return False
        for found in leaves:
            self._member.store.discard(self._name(place_of(found.leaf)))
        return True

    def _name(self, place: LeafPlace) -> str:
        return message_name(self._member.client.domain.ledger, place)
