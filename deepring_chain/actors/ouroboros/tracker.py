"""Tracking mode (paper 3.4.4): find the first block that broke the chain of hashes, order its restore, repeat."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import Arranger
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.decide.tracking import (
    AttestRestored,
    DrawRenewal,
    ExpectLeaves,
    OrderRestore,
    Question,
    Renewal,
    Tracked,
    expect_leaves,
    next_action,
)
from deepring_chain.protocol.draws import RestoreDraw
from deepring_chain.protocol.envelope import seal_content
from deepring_chain.protocol.ledger_state import ArrangementState
from deepring_chain.protocol.restore import RestoreNote, restore_context
from deepring_chain.protocol.roster import Roster
from deepring_chain.types import Address, Challenge, Digest, Leaf, Position

LOG = logging.getLogger(__name__)


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
        """Order the next restore if the ring is in tracking mode; attest the ouroboros's own restored seat."""
        current = self._member.state.arrangement
        if current is None:
            return False
        ring = self._look(current)
        while isinstance(action := next_action(ring), Question):
            ring = self._answer(ring, action, current)
        match action:
            case OrderRestore():
                self._order(action, current.arranged.seats[action.position])
                return True
            case AttestRestored(place):
                self._attest_own(current, place)
        return False

    def _look(self, current: ArrangementState) -> Tracked:
        """Return what is known of restores before anything is asked."""
        place = self._member.seat_due()
        return Tracked(
            mode=self._member.state.mode,
            block_hashes=tuple(current.block_hashes),
            rounds={position: order.round for position, order in current.restores.items()},
            rest=self._not_before - self._clock(),
            own=place,
            is_held=self._arranger.leaves.holds(place),
        )

    def _answer(self, ring: Tracked, question: Question, current: ArrangementState) -> Tracked:
        match question:
            case ExpectLeaves():
                return replace(ring, expected=self._expected_leaves(current))
            case DrawRenewal(position, round_):
                draw = self._draw_of(current, position, round_)
                return replace(ring, renewal=Renewal(draw.leaf, draw.parameters))

    def _order(self, order: OrderRestore, seat: Address) -> None:
        self._not_before = self._clock() + order.pause
        self._member.client.order_restore(order.position, order.evidence, order.renewed, order.parameters)
        self._member.metrics.ordered_restore()
        LOG.error(
            "authenticity is off: the block of layer %d (seat %d, %s) does not hold its parameters; restore ordered",
            self._roster.layer_of(seat),
            order.position,
            seat,
        )

    def _expected_leaves(self, current: ArrangementState) -> tuple[Leaf, ...]:
        drawn = self._arranger.draw_of(current.arranged.arrangement).leaves
        orders = current.restores.items()
        return expect_leaves(drawn, {seat: self._draw_of(current, seat, order.round).leaf for seat, order in orders})

    def _draw_of(self, current: ArrangementState, position: Position, round_: int) -> RestoreDraw:
        key = f"restore/{current.arranged.arrangement}/{position}/{round_}"
        drawn = self._member.journal.record_once(key, lambda: self._draw(current, position, round_).encode())
        return RestoreDraw.decode(drawn)

    def _draw(self, current: ArrangementState, position: Position, round_: int) -> RestoreDraw:
        seat = current.arranged.seats[position]
        layer = self._roster.layer_of(seat)
        challenge = Challenge(Digest(secrets.token_bytes(32)))
        (leaf,) = self._owner.expected_leaves([layer], challenge)
        note = RestoreNote(challenge, self._owner.parameters_of(layer))
        place = restore_context(self._member.client.domain, current.arranged.arrangement, position, round_)
        key = self._member.state.sealing_keys[seat]
        keeper, arrangement = self._arranger.keeper, current.arranged.arrangement
        blob = keeper.put_for_arrangement(arrangement, lambda: seal_content(key, note.encode(), place))
        return RestoreDraw(challenge, leaf, blob)

    def _attest_own(self, current: ArrangementState, place: LeafPlace) -> None:
        self._owner.verified()
        challenge = self._draw_of(current, place.position, place.round).challenge
        self._arranger.leaves.hold(self._member.sign_leaf(place, challenge, *self._owner.own_contents()))
