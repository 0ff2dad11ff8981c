"""How the ouroboros does what `protocol.decide.judging` decides: looks, computes, opens, signs, stores the evidence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.inputs import QueryInputs, commit_all
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.crypto.digest import hop_key
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.judging import (
    Case,
    Deed,
    Judge,
    Opened,
    OpenEnvelope,
    Post,
    Question,
    Recall,
    Recalled,
    Reveal,
    Revealed,
    TakeOwnKey,
    Truth,
    Wait,
    next_action,
)
from deepring_chain.protocol.decide.routing import LookFor, Recompute
from deepring_chain.protocol.envelope import open_content, query_context, unwrap_key
from deepring_chain.protocol.evidence import Evidence, seal_shared
from deepring_chain.protocol.restore import complaint_context, verdict_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import decode_entry
from deepring_chain.protocol.validation import check_form
from deepring_chain.store.content import BlobFault
from deepring_chain.types import (
    Attempt,
    Complaint,
    ComplaintKind,
    Pointer,
    QueryId,
    SealingKey,
    TrailHash,
    Verdict,
)

LOG = logging.getLogger(__name__)


class Referee:
    """Judges disputed edges by what honest blocks make of the query's own input.

    It takes nobody's word: every output up to the edge is computed anew from the input with the checkpoint, so that two
    neighbors who agreed on a wrong value are found too (docs/adr/0006).

    Args:
        member: the ouroboros's keys and connections.
        router: knows the commitment keys and the receivers' sealing keys.
        inputs: opens the queries' inputs, and tells what honest blocks make of them.
        clock: seconds; for how long a missing blob is awaited.
        auditors: X25519 keys of those who may read the evidence beside the owner, asked for anew at each verdict.
    """

    def __init__(
        self,
        member: Member,
        router: Router,
        inputs: QueryInputs,
        clock: Callable[[], float] = time.monotonic,
        auditors: Callable[[], Sequence[SealingKey]] = tuple,
    ) -> None:
        self._member = member
        self._auditors = auditors
        self._router = router
        self._inputs = inputs
        self._clock = clock
        self._since: dict[tuple[QueryId, TrailHash], float] = {}

    def waited(self, session: Session) -> float:
        """Seconds since a dispute was first seen. For the actor's loop, as `keep_only` is."""
        now = self._clock()
        return now - self._since.setdefault((session.query, session.trail), now)

    def act(self, session: Session, waited: float) -> bool:
        """Posts the verdict on a disputed query, once it can be given."""
        return self._do(session, self._pursue(Case(session, waited)))

    def keep_only(self, queries: set[QueryId]) -> None:
        """Forgets since when other queries' envelopes are awaited: they have ended."""
        self._since = {place: since for place, since in self._since.items() if place[0] in queries}

    def _pursue(self, case: Case) -> Deed:
        """Finds out what the case needs; returns what is due then."""
        while isinstance(action := next_action(case), Question):
            case = self._answer(case, action)
        return action

    def _do(self, session: Session, deed: Deed) -> bool:
        match deed:
            case Wait():
                return False
            case Post(verdict, signature):
                return self._post(session, verdict, signature)
            case Judge():
                key = _verdict_key(session)
                signed = self._member.sign_once(key, lambda: self._make_verdict(session, deed), Verdict)
                return self._post(session, *signed)

    def _answer(self, case: Case, question: Question) -> Case:
        session = case.session
        match question:
            case LookFor(blob):
                return replace(case, looked={**case.looked, blob: self._member.store.has_good(blob)})
            case Recall():
                return replace(case, recalled=self._recall(session))
            case Recompute():
                return replace(case, truth=self._recompute(session))
            case Reveal(complaint, attempt):
                return replace(case, revealed=self._reveal(session, complaint, attempt))
            case TakeOwnKey(attempt):
                key = self._member.sealing_key(session.arrangements[attempt])
                return replace(case, revealed=Revealed(key.private_bytes_raw(), public_bytes(key), public_bytes(key)))
            case OpenEnvelope():
                return replace(case, opened=self._open(session, question))

    # ------------------------------------------------------------------ what is found out

    def _recall(self, session: Session) -> Recalled:
        recorded = self._member.journal.read(_verdict_key(session))
        return Recalled(None if recorded is None else decode_entry(recorded, Verdict))

    def _recompute(self, session: Session) -> Truth:
        outputs = self._inputs.outputs_of(session)
        commitments = commit_all(outputs, self._router.draw_of(session).commitment_key)
        return Truth(tuple(outputs), tuple(commitments))

    def _reveal(self, session: Session, complaint: Complaint, attempt: Attempt) -> Revealed:
        """The key in a complaint's evidence. A store that is away is nobody's fault here: the verdict waits."""
        expected = self._router.draw_of(session, attempt).keys[complaint.hop]
        place = complaint_context(self._member.client.domain, complaint.query, complaint.attempt, complaint.hop)
        complaint_key = b""
        try:
            blob = self._member.store.get(complaint.evidence)
            complaint_key = unwrap_key(self._member.keys.sealing, blob, place)
            secret = open_content(self._member.keys.sealing, blob, place)
            public = public_bytes(X25519PrivateKey.from_private_bytes(secret))
        except (BlobFault, ProtocolError, ValueError):
            return Revealed(b"", None, expected, complaint_key)
        return Revealed(secret, public, expected, complaint_key)

    def _open(self, session: Session, question: OpenEnvelope) -> Opened:
        """The recipient's check, with the recipient's key."""
        update = question.sent.signed.update
        key = X25519PrivateKey.from_private_bytes(question.secret)
        own = hop_key(self._router.draw_of(session).commitment_key, update.hop)
        try:
            received = self._member.read_output(update, key, own, session.items)
            check_form(update.query, update.hop, received, question.honest)
        except BlobFault as error:
            return Opened(ComplaintKind.MISSING, str(error))
        except ProtocolError as error:
            return Opened(ComplaintKind.UNREADABLE, str(error))
        return Opened()

    # ------------------------------------------------------------------ the verdict

    def _make_verdict(self, session: Session, deed: Judge) -> Verdict:
        hop, finding = session.next_hop, deed.finding
        LOG.error("query %d: hops %d and %d: %s", session.query, hop - 1, hop, finding.reason)
        evidence = self._store_evidence(session, deed)
        sides = (finding.sender_guilty, finding.receiver_guilty)
        return Verdict(session.query, session.attempt, hop, *sides, evidence, session.trail)

    def _post(self, session: Session, verdict: Verdict, signature: bytes) -> bool:
        self._member.client.judge(self._member.shown(session), verdict, signature)
        self._member.metrics.judged(sender_guilty=verdict.sender_guilty, receiver_guilty=verdict.receiver_guilty)
        return True

    def _store_evidence(self, session: Session, deed: Judge) -> Pointer:
        """What an admitted auditor needs to repeat the verdict, sealed to the owner and to them (docs/adr/0018)."""
        evidence = Evidence(
            reason=deed.finding.reason,
            commitment_key=self._router.draw_of(session).commitment_key,
            input_key=self._input_key(session),
            first_hop=deed.first_hop,
            outputs=deed.outputs,
            recipient_key=deed.recipient_key,
            complaint_key=deed.complaint_key,
        )
        place = verdict_context(self._member.client.domain, session.query, session.attempt, session.next_hop)
        readers = [self._member.keys.sealing_public, *self._auditors()]

        def seal() -> bytes:
            return seal_shared(readers, evidence.encode(), place)

        return self._member.store.put_sealed(seal(), seal)[0]

    def _input_key(self, session: Session) -> bytes:
        """The AES key of the querent's blob: with it an auditor opens the very input that was asked."""
        place = query_context(self._member.client.domain, session.querent, session.sealing_key)
        return unwrap_key(self._member.keys.sealing, self._inputs.blob_of(session), place)


def _verdict_key(session: Session) -> str:
    return f"verdict/{session.query}/{session.attempt}/{session.trail.hex()}"
