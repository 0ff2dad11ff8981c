"""A ledger in memory: it keeps the contract's rules that the actors lean on, and can be set back like a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepring_chain.chain.client import BlockPlace
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import message_digest, recover_signer
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    Event,
    LoggedEvent,
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    QuerySubmitted,
    RingArranged,
    RouteOpened,
    UpdatePosted,
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
    Delivery,
    Digest,
    Domain,
    Hop,
    QueryId,
    QueryPhase,
    RejectReason,
    SignedUpdate,
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
        events: list[Event] = [
            BlockHashed(place, type(newest.position)(seat), hashes[seat]) for seat in range(done, len(hashes))
        ]
        if len(hashes) == len(current.arranged.seats):
            recorded = current.arranged.recorded_hash
            events.append(AuthenticityDerived(place, hashes[-1] == recorded, recorded, hashes[-1]))
        return events

    def submit_query(self, sealed_input: Digest, sealing_key: Digest) -> tuple[QueryId, None]:
        self.calls.append("submit_query")
        query = QueryId(len(self.ledger.state.sessions) + 1)
        trail = start_trail(query, self.account, sealed_input, sealing_key)
        self.ledger.emit(QuerySubmitted(query, self.account, sealed_input, sealing_key, trail))
        return query, None

    def reject_query(self, query: QueryId, reason: RejectReason) -> None:
        self.calls.append(f"reject_query {query} {reason.name}")
        self._session(query, QueryPhase.SUBMITTED)
        self.ledger.emit(QueryRejected(query, reason))

    def open_route(self, query: QueryId, route: Digest, notes: Digest) -> None:
        self.calls.append(f"open_route {query}")
        self._session(query, QueryPhase.SUBMITTED)
        self.ledger.emit(RouteOpened(query, Attempt(1), Hop(0), route, notes))

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

    def _session(self, query: QueryId, expected: QueryPhase) -> Session:
        session = self.ledger.state.sessions[query]
        if session.phase is not expected:
            raise LedgerReverted("UnexpectedPhase", {"expected": expected, "actual": session.phase})
        return session
