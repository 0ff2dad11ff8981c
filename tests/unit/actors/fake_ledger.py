"""A ledger in memory: it keeps the contract's rules that the actors lean on, and can be set back like a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deepring_chain.chain.client import BlockPlace
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
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    UpdatePosted,
    VerdictPosted,
    WorkerAdmitted,
)
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.route import route_link
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    QueryPhase,
    RejectReason,
    SignedUpdate,
    TrailEntry,
    Update,
    Verdict,
)

DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))


@dataclass
class FakeLedger:
    """Blocks with one call each; `fork` tells the chains apart that a reorganization leaves behind."""

    ouroboros: Address
    logged: list[LoggedEvent] = field(default_factory=list)
    hashes: list[Digest] = field(default_factory=lambda: [Digest(bytes(32))])
    fork: int = 0

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    @property
    def state(self) -> LedgerState:
        found = LedgerState()
        found.apply_all(self.logged)
        return found

    def recorded_last(self, arrangement: ArrangementId) -> Digest:
        """The hash that the ring must end with, after the restores so far."""
        found = Digest(bytes(32))
        for entry in self.logged:
            if isinstance(entry.event, RingArranged) and entry.event.arrangement == arrangement:
                found = entry.event.recorded_hash
            if isinstance(entry.event, RestoreOrdered) and entry.event.arrangement == arrangement:
                found = entry.event.recorded_last
        return found

    def emit(self, *events: Event) -> None:
        """A new block with these events."""
        number = self.height + 1
        self.hashes.append(Digest(hashlib.sha256(f"{self.fork}/{number}".encode()).digest()))
        for place, event in enumerate(events):
            self.logged.append(LoggedEvent(event, number, self.hashes[-1], Digest(bytes(32)), place))

    def set_back(self, height: int) -> None:
        """Drops the blocks above `height`; those that follow have other hashes."""
        self.fork += 1
        del self.hashes[height + 1 :]
        self.logged = [entry for entry in self.logged if entry.block_number <= height]

    def set_up(self, card: Digest, layers: int, keys: dict[Address, Digest]) -> None:
        """Registers a model and admits members."""
        self.emit(ModelRegistered(1, Digest(bytes(32)), card, layers))
        self.emit(*(WorkerAdmitted(address, key) for address, key in keys.items()))


class FakeClient:
    """What the actors see of a `FakeLedger`, in place of `LedgerClient`."""

    def __init__(self, ledger: FakeLedger, account: Address) -> None:
        self.ledger = ledger
        self.account = account
        self.domain = DOMAIN
        self.ouroboros = ledger.ouroboros
        self.hop_seconds = 60
        self.calls: list[str] = []
        self.ranges: list[tuple[int, int]] = []

    def head(self) -> BlockPlace:
        return self.block_at(self.ledger.height)

    def block_at(self, number: int) -> BlockPlace:
        return BlockPlace(number, self.ledger.hashes[number])

    def events(self, first_block: int, last_block: int) -> list[LoggedEvent]:
        self.ranges.append((first_block, last_block))
        return [entry for entry in self.ledger.logged if first_block <= entry.block_number <= last_block]

    # ------------------------------------------------------------------ transactions

    def arrange(self, seats: Sequence[Address], recorded_hash: Digest, notes: Digest) -> None:
        self.calls.append("arrange")
        current = self.ledger.state.arrangement
        number = current.arranged.arrangement + 1 if current else 1
        self.ledger.emit(RingArranged(ArrangementId(number), 1, tuple(seats), recorded_hash, notes))

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
        self, position: Position, expected_leaves: Sequence[Digest], recorded_last: Digest, parameters: Digest
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
                recorded_last,
                parameters,
            )
        )

    def report_restore(self, position: Position, changed: str) -> None:
        self.calls.append(f"report_restore {position}")
        current = self.ledger.state.arrangement
        assert current is not None
        place = current.arranged.arrangement
        self.ledger.emit(RestoreReported(place, position, self.account, current.round_of(position), changed))

    def submit_query(self, sealed_input: Digest, sealing_key: Digest) -> tuple[QueryId, None]:
        self.calls.append("submit_query")
        query = QueryId(len(self.ledger.state.sessions) + 1)
        trail = start_trail(query, self.account, sealed_input, sealing_key)
        self.ledger.emit(QuerySubmitted(query, self.account, sealed_input, sealing_key, trail))
        return query, None

    def reject_query(self, query: QueryId, reason: RejectReason) -> None:
        self.calls.append(f"reject_query {query} {reason.name}")
        self._session(query, QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED)
        self.ledger.emit(QueryRejected(query, reason))

    def open_route(self, query: QueryId, route: Digest, notes: Digest) -> None:
        self.calls.append(f"open_route {query}")
        session = self._session(query, QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED)
        self.ledger.emit(RouteOpened(query, Attempt(session.attempt + 1), Hop(0), route, notes))

    def resume_route(
        self, anchor: Update, signer: Address, later: Sequence[TrailEntry], route: Digest, notes: Digest
    ) -> None:
        self.calls.append(f"resume_route {anchor.query} {anchor.hop + 1}")
        session = self._session(anchor.query, QueryPhase.INTERRUPTED)
        trail = extend_trail(anchor.trail, message_digest(DOMAIN, anchor), signer)
        for entry in later:
            trail = extend_trail(trail, entry.digest, entry.signer)
        assert trail == session.trail
        attempt = Attempt(session.attempt + 1)
        self.ledger.emit(
            RouteOpened(anchor.query, attempt, Hop(anchor.hop + 1), route, notes),
            QueryResumed(anchor.query, attempt, anchor.attempt, anchor.hop),
        )

    def complain(self, complaint: Complaint, salt: Digest, next_route: Digest, signature: bytes) -> None:
        complaint = replace(complaint, kind=ComplaintKind(complaint.kind))  # as an event tells it
        self.calls.append(f"complain {complaint.query} {complaint.hop} {complaint.kind.name}")
        session = self._session(complaint.query, QueryPhase.ROUTED, QueryPhase.COMPUTED)
        signer = recover_signer(DOMAIN, complaint, signature)
        assert (complaint.hop, complaint.trail) == (session.next_hop, session.trail)
        if session.phase is QueryPhase.ROUTED:
            assert route_link(signer, salt, next_route) == session.route
        trail = extend_trail(complaint.trail, message_digest(DOMAIN, complaint), signer)
        self.ledger.emit(EnvelopeDisputed(complaint, signer, salt, next_route, signature, trail))

    def judge(self, verdict: Verdict, signature: bytes) -> None:
        self.calls.append(f"judge {verdict.query} {verdict.sender_guilty} {verdict.receiver_guilty}")
        session = self._session(verdict.query, QueryPhase.DISPUTED)
        assert (verdict.hop, verdict.trail) == (session.next_hop, session.trail)
        trail = extend_trail(verdict.trail, message_digest(DOMAIN, verdict), self.ouroboros)
        self.ledger.emit(VerdictPosted(verdict, signature, trail))

    def time_out(self, query: QueryId) -> None:
        self.calls.append(f"time_out {query}")
        session = self._session(query, QueryPhase.ROUTED)
        self.ledger.emit(HopTimedOut(query, session.attempt, session.next_hop, 0))

    def post_update(self, signed: SignedUpdate) -> None:
        update = signed.update
        self.calls.append(f"post_update {update.query} {update.hop}")
        session = self._session(update.query, QueryPhase.ROUTED)
        if update.hop != session.next_hop:
            raise LedgerReverted("UnexpectedHop", {"expected": session.next_hop, "actual": update.hop})
        signer = recover_signer(DOMAIN, update, signed.signature)
        if update.trail != session.trail or route_link(signer, signed.salt, signed.next_route) != session.route:
            raise LedgerReverted("UnexpectedSigner", {"hop": update.hop})
        trail = extend_trail(update.trail, message_digest(DOMAIN, update), signer)
        violations = self._violations(session, Hop(update.hop), update.output) if update.hop else []
        self.ledger.emit(UpdatePosted(signed, signer, trail), *violations)

    def deliver(self, delivery: Delivery, signature: bytes) -> None:
        self.calls.append(f"deliver {delivery.query}")
        session = self._session(delivery.query, QueryPhase.COMPUTED)
        trail = extend_trail(delivery.trail, message_digest(DOMAIN, delivery), self.ouroboros)
        event = AnswerDelivered(delivery.query, delivery.attempt, delivery.answer, delivery.output, signature, trail)
        self.ledger.emit(event, *self._violations(session, Hop(session.hops), delivery.output))

    def _violations(self, session: Session, hop: Hop, actual: Digest) -> list[Event]:
        expected = session.updates[Hop(hop - 1)].signed.update.next_output
        return [] if actual == expected else [OutputDisputed(session.query, session.attempt, hop, expected, actual)]

    def _session(self, query: QueryId, *expected: QueryPhase) -> Session:
        session = self.ledger.state.sessions[query]
        if session.phase not in expected:
            raise LedgerReverted("UnexpectedPhase", {"expected": expected[0], "actual": session.phase})
        return session
