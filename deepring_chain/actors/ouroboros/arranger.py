"""Arranging the ring (paper 3.3, 3.4.3): random seats, a fresh challenge, and the hashes that must come back."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from deepring_chain.actors.leaves import LeafCollector
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.keeper import BlobKeeper, CardKeeper
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.actors.stopwatch import Stopwatch
from deepring_chain.files import write_atomic
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.decide.arranging import (
    HALTED,
    Arrange,
    AttestOwn,
    CountFailures,
    Failures,
    Question,
    ReadDraw,
    RingView,
    choose_workers,
    count_strikes,
    find_question,
    is_due,
    next_action,
    order_seats,
    seating_of,
)
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.draws import ArrangementDraw
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.types import Address, ArrangementId, Challenge, Digest, Pointer, Position

LOG = logging.getLogger(__name__)

REQUEST_FILE = "arrange.request"


def request_arrangement(folder: Path) -> None:
    """Asks the ouroboros whose folder this is for a new arrangement."""
    write_atomic(folder / REQUEST_FILE, b"")


def draw_seats(owner: Address, workers: Sequence[Address], rng: random.Random) -> tuple[Address, ...]:
    """Return the seats in ring order, drawn at random."""
    order = list(range(len(workers)))
    rng.shuffle(order)
    return order_seats(owner, workers, order)


class Arranger:
    """Seats the ring anew when it is due, and attests the ouroboros's own seat.

    Args:
        member: the ouroboros's keys and connections.
        owner: the checkpoint.
        roster: who may serve which layer.
        every: a new arrangement after this many finished queries.
        failures: how often each worker failed in queries.
        folder: the ouroboros's, where requests for an arrangement are left.
        clock: seconds; for how long an attestation is awaited.
    """

    def __init__(
        self,
        member: Member,
        owner: ModelOwner,
        roster: Roster,
        every: int,
        failures: Callable[[], Counter[Address]],
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._member = member
        self._owner = owner
        self._roster = roster
        self._every = every
        self._failures = failures
        self._request = folder / REQUEST_FILE
        self._clock = clock
        self.leaves = LeafCollector(member, clock)
        self.keeper = BlobKeeper(member, clock)
        self._card = CardKeeper(member, owner.encode_card, clock)
        self._in_mode, self._halted, self._failing = Stopwatch(), Stopwatch(), Stopwatch()

    def is_due(self) -> bool:
        """Return whether new routes must wait for a new arrangement."""
        ring = self._look()
        while (question := find_question(ring)) is not None:
            ring = self._answer(ring, question)
        return is_due(ring)

    def act(self, *, is_quiet: bool = True) -> bool:
        """Arrange if it is due and nothing runs; attest; replace workers that do not attest, or never truly.

        Args:
            is_quiet: no query's step runs, which may be about to open a route in the present arrangement.
        """
        ring = self._look(is_quiet=is_quiet)
        while isinstance(action := next_action(ring), Question):
            ring = self._answer(ring, action)
        match action:
            case Arrange(arrangement):
                self._arrange(arrangement)
                return True
            case AttestOwn(place):
                self._attest_own(place)
        return self.leaves.act() or self.keeper.act() or self._card.act()

    def _look(self, *, is_quiet: bool = True) -> RingView:
        """Return what is known of the ring before anything is asked."""
        state, place, now = self._member.state, self._member.seat_due(), self._clock()
        seating = seating_of(state.mode, state.arrangement)
        kept = None if seating is None else (seating.arrangement, seating.notes)
        return RingView(
            roster=self._roster,
            every=self._every,
            patience=self._member.client.hop_seconds,
            seating=seating,
            last=self._last(),
            sessions=tuple(state.sessions.values()),
            is_requested=self._request.exists(),
            is_quiet=is_quiet,
            in_mode=self._in_mode.held((kept, state.mode), now),
            halted=self._halted.held((kept, state.mode in HALTED), now),
            own=place,
            is_held=self.leaves.holds(place),
        )

    def _last(self) -> ArrangementId:
        current = self._member.state.arrangement
        return current.arranged.arrangement if current else ArrangementId(0)

    def _answer(self, ring: RingView, question: Question) -> RingView:
        match question:
            case CountFailures(arrangement):
                seconds = self._failing.held(arrangement, self._clock())
                return replace(ring, failures=Failures(self._strikes(), seconds))
            case ReadDraw(arrangement):
                return replace(ring, drawn=self.draw_of(arrangement).notes)

    def _attest_own(self, place: LeafPlace) -> None:
        challenge = self.draw_of(place.arrangement).challenge
        self.leaves.hold(self._member.sign_leaf(place, challenge, *self._owner.own_contents()))

    def draw_of(self, arrangement: ArrangementId) -> ArrangementDraw:
        """Return the draw of an arrangement; it is made and recorded when first asked for."""
        return ArrangementDraw.decode(
            self._member.journal.record_once(f"arrangement/{arrangement}", lambda: self._draw(arrangement).encode())
        )

    def _arrange(self, arrangement: ArrangementId) -> None:
        draw = self.draw_of(arrangement)
        self._member.client.arrange(draw.seats, fold_leaves(draw.leaves)[-1], draw.notes)
        self._request.unlink(missing_ok=True)
        LOG.info("arrangement %d: seated %d blocks", arrangement, len(draw.seats))

    def _draw(self, arrangement: ArrangementId) -> ArrangementDraw:
        seats = draw_seats(self._member.keys.address, self._choose_workers(), self._member.rng)
        challenge = Challenge(Digest(secrets.token_bytes(32)))
        leaves = self._owner.expected_leaves([self._roster.layer_of(seat) for seat in seats], challenge)
        return ArrangementDraw(seats, challenge, tuple(leaves), self._store_notes(arrangement, seats, challenge))

    def _choose_workers(self) -> list[Address]:
        current = self._member.state.arrangement
        return choose_workers(self._roster, self._strikes(), current.failing_workers() if current else ())

    def _strikes(self) -> Counter[Address]:
        state = self._member.state
        return count_strikes(self._failures(), state.absences, state.restores)

    def _store_notes(self, arrangement: ArrangementId, seats: tuple[Address, ...], challenge: Challenge) -> Pointer:
        keys = self._member.state.sealing_keys
        notes = [
            (keys[seat], ArrangementNote(Position(position), challenge).encode())
            for position, seat in enumerate(seats)
            if position != 0
        ]
        info = arrangement_context(self._member.client.domain, arrangement)
        return self.keeper.put_for_arrangement(arrangement, lambda: seal_notes(notes, info, self._member.rng))
