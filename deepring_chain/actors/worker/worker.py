"""A worker: one block of the ring, serving one layer and validating the next (paper 3.2, 3.4.2).

`protocol.decide.hop` and `protocol.decide.seat` decide what is due; here and in `HopExecutor` it is done.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch

from deepring_chain.actors.lanes import QueryLanes
from deepring_chain.actors.leaves import LeafSender
from deepring_chain.actors.member import Member
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.hop import HopExecutor
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.decide.hop import OpenNotes, Question, Recall, Turn, next_action
from deepring_chain.protocol.decide.seat import Attest, LeafPlace, PostLeaf, Restore, Seat, SeatAction, decide_seat
from deepring_chain.protocol.envelope import open_content
from deepring_chain.protocol.restore import RestoreNote, restore_context
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.types import Attempt, Challenge, Pointer, QueryId

LOG = logging.getLogger(__name__)

REPORT_BYTES = 256
"""Longest report on a restore that the ledger takes."""

Place = tuple[QueryId, Attempt, Pointer]
"""Of a route note: after a reorganization the notes of an attempt are others."""


def _place(session: Session) -> Place:
    return session.query, session.attempt, session.notes


@dataclass
class _Job:
    """A turn under way: its lane's while the step runs, and the loop's again when it has ended.

    Attributes:
        turn: what is known of the query.
        layers: those that the block had when the step began; None if they were of no use.
    """

    turn: Turn
    layers: BlockLayers | None = None


class Worker(HopExecutor):
    """Does what is due for its seat and its queries, and never signs twice for one place.

    Args:
        member: keys and connections.
        block: its parameters.
        device: where layers are computed.

    Attributes:
        lanes: where its queries' turns run.
    """

    def __init__(self, member: Member, block: Block, device: torch.device) -> None:
        super().__init__(member, block, device)
        self._notes: dict[Place, tuple[RouteNote, ...]] = {}
        self._open: set[QueryId] | None = None
        self.lanes = QueryLanes(member.metrics)
        self._leaves = LeafSender(member)

    def act(self) -> bool:
        """Does everything that is due now, or begins it; returns whether there was anything."""
        acted = False
        sessions = self._member.open_sessions()
        for session in sessions:
            acted = self._begin(session) or acted
        self._forget_ended({session.query for session in sessions})
        # Last: whoever takes the notes away must not keep this block from putting back what a referee waits for.
        return self._attest_if_due() or acted

    def _begin(self, session: Session) -> bool:
        """Begins the query's turn, if anything is due as far as the loop knows."""
        if not self.lanes.is_free(session):
            return False
        job = _Job(self.turn_of(session))
        if next_action(job.turn) is None:
            return False
        return self.lanes.run(session, lambda _session: self._pursue(job), lambda: self._learn(job.turn))

    def turn_of(self, session: Session) -> Turn:
        """What is known of a query when its turn begins."""
        posting = self._member.posting
        return Turn(
            me=self._member.keys.address,
            mode=self._member.state.mode,
            session=session,
            is_stuck=posting.is_stuck(session),
            is_ahead=posting.is_ahead(session),
            is_intact=self._block.layers is not None,
            notes=self._notes.get(_place(session)),
        )

    def _learn(self, turn: Turn) -> None:
        """Keeps the notes that a turn opened: they are the same until the query ends."""
        if turn.notes is not None:
            self._notes[_place(turn.session)] = turn.notes

    # ------------------------------------------------------------------ one turn

    def _pursue(self, job: _Job) -> bool:
        """Finds out what the turn needs, then does what is due; returns whether it did anything."""
        # Anew: while the turn waited for a thread the block may have been restored.
        job.layers = self._block.layers
        job.turn = replace(job.turn, is_intact=job.layers is not None)
        if isinstance(next_action(job.turn), OpenNotes):
            job.turn = replace(job.turn, notes=self._open_notes(job.turn.session))
        first, session = next_action(job.turn), job.turn.session
        if not isinstance(first, Recall):
            return self._answer_until_done(job)
        with self._member.metrics.timings.turn(session.query, session.attempt, first.note.hop):
            return self._answer_until_done(job)

    def _answer_until_done(self, job: _Job) -> bool:
        while isinstance(action := next_action(job.turn), Question):
            found = self._answer(job.turn, action, job.layers)
            if found is None:
                return False
            job.turn = found
        return action is not None and self._do(job.turn, action)

    # ------------------------------------------------------------------ attestation and restore

    def _attest_if_due(self) -> bool:
        action = decide_seat(self._seat())
        return action is not None and self._serve_seat(action)

    def _seat(self) -> Seat | None:
        place = self._member.seat_due()
        if place is None:
            return None
        current = self._member.arranged()
        order = current.restores.get(place.position)
        told = {(report.position, report.round) for report in current.reports}
        return Seat(
            place=place,
            parameters=order.parameters if order else None,
            is_reported=(place.position, place.round) in told,
            handed_in=self._leaves.handed_in,
            waited=self._leaves.waited,
        )

    def _serve_seat(self, action: SeatAction) -> bool:
        match action:
            case PostLeaf():
                self._leaves.post_again()
            case Attest(place):
                self._attest(place, self._member.read_challenge(place))
            case Restore(place, parameters, must_report):
                self._attest(place, self._restore(place, parameters, must_report=must_report))
        return True

    def _attest(self, place: LeafPlace, challenge: Challenge) -> None:
        self._leaves.hand_in(self._member.sign_leaf(place, challenge, *self._block.contents()))

    def _restore(self, place: LeafPlace, parameters: Pointer, *, must_report: bool) -> Challenge:
        """Takes the parameters that the ouroboros sent, names what had changed, and gets the fresh challenge."""
        info = restore_context(self._member.client.domain, place.arrangement, place.position, place.round)
        blob = self._member.store.get(parameters)
        note = RestoreNote.decode(open_content(self._member.keys.sealing, blob, info))
        # Recorded before the restore: after it nothing tells what had changed, should this process be killed meanwhile.
        key = f"changed/{place.arrangement}/{place.position}/{place.round}"
        text = self._member.journal.record_once(key, lambda: self._name_changes().encode()).decode()
        self._block.restore(note.parameters)
        self._member.metrics.restored()
        LOG.error("restored; changed: %s", text)
        if must_report:
            self._report(place, text)
        return note.challenge

    def _name_changes(self) -> str:
        """What the report says; a damaged file's names may hold any characters, and the ledger counts bytes."""
        text = ", ".join(self._block.changed_tensors()) or "nothing"
        return text.encode(errors="replace")[:REPORT_BYTES].decode(errors="ignore")

    def _report(self, place: LeafPlace, text: str) -> None:
        try:
            self._member.client.report_restore(place.position, text)
        except LedgerReverted as refusal:
            if refusal.name != "NothingToReport":
                raise

    def _forget_ended(self, open_now: set[QueryId]) -> None:
        """Drops notes and envelopes of queries that need them no more; also those from before a restart."""
        self.lanes.keep_only(open_now)
        if open_now == self._open:
            return
        self._open = open_now
        self._notes = {place: notes for place, notes in self._notes.items() if place[0] in open_now}
        self._outbox.keep_only(open_now)
