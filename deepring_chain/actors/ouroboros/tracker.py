"""Tracking mode (paper 3.4.4): find the first block that broke the chain of hashes, order its restore, repeat."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.draws import RestoreDraw
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.envelope import seal_content
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN, ArrangementState
from deepring_chain.protocol.restore import RestoreNote, restore_context
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.tracking import find_first_mismatch
from deepring_chain.types import Digest, Position, RingMode

LOG = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 300.0


class Tracker:
    """The ouroboros in tracking mode.

    Args:
        member: the ouroboros's keys and connections.
        owner: the checkpoint, source of the restored parameters.
        roster: which layer each worker serves.
        arranger: knows what every seat must attest.
        clock: seconds; how often a worker is restored in vain.
    """

    def __init__(
        self,
        member: Member,
        owner: ModelOwner,
        roster: Roster,
        arranger: Arranger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._member = member
        self._owner = owner
        self._roster = roster
        self._arranger = arranger
        self._clock = clock
        self._not_before = 0.0

    def act(self) -> bool:
        """Orders the next restore if the ring is in tracking mode; attests the ouroboros's own restored seat."""
        current = self._member.state.arrangement
        if current is None:
            return False
        place = self._member.seat_due()
        if place is not None and place.round > 0:
            self._attest_own(current, place)
        if self._member.state.mode is not RingMode.TRACKING:
            return False
        return self._order(current)

    def _order(self, current: ArrangementState) -> bool:
        expected = self.expected_leaves(current)
        position = find_first_mismatch(fold_leaves(expected), current.block_hashes)
        if position is None or not self._may_order(current.round_of(position)):
            return False
        draw = self._draw_of(current, position, current.round_of(position) + 1)
        renewed = fold_leaves([*expected[:position], draw.leaf])[-1]
        self._member.client.order_restore(position, expected[position:], renewed, draw.parameters)
        self._member.metrics.ordered_restore()
        seat = current.arranged.seats[position]
        LOG.error(
            "authenticity is off: the block of layer %d (seat %d, %s) does not hold its parameters; restore ordered",
            self._roster.layer_of(seat),
            position,
            seat,
        )
        return True

    def _may_order(self, orders: int) -> bool:
        """A worker that is false after every restore, with nobody to take its place, gets ever fewer orders."""
        now = self._clock()
        if orders >= RESTORES_IN_VAIN and now < self._not_before:
            return False
        self._not_before = now + min(2.0**orders, LONGEST_PAUSE_SECONDS)
        return True

    def expected_leaves(self, current: ArrangementState) -> list[Digest]:
        """What every seat must attest now: as drawn at the start, and as drawn at its restore for a restored one."""
        leaves = list(self._arranger.draw_of(current.arranged.arrangement).leaves)
        for position, order in current.restores.items():
            leaves[position] = self._draw_of(current, position, order.round).leaf
        return leaves

    def _draw_of(self, current: ArrangementState, position: Position, round_: int) -> RestoreDraw:
        key = f"restore/{current.arranged.arrangement}/{position}/{round_}"
        drawn = self._member.journal.record_once(key, lambda: self._draw(current, position, round_).encode())
        return RestoreDraw.decode(drawn)

    def _draw(self, current: ArrangementState, position: Position, round_: int) -> RestoreDraw:
        seat = current.arranged.seats[position]
        layer = self._roster.layer_of(seat)
        challenge = Digest(secrets.token_bytes(32))
        (leaf,) = self._owner.expected_leaves([layer], challenge)
        note = RestoreNote(challenge, self._owner.parameters_of(layer))
        place = restore_context(self._member.client.domain, current.arranged.arrangement, position, round_)
        key = self._member.state.sealing_keys[seat]
        keeper, arrangement = self._arranger.keeper, current.arranged.arrangement
        blob = keeper.put_for_arrangement(arrangement, lambda: seal_content(key, note.encode(), place))
        return RestoreDraw(challenge, leaf, blob)

    def _attest_own(self, current: ArrangementState, place: LeafPlace) -> None:
        if self._arranger.leaves.holds(place):
            return
        self._owner.verified()
        challenge = self._draw_of(current, place.position, place.round).challenge
        self._arranger.leaves.hold(self._member.sign_leaf(place, challenge, *self._owner.own_contents()))
