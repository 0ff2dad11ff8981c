"""Arranging the ring (paper 3.3, 3.4.3): random seats, a fresh challenge, and the hashes that must come back."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from deepring_chain.actors.leaves import LeafCollector
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.draws import ArrangementDraw
from deepring_chain.actors.ouroboros.keeper import BlobKeeper, CardKeeper
from deepring_chain.actors.ouroboros.model_owner import ModelOwner
from deepring_chain.files import write_atomic
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN, ArrangementState
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.types import Address, ArrangementId, Digest, Position, QueryPhase, RingMode

LOG = logging.getLogger(__name__)

FINISHED = frozenset({QueryPhase.DELIVERED, QueryPhase.REJECTED, QueryPhase.WITHDRAWN})
RUNNING = frozenset({QueryPhase.ROUTED, QueryPhase.COMPUTED})
WAITING = frozenset({QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED})

REQUEST_FILE = "arrange.request"


def request_arrangement(folder: Path) -> None:
    """Asks the ouroboros whose folder this is for a new arrangement."""
    write_atomic(folder / REQUEST_FILE, b"")


def draw_seats(owner: Address, workers: Sequence[Address], rng: random.Random) -> tuple[Address, ...]:
    """Seats in ring order: the ouroboros first, then the workers in an order that tells nothing of their layers."""
    shuffled = list(workers)
    rng.shuffle(shuffled)
    return (owner, *shuffled)


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
        self._awaited: tuple[ArrangementId, float] | None = None
        self._stranger: tuple[ArrangementId, float] | None = None
        self._failing: tuple[ArrangementId, float] | None = None

    def is_due(self) -> bool:
        """Whether new routes must wait for a new arrangement.

        That is so at set-up, after every so many finished queries, after a hop failed, after a restore once those that
        waited for it are served, where a worker with a useless key can be replaced, and on demand.
        """
        state = self._member.state
        current = state.arrangement
        if state.mode is RingMode.SETUP or current is None:
            return True
        here = [s for s in state.sessions.values() if s.arrangement == current.arranged.arrangement]
        finished = sum(session.phase in FINISHED for session in here)
        interrupted = any(session.phase is QueryPhase.INTERRUPTED for session in here)
        keyless = bool(current.keyless) and self._may_replace(current)
        reordered = bool(current.restores) and self._is_served(current, finished)
        return finished >= self._every or interrupted or keyless or reordered or self._request.exists()

    def _is_served(self, current: ArrangementState, finished: int) -> bool:
        """Whether a restored arrangement has served those that waited for it, and its order can be changed.

        A worker that attests falsely once in every arrangement would else keep all queries waiting for ever. If the
        arrangement before was restored too, this one stays until a query has ended in it: the owner pays for each.
        """
        if current.follows_restores and not finished:
            return False
        return not any(
            session.phase in WAITING
            and session.arrangement != current.arranged.arrangement
            and session.submitted_block <= current.authentic_block
            for session in self._member.state.open_sessions()
        )

    def act(self, *, is_quiet: bool = True) -> bool:
        """Arranges if it is due and nothing runs; attests; replaces workers that do not attest, or never truly.

        Args:
            is_quiet: no query's step runs, which may be about to open a route in the present arrangement.
        """
        if is_quiet and (
            (self.is_due() and self._is_idle()) or self._is_overdue() or self._is_incurable() or self._is_strange()
        ):
            self._arrange()
            return True
        place = self._member.seat_due()
        if place is not None:
            self._attest_own(place)
        return self.leaves.act() or self.keeper.act() or self._card.act()

    def _attest_own(self, place: LeafPlace) -> None:
        """Signs the leaf of the ouroboros's own seat; after a restore that is the tracker's matter."""
        if place.round > 0 or self.leaves.holds(place):
            return
        challenge = self.draw_of(place.arrangement).challenge
        self.leaves.hold(self._member.sign_leaf(place, challenge, *self._owner.own_contents()))

    def draw_of(self, arrangement: ArrangementId) -> ArrangementDraw:
        """The draw of an arrangement; made and recorded when first asked for."""
        return ArrangementDraw.decode(
            self._member.journal.record_once(f"arrangement/{arrangement}", lambda: self._draw(arrangement).encode())
        )

    def _is_idle(self) -> bool:
        state = self._member.state
        if state.mode not in {RingMode.SETUP, RingMode.QUERY}:
            return False
        return not any(session.phase in RUNNING for session in state.sessions.values())

    def _is_overdue(self) -> bool:
        """Whether a seated worker has not attested for as long as a hop may take, and another one could."""
        current = self._member.state.arrangement
        if current is None or self._member.state.mode is not RingMode.ATTESTING:
            self._awaited = None
            return False
        arrangement = current.arranged.arrangement
        if self._awaited is None or self._awaited[0] != arrangement:
            self._awaited = (arrangement, self._clock())
        overdue = self._clock() - self._awaited[1] > self._member.client.hop_seconds
        return overdue and self._can_replace(current)

    def _is_strange(self) -> bool:
        """Whether the ring has waited for as long as a hop may take in an arrangement that is not in the journal.

        It was drawn by a copy of this folder, or the journal was set back: nobody knows here what its blocks must
        attest, and so nothing could be restored.
        """
        current = self._member.state.arrangement
        waiting = self._member.state.mode in {RingMode.ATTESTING, RingMode.TRACKING}
        if current is None or not waiting or self.draw_of(current.arranged.arrangement).notes == current.arranged.notes:
            self._stranger = None
            return False
        if self._stranger is None or self._stranger[0] != current.arranged.arrangement:
            self._stranger = (current.arranged.arrangement, self._clock())
        return self._clock() - self._stranger[1] > self._member.client.hop_seconds

    def _is_incurable(self) -> bool:
        """Whether a worker attests falsely after every restore, and another one could take its place."""
        current = self._member.state.arrangement
        if current is None or self._member.state.mode is not RingMode.TRACKING:
            return False
        return bool(current.incurable_seats()) and self._may_replace(current)

    def _may_replace(self, current: ArrangementState) -> bool:
        """Whether a failing worker's seat may go to another one now: at once to one that never failed.

        Where all have failed, when the time of a hop is over: the owner pays for every arrangement.
        """
        strikes = self._strikes()
        layers = {self._roster.layer_of(worker) for worker in current.failing_workers()}
        seated = set(current.arranged.seats)
        others = [worker for layer in layers for worker in self._roster.candidates.get(layer, ())]
        if any(worker not in seated and not strikes[worker] for worker in others):
            return True
        if self._failing is None or self._failing[0] != current.arranged.arrangement:
            self._failing = (current.arranged.arrangement, self._clock())
        return self._clock() - self._failing[1] > self._member.client.hop_seconds and self._can_replace(current)

    def _can_replace(self, current: ArrangementState) -> bool:
        layers = [self._roster.layer_of(worker) for worker in current.failing_workers()]
        return any(len(self._roster.candidates.get(layer, ())) > 1 for layer in layers)

    def _arrange(self) -> None:
        current = self._member.state.arrangement
        arrangement = ArrangementId(current.arranged.arrangement + 1 if current else 1)
        draw = self.draw_of(arrangement)
        self._member.client.arrange(draw.seats, fold_leaves(draw.leaves)[-1], draw.notes)
        self._request.unlink(missing_ok=True)
        LOG.info("arrangement %d: seated %d blocks", arrangement, len(draw.seats))

    def _draw(self, arrangement: ArrangementId) -> ArrangementDraw:
        seats = draw_seats(self._member.keys.address, self._choose_workers(), self._member.rng)
        challenge = Digest(secrets.token_bytes(32))
        leaves = self._owner.expected_leaves([self._roster.layer_of(seat) for seat in seats], challenge)
        return ArrangementDraw(seats, challenge, tuple(leaves), self._store_notes(arrangement, seats, challenge))

    def _choose_workers(self) -> list[Address]:
        """For each layer the candidate that failed least, the first choice among equals."""
        current = self._member.state.arrangement
        strikes = self._strikes()
        if current is not None:
            strikes += Counter(current.failing_workers())
        return [min(members, key=lambda member: strikes[member]) for members in self._roster.candidates.values()]

    def _strikes(self) -> Counter[Address]:
        """How often each worker failed up to the present arrangement, in queries and in attesting.

        One that had to be restored is no failure: anybody may have changed its file. Again and again is.
        """
        state = self._member.state
        restored = Counter({worker: count // RESTORES_IN_VAIN for worker, count in state.restores.items()})
        return self._failures() + state.absences + restored

    def _store_notes(self, arrangement: ArrangementId, seats: tuple[Address, ...], challenge: Digest) -> Digest:
        keys = self._member.state.sealing_keys
        notes = [
            (keys[seat], ArrangementNote(Position(position), challenge).encode())
            for position, seat in enumerate(seats)
            if position != 0
        ]
        info = arrangement_context(self._member.client.domain, arrangement)
        return self.keeper.put_for_arrangement(arrangement, lambda: seal_notes(notes, info, self._member.rng))
