"""A worker: one block of the ring, serving one layer and validating the next (paper 3.2, 3.4.2)."""

from __future__ import annotations

import logging
import threading

import torch

from deepring_chain.actors.lanes import QueryLanes, Step
from deepring_chain.actors.leaves import LeafSender
from deepring_chain.actors.member import Member
from deepring_chain.actors.threads import beside
from deepring_chain.actors.worker.block import Block, BlockLayers
from deepring_chain.actors.worker.outbox import Outbox
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.model.layer import Layer, check_input, run_layer
from deepring_chain.protocol.envelope import hop_context, open_content, seal_content, seal_output
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.notes import open_notes
from deepring_chain.protocol.restore import RestoreNote, complaint_context, restore_context
from deepring_chain.protocol.route import RouteNote, route_context, route_link
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import decode_signed_update, encode_signed_update, next_update, sign_update
from deepring_chain.protocol.validation import UnexpectedOutput
from deepring_chain.store.content import BlobFault
from deepring_chain.telemetry.metrics import Phase
from deepring_chain.types import (
    Attempt,
    Challenge,
    Complaint,
    ComplaintKind,
    Digest,
    Hop,
    OutputCommitment,
    Pointer,
    Position,
    QueryId,
    QueryPhase,
    RingMode,
    SignedUpdate,
    TensorBytes,
)

LOG = logging.getLogger(__name__)

REPORT_BYTES = 256
"""Longest report on a restore that the ledger takes."""

Place = tuple[QueryId, Attempt, Digest]
"""Of a route note: after a reorganization the notes of an attempt are others."""


def _place(session: Session) -> Place:
    return session.query, session.attempt, session.notes


class Worker:
    """Acts on the ledger's events: attests when seated, computes when it is its turn, and never signs twice.

    Args:
        member: keys and connections.
        block: its parameters.
        device: where layers are computed.

    Attributes:
        lanes: where its queries' steps run.
    """

    def __init__(self, member: Member, block: Block, device: torch.device) -> None:
        self._member = member
        self._block = block
        self._device = device
        self._notes: dict[Place, tuple[RouteNote, ...]] = {}
        self._open: set[QueryId] | None = None
        self._computing = threading.Lock()
        self.lanes = QueryLanes(member.metrics)
        self._leaves = LeafSender(member)
        self._outbox = Outbox(block.folder / "outbox" / member.client.domain.ledger)

    def act(self) -> bool:
        """Does everything that is due now, or begins it; returns whether there was anything."""
        acted = False
        sessions = self._member.open_sessions()
        for session in sessions:
            step = self._due_step(session)
            acted = (step is not None and self.lanes.run(session, step)) or acted
        self._forget_ended({session.query for session in sessions})
        # Last: whoever takes the notes away must not keep this block from putting back what a referee waits for.
        return self._attest_if_due() or acted

    def _due_step(self, session: Session) -> Step | None:
        """What this worker has to do for a query, as far as the ledger and the notes that are open tell."""
        if session.phase is QueryPhase.DISPUTED:
            return self._put_back if self._owed(session) is not None else None
        if session.phase is not QueryPhase.ROUTED or self._member.state.mode is not RingMode.QUERY:
            return None
        if self._member.posting.is_stuck(session):
            return self._member.posting.settle_first
        if session.next_hop == 0:
            return None if _place(session) in self._notes else self._read_notes
        return None if self._is_anothers(session) else self._take_turn

    def _is_anothers(self, session: Session) -> bool:
        """Whether the hop is known to be another worker's; before the note is opened it may be this one's."""
        notes = self._notes.get(_place(session))
        return notes is not None and all(note.hop != session.next_hop for note in notes)

    # ------------------------------------------------------------------ attestation and restore

    def _attest_if_due(self) -> bool:
        position = self._member.seat_due()
        if position is None:
            return False
        if self._leaves.is_waiting(position):
            return self._leaves.post_if_left_out()
        if self._member.arranged().round_of(position) > 0:
            challenge = self._restore(position)
        else:
            challenge = self._member.read_challenge(position)
        self._leaves.hand_in(self._member.sign_leaf(position, challenge, *self._block.contents()))
        return True

    def _restore(self, position: Position) -> Challenge:
        """Takes the parameters that the ouroboros sent, names what had changed, and gets the fresh challenge."""
        current = self._member.arranged()
        order = current.restores[position]
        place = restore_context(self._member.client.domain, order.arrangement, position, order.round)
        blob = self._member.store.get(order.parameters)
        note = RestoreNote.decode(open_content(self._member.keys.sealing, blob, place))
        # Recorded before the restore: after it nothing tells what had changed, should this process be killed meanwhile.
        key = f"changed/{order.arrangement}/{position}/{order.round}"
        text = self._member.journal.record_once(key, lambda: self._name_changes().encode()).decode()
        self._block.restore(note.parameters)
        self._member.metrics.restored()
        LOG.error("restored; changed: %s", text)
        if not any((report.position, report.round) == (position, order.round) for report in current.reports):
            self._report(position, text)
        return note.challenge

    def _name_changes(self) -> str:
        """What the report says; a damaged file's names may hold any characters, and the ledger counts bytes."""
        text = ", ".join(self._block.changed_tensors()) or "nothing"
        return text.encode(errors="replace")[:REPORT_BYTES].decode(errors="ignore")

    def _report(self, position: Position, text: str) -> None:
        try:
            self._member.client.report_restore(position, text)
        except LedgerReverted as refusal:
            if refusal.name != "NothingToReport":
                raise

    # ------------------------------------------------------------------ one hop

    def _take_turn(self, session: Session) -> bool:
        note = self._note_due(session)
        if note is None:
            return False
        if self._block.layers is None:
            # Not the sender's fault, but nothing else tells the ouroboros at once that a restore is needed.
            self._complain(session, note, ComplaintKind.UNABLE, "own parameters are damaged")
            return True
        with self._member.metrics.timings.turn(session.query, session.attempt, note.hop):
            return self._serve_hop(session, note, self._block.layers)

    def _serve_hop(self, session: Session, note: RouteNote, layers: BlockLayers) -> bool:
        key = f"update/{session.query}/{session.attempt}/{session.next_hop}/{session.trail.hex()}"
        recorded = self._member.journal.read(key)
        if recorded is None:
            signed = self._compute_turn(session, note, layers)
            if signed is None:
                return False
            made = encode_signed_update(signed)
            recorded = self._member.journal.record_once(key, lambda: made)
        with self._member.metrics.phase(Phase.POST):
            is_posted = self._member.posting.hand_in(session, decode_signed_update(recorded))
        if is_posted:
            LOG.info("query %d: hop %d posted", session.query, note.hop)
        return True

    def _compute_turn(self, session: Session, note: RouteNote, layers: BlockLayers) -> SignedUpdate | None:
        """The signed update; None if what the hop before sent is unusable, after a complaint."""
        try:
            received = self._receive(session, note)
            check_input(layers.own, received)
        except BlobFault as error:
            self._complain(session, note, ComplaintKind.MISSING, str(error))
        except UnexpectedOutput as error:
            self._complain(session, note, ComplaintKind.ALTERED, str(error))
        except (ProtocolError, ModelError) as error:
            # The second: two neighbors agreed on a tensor that no layer can take, and would let this one time out.
            self._complain(session, note, ComplaintKind.UNREADABLE, str(error))
        else:
            return self._execute(session, note, received, layers)
        return None

    def _read_notes(self, session: Session) -> bool:
        """Opens the route's notes while the ouroboros enters the input: later the query would wait for that."""
        self._notes_of(session)
        return False

    def _note_due(self, session: Session) -> RouteNote | None:
        """The note for the hop that is due, if it is this block's turn: its signature opens the ledger's route link.

        A neighbor that attests this block's sealing key as its own has its notes sealed to it, too. A note that tells
        another number of items than the ledger is none either: an update signed for that many would be refused.
        """
        me, due = self._member.keys.address, (session.next_hop, session.items)
        for note in self._notes_of(session):
            if (note.hop, note.items) == due and route_link(me, note.salt, note.next_route) == session.route:
                return note
        return None

    def _notes_of(self, session: Session) -> tuple[RouteNote, ...]:
        place = _place(session)
        if place not in self._notes:
            info = route_context(self._member.client.domain, session.query, session.attempt)
            key = self._member.sealing_key(session.arrangement)
            opened = open_notes(self._member.store.get(session.notes), key, info)
            self._notes[place] = tuple(RouteNote.decode(note) for note in opened)
        return self._notes[place]

    def _receive(self, session: Session, note: RouteNote) -> TensorBytes:
        """Opens what the layer before sent (eq. 9-11), and holds it against its commitment."""
        hop = Hop(note.hop - 1)
        previous = session.updates[hop]
        if previous.signer != note.predecessor:
            raise ProtocolError(f"query {session.query}, hop {hop}: {previous.signer} is not its layer")
        update = previous.signed.update
        key = self._member.sealing_key(session.arrangements[update.attempt])
        return self._member.read_output(update, key, note.previous_key, note.items)

    def _execute(self, session: Session, note: RouteNote, received: TensorBytes, layers: BlockLayers) -> SignedUpdate:
        output = self._run_layer(layers.own, received)
        # The envelope is sealed and written while the next layer is computed; nothing is signed before both are done.
        with beside(lambda: self._send_output(session, note, output)) as sent:
            following = self._run_layer(layers.following, output)
            commitments = self._commitments(note, output, following)
        update = next_update(session, sent.result(), *commitments)
        self._member.metrics.computed_hop()
        domain = self._member.client.domain
        return sign_update(self._member.keys.account, domain, update, note.salt, note.next_route)

    def _run_layer(self, layer: Layer, tensor: TensorBytes) -> TensorBytes:
        """One layer at a time: queries that compute side by side would only take each other's cores."""
        with self._computing, self._member.metrics.phase(Phase.COMPUTE):
            return run_layer(layer, tensor, self._device)

    def _commitments(
        self, note: RouteNote, output: TensorBytes, following: TensorBytes
    ) -> tuple[OutputCommitment, OutputCommitment]:
        """O_i's own commitment, and H_i (eq. 8)."""
        return commit_output(note.own_key, output), commit_output(note.next_key, following)

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        place = hop_context(self._member.client.domain, session.query, session.attempt, note.hop)

        def seal() -> bytes:
            return seal_output(note.next_sealing_key, output, place)

        with self._member.metrics.phase(Phase.SEAL):
            envelope = seal()
        with self._member.metrics.phase(Phase.STORE):
            digest, envelope = self._member.store.put_sealed(envelope, seal)
            self._outbox.keep(session.query, digest, envelope)
        return digest

    # ------------------------------------------------------------------ disputes

    def _complain(
        self, session: Session, note: RouteNote, kind: ComplaintKind, reason: str, key: bytes | None = None
    ) -> None:
        """Disputes what the hop before sent, and shows the ouroboros the key with which to see for itself."""
        if self._member.posting.settle_first(session):
            return  # The ledger takes a complaint of what it knows; the next look finds the same reason.
        LOG.error("query %d: hop %d: %s; complaint posted", session.query, note.hop - 1, reason)
        place = f"complaint/{session.query}/{session.attempt}/{session.trail.hex()}"
        complaint, signature = self._member.sign_once(
            place, lambda: self._make_complaint(session, note, kind, key), Complaint
        )
        self._member.client.complain(self._member.shown(session), complaint, note.salt, note.next_route, signature)
        self._member.metrics.complained(kind)

    def _make_complaint(self, session: Session, note: RouteNote, kind: ComplaintKind, key: bytes | None) -> Complaint:
        sent = session.updates[Hop(note.hop - 1)].signed.update
        revealed = key or self._member.sealing_key(session.arrangements[sent.attempt]).private_bytes_raw()
        place = complaint_context(self._member.client.domain, session.query, session.attempt, note.hop)
        owner = self._member.state.sealing_keys[self._member.client.ouroboros]

        def seal() -> bytes:
            return seal_content(owner, revealed, place)

        evidence, blob = self._member.store.put_sealed(seal(), seal)
        self._outbox.keep(session.query, evidence, blob)
        return Complaint(session.query, session.attempt, note.hop, kind, evidence, session.trail)

    def _owed(self, session: Session) -> Pointer | None:
        """What the referee of a disputed envelope needs of this block: its envelope, or its complaint's evidence.

        Whatever the complaint says: a recipient may delete what it then calls unreadable, and a sender the evidence.
        """
        dispute, sent = session.dispute, session.updates.get(Hop(session.next_hop - 1))
        if sent is None or not isinstance(dispute, EnvelopeDisputed):
            return None
        if sent.signer == self._member.keys.address:
            return sent.signed.update.envelope
        return dispute.complaint.evidence if dispute.recipient == self._member.keys.address else None

    def _put_back(self, session: Session) -> bool:
        """Puts that back into the store, if it is gone."""
        owed = self._owed(session)
        blob = None if owed is None else self._outbox.fetch(session.query, owed)
        if owed is None or blob is None or self._member.store.has_good(owed):
            return False
        self._member.store.put(blob)
        LOG.warning("query %d: the store had lost %s; put back", session.query, owed.hex())
        return True

    def _forget_ended(self, open_now: set[QueryId]) -> None:
        """Drops notes and envelopes of queries that need them no more; also those from before a restart."""
        self.lanes.keep_only(open_now)
        if open_now == self._open:
            return
        self._open = open_now
        for place in [place for place in list(self._notes) if place[0] not in open_now]:
            self._notes.pop(place, None)
        self._outbox.keep_only(open_now)
