"""What the actors see of a ledger in memory: it keeps the contract's rules that they lean on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import message_digest, recover_signer
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    LoggedEvent,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    VerdictPosted,
)
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.route import route_link
from deepring_chain.protocol.run import Run
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail, start_trail
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    BlockHash,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Hop,
    Leaf,
    OutputCommitment,
    Pointer,
    Position,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    RingMode,
    RouteLink,
    SealingKey,
    SignedUpdate,
    TrailEntry,
    TrailHash,
    Update,
    Verdict,
)
from tests.unit.actors.fake_ledger import DOMAIN, FakeLedger


class FakeClient:
    """What the actors see of a `FakeLedger`, in place of `LedgerClient`."""

    def __init__(self, ledger: FakeLedger, account: Address) -> None:
        self.ledger = ledger
        self.account = account
        self.domain = DOMAIN
        self.ouroboros = ledger.ouroboros
        self.hop_seconds = 60
        self.withdraw_seconds = 600
        self._times: dict[int, int] = {}
        self.calls: list[str] = []
        self.ranges: list[tuple[int, int]] = []
        self.singles: list[int] = []

    def head(self) -> BlockPlace:
        return self.block_at(self.ledger.height)

    def block_at(self, number: int) -> BlockPlace:
        return BlockPlace(number, self.ledger.hashes[number])

    def block_time(self, number: int) -> int:
        """Remembered until `forget_times`, as by `LedgerClient`."""
        return self._times.setdefault(number, self.ledger.times[number])

    def note_times(self, blocks: Iterable[BlockPlace]) -> None:
        self._times.update({block.number: block.time for block in blocks if block.time is not None})

    def forget_times(self) -> None:
        self._times.clear()

    def state_of(self, query: QueryId) -> Digest:
        return self._state(query).fold()

    def events(self, first_block: int, last_block: int) -> list[LoggedEvent]:
        self.ranges.append((first_block, last_block))
        return [entry for entry in self.ledger.logged if first_block <= entry.block_number <= last_block]

    def events_of(self, block: BlockPlace) -> list[LoggedEvent]:
        self.singles.append(block.number)
        return [entry for entry in self.ledger.logged if entry.block_hash == block.block_hash]

    # ------------------------------------------------------------------ transactions

    def arrange(self, seats: Sequence[Address], recorded_hash: BlockHash, notes: Pointer) -> None:
        self.calls.append("arrange")
        current = self.ledger.state.arrangement
        model = self.ledger.state.model
        assert model is not None
        number = current.arranged.arrangement + 1 if current else 1
        self.ledger.emit(RingArranged(ArrangementId(number), model.version, tuple(seats), recorded_hash, notes))

    def attest(self, attestations: Sequence[Attestation], signatures: Sequence[bytes], seats: int) -> None:
        self.calls.append("attest")
        for attestation, signature in zip(attestations, signatures, strict=True):
            current = self.ledger.state.arrangement
            assert current is not None
            assert seats == len(current.arranged.seats)
            if attestation.position in current.attestations:
                raise LedgerReverted("AlreadyAttested", {})
            assert attestation.round == current.round_of(attestation.position)
            worker = recover_signer(DOMAIN, attestation, signature)
            assert worker == current.arranged.seats[attestation.position]
            self.ledger.emit(BlockAttested(attestation, worker, signature), *self._fold(attestation))

    def _fold(self, newest: Attestation) -> list[Event]:
        current = self.ledger.state.arrangement
        assert current is not None
        attested = {**current.attestations, newest.position: newest}
        leaves = [attested[seat].leaf for seat in sorted(attested) if all(below in attested for below in range(seat))]
        hashes = fold_leaves(leaves)
        place = current.arranged.arrangement
        done = len(current.block_hashes)
        events: list[Event] = [BlockHashed(place, Position(seat), hashes[seat]) for seat in range(done, len(hashes))]
        if events and len(hashes) == len(current.arranged.seats):
            recorded = self.ledger.recorded_last(place)
            events.append(AuthenticityDerived(place, hashes[-1] == recorded, recorded, hashes[-1]))
        return events

    def order_restore(
        self, position: Position, expected_leaves: Sequence[Leaf], renewed_hash: BlockHash, parameters: Pointer
    ) -> None:
        self.calls.append(f"order_restore {position}")
        current = self.ledger.state.arrangement
        assert current is not None
        leaves = [current.attestations[Position(seat)].leaf for seat in range(position)] + list(expected_leaves)
        recorded = fold_leaves(leaves)
        assert recorded[-1] == self.ledger.recorded_last(current.arranged.arrangement)
        assert recorded[position] != current.block_hashes[position]
        self.ledger.emit(
            RestoreOrdered(
                current.arranged.arrangement,
                position,
                current.arranged.seats[position],
                current.round_of(position) + 1,
                recorded[position],
                current.block_hashes[position],
                renewed_hash,
                [renewed_hash, *fold_leaves(expected_leaves[1:], renewed_hash)][-1],
                parameters,
            )
        )

    def report_restore(self, position: Position, changed: str) -> None:
        self.calls.append(f"report_restore {position}")
        current = self.ledger.state.arrangement
        assert current is not None
        place = current.arranged.arrangement
        self.ledger.emit(RestoreReported(place, position, self.account, current.round_of(position), changed))

    def submit_query(self, sealed_input: Pointer, sealing_key: SealingKey) -> tuple[QueryId, None]:
        self.calls.append("submit_query")
        query = QueryId(len(self.ledger.state.sessions) + 1)
        question = Question(sealed_input, sealing_key, self.ledger.now + 1)
        trail = start_trail(query, self.account, question)
        self.ledger.emit(QuerySubmitted(query, self.account, sealed_input, sealing_key, trail))
        return query, None

    def reject_query(self, query: QueryId, state: QueryState, reason: RejectReason) -> None:
        self.calls.append(f"reject_query {query} {reason.name}")
        self._expect(query, state, QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED)
        self.ledger.emit(QueryRejected(query, reason))

    def open_route(self, query: QueryId, state: QueryState, route: RouteLink, notes: Pointer, items: int) -> None:
        self.calls.append(f"open_route {query}")
        self._expect_authentic()
        session = self._expect(query, state, QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED)
        if not items or session.items not in (0, items):
            raise LedgerReverted("UnexpectedItems", {"query": query, "expected": session.items, "actual": items})
        self.ledger.emit(RouteOpened(query, Attempt(session.attempt + 1), Hop(0), items, route, notes))

    def resume_route(
        self,
        state: QueryState,
        anchor: Update,
        signer: Address,
        later: Sequence[TrailEntry],
        route: RouteLink,
        notes: Pointer,
    ) -> None:
        self.calls.append(f"resume_route {anchor.query} {anchor.hop + 1}")
        self._expect_authentic()
        session = self._expect(anchor.query, state, QueryPhase.INTERRUPTED)
        self._expect_model(session)
        if later[:1] == [VIOLATION] or RENEWAL in later:
            raise LedgerReverted("UnusableAnchor", {"query": anchor.query, "hop": anchor.hop})
        self._expect_trail(session, extend_trail(anchor.trail, message_digest(DOMAIN, anchor), signer), later)
        attempt = Attempt(session.attempt + 1)
        self.ledger.emit(
            RouteOpened(anchor.query, attempt, Hop(anchor.hop + 1), session.items, route, notes),
            QueryResumed(anchor.query, attempt, anchor.attempt, anchor.hop),
        )

    def complain(
        self, state: QueryState, complaint: Complaint, salt: Digest, next_route: RouteLink, signature: bytes
    ) -> None:
        complaint = replace(complaint, kind=ComplaintKind(complaint.kind))  # as an event tells it
        self.calls.append(f"complain {complaint.query} {complaint.hop} {complaint.kind.name}")
        session = self._expect(complaint.query, state, QueryPhase.ROUTED, QueryPhase.COMPUTED)
        signer = recover_signer(DOMAIN, complaint, signature)
        assert (complaint.hop, complaint.trail) == (session.next_hop, session.trail)
        is_turn = route_link(signer, salt, next_route) == session.route
        if not (is_turn if session.phase is QueryPhase.ROUTED else signer == self.ouroboros):
            raise LedgerReverted("NotRecipient", {"query": complaint.query, "hop": complaint.hop, "signer": signer})
        trail = extend_trail(complaint.trail, message_digest(DOMAIN, complaint), signer)
        self.ledger.emit(EnvelopeDisputed(complaint, signer, salt, next_route, signature, trail))

    def judge(self, state: QueryState, verdict: Verdict, signature: bytes) -> None:
        self.calls.append(f"judge {verdict.query} {verdict.sender_guilty} {verdict.receiver_guilty}")
        session = self._expect(verdict.query, state, QueryPhase.DISPUTED)
        assert (verdict.hop, verdict.trail) == (session.next_hop, session.trail)
        trail = extend_trail(verdict.trail, message_digest(DOMAIN, verdict), self.ouroboros)
        self.ledger.emit(VerdictPosted(verdict, signature, trail))

    def time_out(self, query: QueryId, state: QueryState) -> None:
        self.calls.append(f"time_out {query}")
        self._expect_authentic()
        session = self._expect(query, state, QueryPhase.ROUTED)
        self.ledger.emit(HopTimedOut(query, session.attempt, session.next_hop, 0))

    def withdraw_query(
        self, query: QueryId, state: QueryState, question: Question, later: Sequence[TrailEntry]
    ) -> None:
        self.calls.append(f"withdraw_query {query}")
        session = self._expect(query, state)
        if not session.is_open:
            raise LedgerReverted("QueryNotOpen", {"query": query, "phase": session.phase})
        self._expect_trail(session, start_trail(query, self.account, question), later)
        deadline = question.submitted_at + self.withdraw_seconds
        if self.ledger.now + 1 <= deadline:
            raise LedgerReverted("DeadlineAhead", {"query": query, "deadline": deadline, "time": self.ledger.now + 1})
        self.ledger.emit(QueryWithdrawn(query))

    def post(self, state: QueryState, *updates: SignedUpdate) -> None:
        run = Run.of(updates)
        self.calls.append(f"post {run.query} {', '.join(str(signed.update.hop) for signed in updates)}")
        self._expect_authentic()
        session = self._expect(run.query, state)
        posted = run.expand(DOMAIN)
        link = route_link(posted[0].signer, posted[0].signed.salt, posted[0].signed.next_route)
        place = (session.phase, session.attempt, session.next_hop, session.items, session.trail, session.route)
        if place != (QueryPhase.ROUTED, run.attempt, run.hop, run.items, run.trail, link):
            raise LedgerReverted("UnexpectedState", {"query": run.query})
        self._expect_model(session)
        violation = self._violation(session, run.output) if run.hop else None
        assert violation is None or len(posted) == 1
        self.ledger.emit_logs(posted, *([(violation,)] if violation else []))

    def deliver(self, state: QueryState, delivery: Delivery, signature: bytes) -> None:
        self.calls.append(f"deliver {delivery.query}")
        self._expect_authentic()
        session = self._expect(delivery.query, state, QueryPhase.COMPUTED)
        self._expect_model(session)
        trail = extend_trail(delivery.trail, message_digest(DOMAIN, delivery), self.ouroboros)
        event = AnswerDelivered(delivery.query, delivery.attempt, delivery.answer, delivery.output, signature, trail)
        violation = self._violation(session, delivery.output)
        self.ledger.emit(event, *([violation] if violation else []))

    # ------------------------------------------------------------------ rules

    def _violation(self, session: Session, actual: OutputCommitment) -> OutputDisputed | None:
        expected = session.expected_output
        if actual == expected:
            return None
        return OutputDisputed(session.query, session.attempt, session.next_hop, expected, actual)

    def _state(self, query: QueryId) -> QueryState:
        return self.ledger.state.sessions[query].state(lambda number: self.ledger.times[number])

    def _expect(self, query: QueryId, shown: QueryState, *phases: QueryPhase) -> Session:
        """The query, if it is in the state that is shown, and in one of these phases."""
        held = self._state(query).fold()
        if shown.fold() != held:
            raise LedgerReverted("UnexpectedState", {"query": query, "expected": held, "actual": shown.fold()})
        if phases and shown.phase not in phases:
            raise LedgerReverted("UnexpectedPhase", {"expected": phases[0], "actual": shown.phase})
        return self.ledger.state.sessions[query]

    def _expect_trail(self, session: Session, trail: TrailHash, later: Sequence[TrailEntry]) -> None:
        for entry in later:
            trail = extend_trail(trail, entry.digest, entry.signer)
        if trail != session.trail:
            raise LedgerReverted("UnexpectedTrail", {"query": session.query})

    def _expect_authentic(self) -> None:
        if self.ledger.state.mode is not RingMode.QUERY:
            raise LedgerReverted("NotAuthentic", {"mode": self.ledger.state.mode})

    def _expect_model(self, session: Session) -> None:
        current = self.ledger.state.model
        assert current is not None
        if session.model_version != current.version:
            raise LedgerReverted("ModelChanged", {"query": session.query})
