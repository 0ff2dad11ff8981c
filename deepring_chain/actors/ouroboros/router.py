"""Draws and opens the routes that `protocol.decide.routing` decides on, and seals the notes that tell of them."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from dataclasses import replace

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.keeper import BlobKeeper
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.protocol.decide.routing import (
    Begin,
    Drawn,
    LookFor,
    ReadRoute,
    Recompute,
    Resumption,
    anchor_of,
    counted_faults,
    draw_route,
    due_signer,
    next_action,
    route_links,
    route_notes,
    route_signers,
    who_failed,
)
from deepring_chain.protocol.draws import RouteDraw
from deepring_chain.protocol.history import entries_after
from deepring_chain.protocol.notes import seal_notes
from deepring_chain.protocol.roster import Roster
from deepring_chain.protocol.route import route_context
from deepring_chain.protocol.session import Session
from deepring_chain.types import Address, ArrangementId, Attempt, Digest, Hop, SealingKey

LOG = logging.getLogger(__name__)


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
        link, shown, anchor = route_links(draw)[0], self._member.shown(session), anchor_of(session, draw)
        if anchor is None:
            self._member.client.open_route(session.query, shown, link, draw.notes, self._items(session))
        else:
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
        me, draw = self._member.keys.address, None
        while isinstance(due := due_signer(session, me, draw), ReadRoute):
            draw = self.draw_of(session)
        return due

    def failures(self) -> Counter[Address]:
        """How often each worker failed in a query, by verdict or by timeout."""
        found: Counter[Address] = Counter()
        for session in self._member.state.sessions.values():
            for fault in counted_faults(session):
                found[who_failed(fault, self.draw_of(session, fault.attempt))] += 1
        return found

    # ------------------------------------------------------------------ drawing

    def _key(self, session: Session, attempt: Attempt, arrangement: ArrangementId) -> str:
        return f"route/{session.query}/{attempt}/{arrangement}/{session.sealed_input.hex()}"

    def _draw(self, session: Session, attempt: Attempt) -> RouteDraw:
        signers = self._signers()
        keys = tuple(self._attested_key(signer) for signer in signers)
        salts = tuple(Digest(secrets.token_bytes(32)) for _ in signers)
        drawn = Drawn(keys, salts, Digest(secrets.token_bytes(32)))
        first = self.draw_of(session, Attempt(1)) if attempt > 1 else None
        bare = draw_route(self._first_hop(session, attempt, signers), signers, drawn, first)
        notes = [(key, note.encode()) for key, note in route_notes(bare, session, self._items(session))]
        info = route_context(self._member.client.domain, session.query, attempt)
        keeper = BlobKeeper(self._member)
        blob = keeper.put_for_query(session.query, lambda: seal_notes(notes, info, self._member.rng))
        return replace(bare, notes=blob)

    def _first_hop(self, session: Session, attempt: Attempt, signers: tuple[Address, ...]) -> Hop:
        version = self._member.arranged().arranged.model_version
        used = {posted.signed.update.attempt for posted in session.updates.values()}
        routes = {each: self.draw_of(session, each).signers for each in used}
        resumption = Resumption(session, attempt, version, signers, routes)
        while not isinstance(action := next_action(resumption), Begin):
            resumption = self._answer(resumption, action)
        return action.hop

    def _answer(self, resumption: Resumption, question: Recompute | LookFor) -> Resumption:
        match question:
            case Recompute():
                key = self.draw_of(resumption.session, Attempt(1)).commitment_key
                return replace(resumption, truth=tuple(self._inputs.commitments_of(resumption.session, key)))
            case LookFor(blob):
                is_good = self._member.store.has_good(blob)
                return replace(resumption, looked={**resumption.looked, blob: is_good})

    def _items(self, session: Session) -> int:
        """How many items were asked: the first route tells the ledger, and every hop signs for it."""
        return self._inputs.input_of(session).shape[0]

    def _signers(self) -> tuple[Address, ...]:
        seats = self._member.arranged().arranged.seats
        return route_signers({seat: self._roster.layer_of(seat) for seat in seats})

    def _attested_key(self, member: Address) -> SealingKey:
        key = self._member.arranged().sealing_key_of(member)
        if key is None:
            raise ProtocolError(f"{member} has not attested in this arrangement")
        return key
