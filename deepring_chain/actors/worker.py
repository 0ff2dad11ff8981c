"""A worker: one block of the ring, serving one layer and validating the next (paper 3.2, 3.4.2)."""

from __future__ import annotations

import logging

import torch

from deepring_chain.actors.member import Member
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import ProtocolError
from deepring_chain.model.layer import Layer, run_layer
from deepring_chain.protocol.envelope import hop_context, open_output, seal_output
from deepring_chain.protocol.notes import open_note
from deepring_chain.protocol.route import RouteNote, route_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import decode_signed_update, encode_signed_update, next_update, sign_update
from deepring_chain.protocol.validation import check_received
from deepring_chain.types import Attempt, Digest, Hop, QueryId, QueryPhase, RingMode, SignedUpdate, TensorBytes

LOG = logging.getLogger(__name__)


class Worker:
    """Acts on the ledger's events: attests when seated, computes when it is its turn, and never signs twice."""

    def __init__(self, member: Member, own: Layer, following: Layer, device: torch.device) -> None:
        self._member = member
        self._own = own
        self._following = following
        self._device = device
        self._notes: dict[tuple[QueryId, Attempt], RouteNote | None] = {}

    def act(self) -> bool:
        """Does everything that is due now; returns whether it did anything."""
        acted = self._attest_if_due()
        if self._member.state.mode is not RingMode.QUERY:
            return acted
        for session in self._member.state.open_sessions():
            acted = self._take_turn(session) or acted
        return acted

    def _attest_if_due(self) -> bool:
        position = self._member.seat_due()
        if position is None:
            return False
        challenge = self._member.read_challenge(position)
        self._member.attest(position, challenge, self._own.content(), self._following.content())
        return True

    def _take_turn(self, session: Session) -> bool:
        if session.phase is not QueryPhase.ROUTED or session.next_hop == 0:
            return False
        note = self._note(session)
        if note is None or note.hop != session.next_hop:
            return False
        key = f"update/{session.query}/{session.attempt}/{session.next_hop}/{session.trail.hex()}"
        recorded = self._member.journal.record_once(key, lambda: encode_signed_update(self._execute(session, note)))
        self._post(decode_signed_update(recorded))
        return True

    def _note(self, session: Session) -> RouteNote | None:
        place = (session.query, session.attempt)
        if place not in self._notes:
            info = route_context(self._member.client.domain, session.query, session.attempt)
            key = self._member.sealing_key(session.arrangement)
            opened = open_note(self._member.store.get(session.notes), key, info)
            self._notes[place] = RouteNote.decode(opened) if opened is not None else None
        return self._notes[place]

    def _execute(self, session: Session, note: RouteNote) -> SignedUpdate:
        received = self._receive(session, note)
        output = run_layer(self._own, received, self._device)
        following = run_layer(self._following, output, self._device)
        envelope = self._send_output(session, note, output)
        update = next_update(
            session, envelope, commit_output(note.own_key, output), commit_output(note.next_key, following)
        )
        domain = self._member.client.domain
        return sign_update(self._member.keys.account, domain, update, note.salt, note.next_route)

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        """Opens what the layer before sent (eq. 9-11), and holds it against its commitment."""
        previous_hop = Hop(note.hop - 1)
        previous = session.updates[previous_hop]
        if previous.signer != note.predecessor:
            raise ProtocolError(f"query {session.query}, hop {previous_hop}: {previous.signer} is not its layer")
        update = previous.signed.update
        place = hop_context(self._member.client.domain, session.query, update.attempt, previous_hop)
        key = self._member.sealing_key(session.arrangement)
        received = open_output(key, self._member.store.get(update.envelope), place)
        check_received(session.query, previous_hop, received, note.previous_key, update.output)
        return received

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Digest:
        place = hop_context(self._member.client.domain, session.query, session.attempt, note.hop)
        return self._member.store.put(seal_output(note.next_sealing_key, output, place))

    def _post(self, signed: SignedUpdate) -> None:
        place = signed.update
        try:
            self._member.client.post_update(signed)
        except LedgerReverted as refusal:
            # Somebody else carried the same signed update to the ledger: it is there, and that is all that counts.
            if refusal.name not in {"UnexpectedHop", "UnexpectedPhase"}:
                raise
        LOG.info("query %d: hop %d posted", place.query, place.hop)
