"""Routes (protocol 5.2): who signs which hop of an attempt, committed on the ledger and told in sealed notes."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.draws import RouteDraw
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.keeper import BlobKeeper
from deepring_chain.crypto.digest import hop_key
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.protocol.events import EnvelopeDisputed, UpdatePosted
from deepring_chain.protocol.history import entries_after
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.route import RouteNote, build_route, route_context
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.types import (
    NO_BLOB,
    Address,
    ArrangementId,
    Attempt,
    ComplaintKind,
    Digest,
    Hop,
    OutputCommitment,
    QueryPhase,
    RouteLink,
    SealingKey,
)

LOG = logging.getLogger(__name__)


def route_signers(seats: Sequence[Address], roster: Roster) -> tuple[Address, ...]:
    """Who signs each hop: hop 0 the ouroboros, hop i the worker of layer i that is seated."""
    by_layer = {roster.layer_of(seat): seat for seat in seats}
    return tuple(by_layer[layer] for layer in range(len(by_layer)))


class Router:
    """Draws and opens the routes of all queries.

    Args:
        member: the ouroboros's keys and connections.
        roster: which layer each worker serves.
        inputs: tells what honest hops commit to.
    """

    def __init__(self, member: Member, roster: Roster, inputs: QueryInputs) -> None:
        self._member = member
        self._roster = roster
        self._inputs = inputs

    def open_next(self, session: Session) -> None:
        """Opens the next attempt: from hop 0, or from the last accepted output that its receiver can still read."""
        attempt = Attempt(session.attempt + 1)
        key = self._key(session, attempt, self._member.arranged().arranged.arrangement)
        draw = RouteDraw.decode(self._member.journal.record_once(key, lambda: self._draw(session, attempt).encode()))
        link, shown = self.links(draw)[0], self._member.shown(session)
        if draw.first_hop == 0:
            items = self._items(session)
            self._member.client.open_route(session.query, shown, link, draw.notes, items)
        else:
            anchor = session.updates[Hop(draw.first_hop - 1)]
            later = entries_after(self._member.client.domain, self._member.keys.address, session, anchor)
            update, signer = anchor.signed.update, anchor.signer
            self._member.client.resume_route(shown, update, signer, later, link, draw.notes)
        LOG.info("query %d: attempt %d opened at hop %d", session.query, attempt, draw.first_hop)

    def draw_of(self, session: Session, attempt: Attempt | None = None) -> RouteDraw:
        """The draw of an attempt that was opened, by default of the one that runs.

        Raises:
            ConfigError: the journal does not have it.
        """
        attempt = session.attempt if attempt is None else attempt
        drawn = self._member.journal.read(self._key(session, attempt, session.arrangements[attempt]))
        if drawn is None:
            raise ConfigError(
                f"query {session.query}: the journal has no route for attempt {attempt}; restore the ouroboros's folder"
            )
        return RouteDraw.decode(drawn)

    def signer_due(self, session: Session) -> Address | None:
        """Whose turn it is: this account's after the last hop; None if no hop is due."""
        if session.phase is QueryPhase.COMPUTED:
            return self._member.keys.address
        return self.draw_of(session).signers[session.next_hop] if session.phase is QueryPhase.ROUTED else None

    def links(self, draw: RouteDraw) -> list[RouteLink]:
        """The route's links, from the attempt's first hop on."""
        return build_route(draw.signers[draw.first_hop :], draw.salts)

    def failures(self) -> Counter[Address]:
        """How often each worker failed in a query, by verdict or by timeout."""
        found: Counter[Address] = Counter()
        for session in self._member.state.sessions.values():
            for fault in session.faults:
                if fault.hop < session.hops:
                    found[self._failed(session, fault)] += 1
        return found

    def _failed(self, session: Session, fault: Fault) -> Address:
        """Who served the faulty hop: not always who is on the attempt's route, which may begin after that hop."""
        draw = self.draw_of(session, fault.attempt)
        if fault.signer is not None and fault.hop < draw.first_hop:
            return fault.signer
        return draw.signers[fault.hop]

    # ------------------------------------------------------------------ drawing

    def _key(self, session: Session, attempt: Attempt, arrangement: ArrangementId) -> str:
        return f"route/{session.query}/{attempt}/{arrangement}/{session.sealed_input.hex()}"

    def _draw(self, session: Session, attempt: Attempt) -> RouteDraw:
        signers = self._signers()
        keys = tuple(self._attested_key(signer) for signer in signers)
        # What another version of the model computed is no output to go on from.
        is_same_model = session.model_version == self._member.arranged().arranged.model_version
        first_hop = self._first_hop(session, signers) if attempt > 1 and is_same_model else Hop(0)
        salts = tuple(Digest(secrets.token_bytes(32)) for _ in signers[first_hop:])
        commitment_key = Digest(secrets.token_bytes(32))
        if attempt > 1:
            commitment_key = self.draw_of(session, Attempt(1)).commitment_key
        bare = RouteDraw(first_hop, signers, keys, salts, commitment_key, NO_BLOB)
        hops = [Hop(hop) for hop in range(max(1, first_hop), len(signers))]
        links = self.links(bare)
        items = self._items(session)
        notes = [(keys[hop], self._note(bare, links, session, hop, items).encode()) for hop in hops]
        info = route_context(self._member.client.domain, session.query, attempt)
        keeper = BlobKeeper(self._member)
        blob = keeper.put_for_query(session.query, lambda: seal_notes(notes, info, self._member.rng))
        return replace(bare, notes=blob)

    def _items(self, session: Session) -> int:
        """How many items were asked: the first route tells the ledger, and every hop signs for it."""
        return self._inputs.input_of(session).shape[0]

    def _signers(self) -> tuple[Address, ...]:
        return route_signers(self._member.arranged().arranged.seats, self._roster)

    @staticmethod
    def _note(draw: RouteDraw, links: Sequence[RouteLink], session: Session, hop: Hop, items: int) -> RouteNote:
        key = draw.commitment_key
        before = draw.signers[hop - 1]
        if hop == draw.first_hop:
            before = session.updates[Hop(hop - 1)].signer
        return RouteNote(
            hop=hop,
            items=items,
            salt=draw.salts[hop - draw.first_hop],
            next_route=links[hop - draw.first_hop + 1],
            predecessor=before,
            next_sealing_key=draw.keys[(hop + 1) % len(draw.keys)],
            previous_key=hop_key(key, Hop(hop - 1)),
            own_key=hop_key(key, hop),
            next_key=hop_key(key, Hop(hop + 1)),
        )

    def _attested_key(self, member: Address) -> SealingKey:
        key = self._member.arranged().sealing_key_of(member)
        if key is None:
            raise ProtocolError(f"{member} has not attested in this arrangement")
        return key

    # ------------------------------------------------------------------ resuming

    def _first_hop(self, session: Session, signers: tuple[Address, ...]) -> Hop:
        """Where to go on: as late as possible, but every envelope that is used must be good, and its reader the same.

        A fault at hop k repeats hop k alone; hop k - 1 too where its envelope must be sealed anew, and so on back.
        """
        truth = self._inputs.commitments_of(session, self.draw_of(session, Attempt(1)).commitment_key)
        hop = min(session.next_hop, len(signers) - 1)
        while hop > 0 and not self._can_begin_at(session, Hop(hop), signers, truth):
            hop -= 1
        return Hop(hop)

    def _can_begin_at(
        self, session: Session, hop: Hop, signers: tuple[Address, ...], truth: Sequence[OutputCommitment]
    ) -> bool:
        anchor = session.updates.get(Hop(hop - 1))
        if anchor is None or self._is_refuted(session, anchor):
            return False
        update = anchor.signed.update
        # Two neighbors may have agreed on a wrong value: no attempt goes on from it once it is known.
        if (update.output, update.next_output) != (truth[hop - 1], truth[hop]):
            return False
        receiver = self.draw_of(session, update.attempt).signers[hop]
        return receiver == signers[hop] and self._member.store.has_good(update.envelope)

    def _is_refuted(self, session: Session, anchor: UpdatePosted) -> bool:
        """Whether the sender of `anchor` was found guilty for this very entry, or its receiver cannot read it.

        A receiver that complained of a good envelope may have lost its key: it gets the next one sealed anew. So does
        one that missed it twice: a store may hide a blob from some of its readers.
        """
        update = anchor.signed.update
        guilty = any(
            fault.kind is FaultKind.GUILTY and fault.hop == update.hop and fault.attempt >= update.attempt
            for fault in session.faults
        )
        dispute = session.dispute
        unread = (
            isinstance(dispute, EnvelopeDisputed)
            and dispute.complaint.kind in {ComplaintKind.UNREADABLE, ComplaintKind.ALTERED}
            and dispute.complaint.hop == update.hop + 1
            and dispute.complaint.attempt >= update.attempt
        )
        missed = [
            fault
            for fault in session.faults
            if (fault.hop, fault.kind) == (update.hop + 1, FaultKind.UNSETTLED) and fault.attempt >= update.attempt
        ]
        return guilty or unread or len(missed) > 1
