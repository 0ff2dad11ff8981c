"""The referee (protocol 6): which of the two sides of a disputed edge is to blame, and the evidence for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.inputs import QueryInputs, commit_all
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.crypto.digest import hop_key
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import open_content, query_context, unwrap_key
from deepring_chain.protocol.events import EnvelopeDisputed, UpdatePosted
from deepring_chain.protocol.evidence import Evidence, seal_shared
from deepring_chain.protocol.restore import complaint_context, verdict_context
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.validation import check_form
from deepring_chain.store.content import BlobFault
from deepring_chain.types import (
    ComplaintKind,
    Hop,
    OutputCommitment,
    Pointer,
    QueryId,
    SealingKey,
    TensorBytes,
    TrailHash,
    Verdict,
)

LOG = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""For so long an honest side may put a blob back that the store lost."""


ABOUT_CONTENT = frozenset({ComplaintKind.UNREADABLE, ComplaintKind.ALTERED})
"""Complaints that only the recipient's key can settle."""


@dataclass(frozen=True)
class Finding:
    """Who is guilty, and why, in a sentence."""

    sender_guilty: bool
    receiver_guilty: bool
    reason: str


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

    def act(self, session: Session) -> bool:
        """Posts the verdict on a disputed query, once it can be given."""
        if self._must_wait(session):
            return False
        key = f"verdict/{session.query}/{session.attempt}/{session.trail.hex()}"
        verdict, signature = self._member.sign_once(key, lambda: self._decide(session), Verdict)
        self._member.client.judge(self._member.shown(session), verdict, signature)
        self._member.metrics.judged(sender_guilty=verdict.sender_guilty, receiver_guilty=verdict.receiver_guilty)
        return True

    def keep_only(self, queries: set[QueryId]) -> None:
        """Forgets since when other queries' envelopes are awaited: they have ended."""
        for place in [place for place in list(self._since) if place[0] not in queries]:
            self._since.pop(place, None)

    def _decide(self, session: Session) -> Verdict:
        outputs = self._inputs.outputs_of(session)
        truth = commit_all(outputs, self._router.draw_of(session).commitment_key)
        finding = self._judge(session, outputs, truth)
        hop = session.next_hop
        LOG.error("query %d: hops %d and %d: %s", session.query, hop - 1, hop, finding.reason)
        evidence = self._store_evidence(session, outputs, finding)
        sides = (finding.sender_guilty, finding.receiver_guilty)
        return Verdict(session.query, session.attempt, hop, *sides, evidence, session.trail)

    def _must_wait(self, session: Session) -> bool:
        """A store may lose what an honest side put there: it gets time to put it back before anyone is blamed."""
        if not isinstance(session.dispute, EnvelopeDisputed):
            return False
        since = self._since.setdefault((session.query, session.trail), self._clock())
        needed = [self._sent(session).signed.update.envelope]
        complaint = session.dispute.complaint
        if complaint.kind in ABOUT_CONTENT and complaint.hop < session.hops:
            needed.append(complaint.evidence)
        return self._clock() - since < GRACE_SECONDS and not all(map(self._member.store.has_good, needed))

    def _judge(self, session: Session, outputs: list[TensorBytes], truth: list[OutputCommitment]) -> Finding:
        sender = self._check_sender(session, truth)
        if isinstance(session.dispute, EnvelopeDisputed):
            if not self._was_sent_truth(session, truth, Hop(session.next_hop - 1)):
                sender = None
            return self._judge_complaint(session, session.dispute, sender, outputs)
        return self._judge_contradiction(session, truth, sender)

    def _was_sent_truth(self, session: Session, truth: list[OutputCommitment], hop: Hop) -> bool:
        """Whether what `hop` was sent is its layer's true input: else what it made of that is not held against it."""
        before = session.updates.get(Hop(hop - 1))
        return before is None or before.signed.update.output == truth[hop - 1]

    def _check_sender(self, session: Session, truth: list[OutputCommitment]) -> str | None:
        """What is wrong with the sender's commitments, if anything."""
        hop = Hop(session.next_hop - 1)
        update = self._sent(session).signed.update
        if update.output != truth[hop]:
            return f"hop {hop} committed to another output than its layer's"
        if update.next_output != truth[hop + 1]:
            return f"hop {hop} expects another output of hop {hop + 1} than its layer's"
        return None

    def _judge_contradiction(self, session: Session, truth: list[OutputCommitment], sender: str | None) -> Finding:
        """Eq. 13 failed: hold both commitments against the truth.

        A receiver that was sent another output than the layer's made the best of it: it is not held against the truth.
        """
        hop = session.next_hop
        received_wrong = False
        if hop < session.hops and self._was_sent_truth(session, truth, hop):
            posted = next(e for e in reversed(session.history) if isinstance(e, UpdatePosted))
            received_wrong = posted.signed.update.output != truth[hop]
        reasons = [sender] if sender else []
        if received_wrong:
            reasons.append(f"hop {hop} committed to another output than its layer's")
        return Finding(sender is not None, received_wrong, "; ".join(reasons) or "both sides are right")

    def _judge_complaint(
        self, session: Session, dispute: EnvelopeDisputed, sender: str | None, outputs: list[TensorBytes]
    ) -> Finding:
        if dispute.complaint.kind is ComplaintKind.UNABLE:
            reason = sender or f"hop {dispute.complaint.hop} cannot go on: its parameters are damaged"
            return Finding(sender is not None, False, reason)
        if dispute.complaint.kind is ComplaintKind.MISSING:
            return self._judge_missing(session, sender)
        fault = self._repeat_check(session, dispute, outputs)
        if fault is not None:
            return Finding(True, False, fault)
        if dispute.complaint.hop == session.hops:
            return Finding(sender is not None, False, sender or "the envelope is good")
        return Finding(sender is not None, True, "the recipient complained of a good envelope")

    def _judge_missing(self, session: Session, sender: str | None) -> Finding:
        update = self._sent(session).signed.update
        if self._member.store.has_good(update.envelope):
            return Finding(sender is not None, False, sender or "the envelope is in the store")
        return Finding(True, False, f"hop {update.hop} did not put its envelope into the store")

    def _repeat_check(self, session: Session, dispute: EnvelopeDisputed, outputs: list[TensorBytes]) -> str | None:
        """The recipient's check, with the recipient's key; what is wrong with the envelope, or None."""
        update = self._sent(session).signed.update
        key = self._revealed_key(session, dispute)
        if key is None:
            return None
        own = hop_key(self._router.draw_of(session).commitment_key, update.hop)
        try:
            received = self._member.read_output(update, key, own, session.items)
            check_form(update.query, update.hop, received, outputs[update.hop])
        except BlobFault as error:
            return f"hop {update.hop}: {error}"
        except ProtocolError as error:
            return f"hop {update.hop} sent an unusable envelope: {error}"
        return None

    def _revealed_key(self, session: Session, dispute: EnvelopeDisputed) -> X25519PrivateKey | None:
        """The recipient's key from its complaint, if it is the one that the envelope had to be sealed to."""
        complaint = dispute.complaint
        update = self._sent(session).signed.update
        if complaint.hop == session.hops:
            return self._member.sealing_key(session.arrangements[update.attempt])
        place = complaint_context(self._member.client.domain, complaint.query, complaint.attempt, complaint.hop)
        expected = self._router.draw_of(session, update.attempt).keys[complaint.hop]
        try:
            raw = open_content(self._member.keys.sealing, self._member.store.get(complaint.evidence), place)
            key = X25519PrivateKey.from_private_bytes(raw)
        except (BlobFault, ProtocolError, ValueError):
            # A store that is away is nobody's fault here: the verdict waits.
            return None
        return key if public_bytes(key) == expected else None

    def _sent(self, session: Session) -> UpdatePosted:
        return session.updates[Hop(session.next_hop - 1)]

    def _store_evidence(self, session: Session, outputs: list[TensorBytes], finding: Finding) -> Pointer:
        """What an admitted auditor needs to repeat the verdict, sealed to the owner and to them (docs/adr/0018)."""
        hop = session.next_hop
        first = Hop(max(0, hop - 2))
        evidence = Evidence(
            reason=finding.reason,
            commitment_key=self._router.draw_of(session).commitment_key,
            input_key=self._input_key(session),
            first_hop=first,
            outputs=tuple(outputs[first : hop + 1]),
            **self._complaint_keys(session),
        )
        place = verdict_context(self._member.client.domain, session.query, session.attempt, hop)
        readers = [self._member.keys.sealing_public, *self._auditors()]

        def seal() -> bytes:
            return seal_shared(readers, evidence.encode(), place)

        return self._member.store.put_sealed(seal(), seal)[0]

    def _input_key(self, session: Session) -> bytes:
        """The AES key of the querent's blob: with it an auditor opens the very input that was asked."""
        place = query_context(self._member.client.domain, session.querent, session.sealing_key)
        return unwrap_key(self._member.keys.sealing, self._inputs.blob_of(session), place)

    def _complaint_keys(self, session: Session) -> dict[str, bytes]:
        """Of a complaint about what an envelope holds: the recipient's key, and the key of the complaint's evidence."""
        dispute = session.dispute
        if not isinstance(dispute, EnvelopeDisputed) or dispute.complaint.kind not in ABOUT_CONTENT:
            return {}
        key = self._revealed_key(session, dispute)
        return {
            "recipient_key": key.private_bytes_raw() if key is not None else b"",
            "complaint_key": self._complaint_key(session, dispute),
        }

    def _complaint_key(self, session: Session, dispute: EnvelopeDisputed) -> bytes:
        complaint = dispute.complaint
        if complaint.hop == session.hops:
            return b""
        place = complaint_context(self._member.client.domain, complaint.query, complaint.attempt, complaint.hop)
        try:
            return unwrap_key(self._member.keys.sealing, self._member.store.get(complaint.evidence), place)
        except (BlobFault, ProtocolError):
            return b""
