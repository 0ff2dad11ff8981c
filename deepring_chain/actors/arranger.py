"""Arranging the ring (paper 3.3, 3.4.3): random seats, a fresh challenge, and the hashes that must come back."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence

from deepring_chain.actors.draws import ArrangementDraw
from deepring_chain.actors.member import Member
from deepring_chain.model.layer import Layer
from deepring_chain.protocol.block_hash import block_leaf, fold_leaves
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.protocol.tracking import find_first_mismatch
from deepring_chain.types import Address, ArrangementId, Digest, Position, QueryPhase, RingMode

LOG = logging.getLogger(__name__)


class Arranger:
    """Seats the ring anew when it is due, and attests the ouroboros's own seat.

    Args:
        member: the ouroboros's keys and connections.
        layers: the checkpoint's layers 0..n, layer 0 being the identity.
        layer_of: which layer each worker serves.
        every: a new arrangement after this many finished queries.
    """

    def __init__(self, member: Member, layers: Sequence[Layer], layer_of: Mapping[Address, int], every: int) -> None:
        self._member = member
        self._layers = layers
        self._layer_of = {member.keys.address: 0, **layer_of}
        self._every = every
        self._reported: ArrangementId | None = None

    def is_due(self) -> bool:
        """Whether new routes must wait for a new arrangement."""
        state = self._member.state
        current = state.arrangement
        if state.mode is RingMode.SETUP or current is None:
            return True
        finished = [
            session
            for session in state.sessions.values()
            if session.arrangement == current.arranged.arrangement
            and session.phase in (QueryPhase.DELIVERED, QueryPhase.DISPUTED)
        ]
        return len(finished) >= self._every

    def act(self) -> bool:
        """Arranges if it is due and nothing runs; attests; reports a broken chain of hashes."""
        if self.is_due() and self._is_idle():
            self._arrange()
            return True
        position = self._member.seat_due()
        if position is not None:
            draw = self.draw_of(self._member.state.arrangement.arranged.arrangement)  # type: ignore[union-attr]
            self._member.attest(position, draw.challenge, self._layers[0].content(), self._layers[1].content())
            return True
        self._report_mismatch()
        return False

    def draw_of(self, arrangement: ArrangementId) -> ArrangementDraw:
        """The draw of an arrangement; made and recorded when first asked for."""
        return ArrangementDraw.decode(
            self._member.journal.record_once(f"arrangement/{arrangement}", lambda: self._draw(arrangement).encode())
        )

    def _is_idle(self) -> bool:
        running = (QueryPhase.ROUTED, QueryPhase.COMPUTED)
        state = self._member.state
        return state.mode is not RingMode.ATTESTING and not any(s.phase in running for s in state.sessions.values())

    def _arrange(self) -> None:
        current = self._member.state.arrangement
        arrangement = ArrangementId(current.arranged.arrangement + 1 if current else 1)
        draw = self.draw_of(arrangement)
        self._member.client.arrange(draw.seats, draw.recorded_hashes[-1], draw.notes)
        LOG.info("arrangement %d: seated %d blocks", arrangement, len(draw.seats))

    def _draw(self, arrangement: ArrangementId) -> ArrangementDraw:
        workers = [address for address, layer in self._layer_of.items() if layer != 0]
        self._member.rng.shuffle(workers)
        seats = (self._member.keys.address, *workers)
        challenge = Digest(secrets.token_bytes(32))
        hashes = fold_leaves([self._expected_leaf(seat, challenge) for seat in seats])
        return ArrangementDraw(seats, challenge, tuple(hashes), self._store_notes(arrangement, seats, challenge))

    def _expected_leaf(self, seat: Address, challenge: Digest) -> Digest:
        index = self._layer_of[seat]
        following = self._layers[(index + 1) % len(self._layers)]
        return block_leaf(challenge, self._layers[index].content(), following.content())

    def _store_notes(self, arrangement: ArrangementId, seats: Sequence[Address], challenge: Digest) -> Digest:
        keys = self._member.state.sealing_keys
        notes = [
            (keys[seat], ArrangementNote(Position(position), challenge).encode())
            for position, seat in enumerate(seats)
            if position != 0
        ]
        info = arrangement_context(self._member.client.domain, arrangement)
        return self._member.store.put(seal_notes(notes, info, self._member.rng))

    def _report_mismatch(self) -> None:
        current = self._member.state.arrangement
        if current is None or current.is_authentic is not False or current.arranged.arrangement == self._reported:
            return
        self._reported = current.arranged.arrangement
        recorded = self.draw_of(self._reported).recorded_hashes
        position = find_first_mismatch(recorded, current.block_hashes)
        if position is not None:
            seat = current.arranged.seats[position]
            layer = self._layer_of[seat]
            LOG.error(
                "authenticity is off: the block of layer %d (seat %d, %s) does not hold its parameters",
                layer,
                position,
                seat,
            )
