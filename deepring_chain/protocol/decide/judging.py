"""How the ouroboros judges a disputed edge (protocol 6): what it waits for, what it looks at, and who is guilty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from deepring_chain.protocol.decide.routing import LookFor, Recompute
from deepring_chain.protocol.events import EnvelopeDisputed, UpdatePosted
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    Attempt,
    Complaint,
    ComplaintKind,
    Hop,
    OutputCommitment,
    Pointer,
    SealingKey,
    TensorBytes,
    Verdict,
)

GRACE_SECONDS = 1.0
"""For so long an honest side may put a blob back that the store lost."""

ABOUT_CONTENT = frozenset({ComplaintKind.UNREADABLE, ComplaintKind.ALTERED})
"""Complaints that only the recipient's key can settle."""


@dataclass(frozen=True)
class Recalled:
    """What the journal holds for this dispute.

    Attributes:
        signed: the verdict that was signed earlier, and its signature; None if there is none.
    """

    signed: tuple[Verdict, bytes] | None


@dataclass(frozen=True)
class Truth:
    """What honest blocks make of the query's own input.

    Attributes:
        outputs: O_0 .. O_n, and once more O_n for the delivery.
        commitments: to each of them, under the query's commitment key.
    """

    outputs: tuple[TensorBytes, ...] = field(repr=False)
    commitments: tuple[OutputCommitment, ...]


@dataclass(frozen=True)
class Revealed:
    """The recipient's sealing key, as the complaint shows it.

    Attributes:
        secret: the raw X25519 key; empty if the complaint shows none.
        public: that belongs to it; None without one.
        expected: the public key that the envelope had to be sealed to.
        complaint_key: AES key of the complaint's evidence; empty if that cannot be read.
    """

    secret: bytes = field(repr=False)
    public: SealingKey | None
    expected: SealingKey
    complaint_key: bytes = field(default=b"", repr=False)

    @property
    def is_expected(self) -> bool:
        """Whether it opens what was sealed to the recipient."""
        return self.public == self.expected


@dataclass(frozen=True)
class Opened:
    """The recipient's check, repeated.

    Attributes:
        fault: what is wrong with the envelope; None if it is good.
        reason: the same in words.
    """

    fault: ComplaintKind | None = None
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """What the ouroboros knows of a disputed query.

    Attributes:
        session: the query.
        waited: seconds since the dispute was first seen.
        looked: answers to `LookFor`, by blob.
        recalled, truth: answers to `Recall` and `Recompute`; None if they have not been asked.
        revealed: answer to `Reveal` or `TakeOwnKey`; likewise.
        opened: answer to `OpenEnvelope`; likewise.
    """

    session: Session
    waited: float
    looked: Mapping[Pointer, bool] = field(default_factory=lambda: MappingProxyType({}))
    recalled: Recalled | None = None
    truth: Truth | None = None
    revealed: Revealed | None = None
    opened: Opened | None = None


@dataclass(frozen=True)
class Recall:
    """Look up what was signed for this dispute: it is never judged twice."""


@dataclass(frozen=True)
class Reveal:
    """Open the complaint's evidence; find the key that the route of this attempt names for the recipient."""

    complaint: Complaint
    attempt: Attempt


@dataclass(frozen=True)
class TakeOwnKey:
    """Take the ouroboros's own key of this attempt's arrangement: it is the recipient."""

    attempt: Attempt


@dataclass(frozen=True)
class OpenEnvelope:
    """Repeat the recipient's check of what was sent, with its key; hold it against the form that the layer gives.

    Attributes:
        sent: the update in dispute.
        honest: what its layer makes of the query's input.
        secret: the recipient's raw X25519 key.
    """

    sent: UpdatePosted
    honest: TensorBytes = field(repr=False)
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """Who is guilty, and why, in a sentence."""

    sender_guilty: bool
    receiver_guilty: bool
    reason: str


@dataclass(frozen=True)
class Wait:
    """Give an honest side time to put a blob back, before anyone is blamed."""


@dataclass(frozen=True)
class Post:
    """Post the verdict that was signed earlier."""

    verdict: Verdict
    signature: bytes


@dataclass(frozen=True)
class Judge:
    """Store the evidence, sign and post the verdict.

    Attributes:
        finding: the verdict.
        first_hop, outputs: what the evidence shows of the truth: the first hop, and the outputs from there on.
        recipient_key, complaint_key: keys for an auditor, of a complaint about what an envelope holds; or empty.
    """

    finding: Finding
    first_hop: Hop
    outputs: tuple[TensorBytes, ...] = field(repr=False)
    recipient_key: bytes = field(default=b"", repr=False)
    complaint_key: bytes = field(default=b"", repr=False)


Question = LookFor | Recall | Recompute | Reveal | TakeOwnKey | OpenEnvelope
"""What the referee finds out, to be asked again with the answer."""

Deed = Wait | Post | Judge
"""What ends the turn."""


def next_action(case: Case) -> Question | Deed:
    """Return what is due for a disputed query."""
    if case.waited < GRACE_SECONDS:
        for blob in _awaited_blobs(case.session):
            if blob not in case.looked:
                return LookFor(blob)
            if not case.looked[blob]:
                return Wait()
    if case.recalled is None:
        return Recall()
    if case.recalled.signed is not None:
        return Post(*case.recalled.signed)
    if case.truth is None:
        return Recompute()
    found = _judge(case, case.truth)
    return _verdict(case, case.truth, found) if isinstance(found, Finding) else found


def _awaited_blobs(session: Session) -> tuple[Pointer, ...]:
    """Return what the referee needs of both sides: the envelope in dispute, and the recipient's key in its complaint.

    A violation of eq. 13 needs nothing: nobody complained of an envelope, and nobody will put one back.
    """
    if not isinstance(session.dispute, EnvelopeDisputed):
        return ()
    complaint, envelope = session.dispute.complaint, _sent(session).signed.update.envelope
    if complaint.kind in ABOUT_CONTENT and complaint.hop < session.hops:
        return envelope, complaint.evidence
    return (envelope,)


def _verdict(case: Case, truth: Truth, finding: Finding) -> Judge:
    """The verdict, and the true outputs around its edge: an auditor computes the sender's layer anew, too."""
    hop, revealed = case.session.next_hop, case.revealed
    first = Hop(max(0, hop - 2))
    outputs = truth.outputs[first : hop + 1]
    if revealed is None:
        return Judge(finding, first, outputs)
    return Judge(finding, first, outputs, revealed.secret if revealed.is_expected else b"", revealed.complaint_key)


def _judge(case: Case, truth: Truth) -> Question | Finding:
    session, commitments = case.session, truth.commitments
    sender = _check_sender(session, commitments)
    if not isinstance(session.dispute, EnvelopeDisputed):
        return _judge_contradiction(session, commitments, sender)
    if not _was_sent_truth(session, commitments, Hop(session.next_hop - 1)):
        sender = ""
    complaint = session.dispute.complaint
    if complaint.kind is ComplaintKind.UNABLE:
        return Finding(bool(sender), False, sender or f"hop {complaint.hop} cannot go on: its parameters are damaged")
    if complaint.kind is ComplaintKind.MISSING:
        return _judge_missing(case, sender)
    return _judge_content(case, truth, complaint, sender)


def _sent(session: Session) -> UpdatePosted:
    return session.updates[Hop(session.next_hop - 1)]


def _was_sent_truth(session: Session, commitments: tuple[OutputCommitment, ...], hop: Hop) -> bool:
    """Whether what `hop` was sent is its layer's true input: else what it made of that is not held against it."""
    before = session.updates.get(Hop(hop - 1))
    return before is None or before.signed.update.output == commitments[hop - 1]


def _check_sender(session: Session, commitments: tuple[OutputCommitment, ...]) -> str:
    """What is wrong with the sender's commitments, if anything."""
    hop = Hop(session.next_hop - 1)
    update = _sent(session).signed.update
    if update.output != commitments[hop]:
        return f"hop {hop} committed to another output than its layer's"
    if update.next_output != commitments[hop + 1]:
        return f"hop {hop} expects another output of hop {hop + 1} than its layer's"
    return ""


def _judge_contradiction(session: Session, commitments: tuple[OutputCommitment, ...], sender: str) -> Finding:
    """Eq. 13 failed: hold both commitments against the truth.

    A receiver that was sent another output than the layer's made the best of it: it is not held against the truth.
    """
    hop = session.next_hop
    receiver = ""
    if hop < session.hops and _was_sent_truth(session, commitments, hop):
        posted = next(event for event in reversed(session.history) if isinstance(event, UpdatePosted))
        if posted.signed.update.output != commitments[hop]:
            receiver = f"hop {hop} committed to another output than its layer's"
    reasons = "; ".join(reason for reason in (sender, receiver) if reason)
    return Finding(bool(sender), bool(receiver), reasons or "both sides are right")


def _judge_missing(case: Case, sender: str) -> Question | Finding:
    update = _sent(case.session).signed.update
    if update.envelope not in case.looked:
        return LookFor(update.envelope)
    if case.looked[update.envelope]:
        return Finding(bool(sender), False, sender or "the envelope is in the store")
    return Finding(True, False, f"hop {update.hop} did not put its envelope into the store")


def _judge_content(case: Case, truth: Truth, complaint: Complaint, sender: str) -> Question | Finding:
    """Repeat the recipient's check with the recipient's key, which must be the one that the envelope was sealed to."""
    sent = _sent(case.session)
    attempt, hop = sent.signed.update.attempt, sent.signed.update.hop
    is_own = complaint.hop == case.session.hops
    if case.revealed is None:
        return TakeOwnKey(attempt) if is_own else Reveal(complaint, attempt)
    if case.revealed.is_expected:
        if case.opened is None:
            return OpenEnvelope(sent, truth.outputs[hop], case.revealed.secret)
        if case.opened.fault is ComplaintKind.MISSING:
            return Finding(True, False, f"hop {hop}: {case.opened.reason}")
        if case.opened.fault is not None:
            return Finding(True, False, f"hop {hop} sent an unusable envelope: {case.opened.reason}")
    if is_own:
        return Finding(bool(sender), False, sender or "the envelope is good")
    return Finding(bool(sender), True, "the recipient complained of a good envelope")
