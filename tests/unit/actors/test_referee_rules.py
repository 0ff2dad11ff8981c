"""Each rule of the referee by itself: who is guilty, for which reason, and what the evidence holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.ouroboros.referee import Referee
from deepring_chain.attacks.orders import Lie
from deepring_chain.protocol.decide import judging
from deepring_chain.protocol.decide.judging import GRACE_SECONDS, Finding, Judge, Truth, Wait
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed
from deepring_chain.protocol.evidence import Evidence, open_shared
from deepring_chain.protocol.restore import verdict_context
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    NO_OUTPUT,
    ZERO,
    ComplaintKind,
    Digest,
    Hop,
    OutputCommitment,
    QueryPhase,
    TensorBytes,
    TrailHash,
)
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, session_of
from tests.unit.actors.test_referee import dispute, verdicts

FALSE = OutputCommitment(Digest(bytes([7]) * 32))


class Case:
    """Worker 2 disputes what hop 1 sent, in a ring where both are honest; a test then bends the truth."""

    def __init__(self, ring: FakeRing) -> None:
        query = ask_up_to(ring, 2)
        self.ring = ring
        ring.members[2].follower.refresh()
        ring.members[0].follower.refresh()
        self.bare = session_of(ring, query)
        self.referee: Referee = ring.ouroboros._referee
        self.outputs: list[TensorBytes] = ring.ouroboros._inputs.outputs_of(self.bare)
        key = ring.ouroboros._router.draw_of(self.bare).commitment_key
        self.truth: list[OutputCommitment] = ring.ouroboros._inputs.commitments_of(self.bare, key)

    def complaint(self, kind: ComplaintKind, key: bytes | None = None) -> Session:
        """The session after worker 2's complaint."""
        worker = self.ring.workers[1]
        (note,) = (note for note in worker._open_notes(self.bare) if note.hop == 2)
        told = worker._make_complaint(self.bare, note, kind, key)
        signer = self.ring.members[2].keys.address
        disputed = EnvelopeDisputed(told, signer, note.salt, note.next_route, b"", TrailHash(ZERO))
        return replace(self.bare, phase=QueryPhase.DISPUTED, dispute=disputed)

    def verdict(self, session: Session) -> Judge:
        truth = Truth(tuple(self.outputs), tuple(self.truth))
        found = self.referee._pursue(judging.Case(session, GRACE_SECONDS, truth=truth))
        assert isinstance(found, Judge)
        return found

    def judge(self, session: Session) -> Finding:
        return self.verdict(session).finding

    def lose_envelope(self) -> None:
        envelope = self.bare.updates[Hop(1)].signed.update.envelope
        next((self.ring.folder / "store").rglob(envelope.hex())).unlink()


@pytest.fixture
def case(ring: FakeRing) -> Case:
    return Case(ring)


GOOD = "the recipient complained of a good envelope"


@pytest.mark.parametrize(
    ("kind", "receiver", "reason"),
    [
        (ComplaintKind.UNABLE, False, "hop 2 cannot go on: its parameters are damaged"),
        (ComplaintKind.MISSING, False, "the envelope is in the store"),
        (ComplaintKind.UNREADABLE, True, GOOD),
        (ComplaintKind.ALTERED, True, GOOD),
    ],
    ids=lambda value: value.name if isinstance(value, ComplaintKind) else "",
)
def test_complaint_about_an_honest_sender(case: Case, kind: ComplaintKind, receiver: bool, reason: str) -> None:
    assert case.judge(case.complaint(kind)) == Finding(False, receiver, reason)


@pytest.mark.parametrize("kind", list(ComplaintKind), ids=lambda kind: kind.name)
def test_sender_is_found_by_what_it_committed_to_whatever_the_complaint(case: Case, kind: ComplaintKind) -> None:
    for hop, told in ((1, "committed to another output"), (2, "expects another output of hop 2")):
        case.truth = case.ring.ouroboros._inputs.commitments_of(
            case.bare, case.ring.ouroboros._router.draw_of(case.bare).commitment_key
        )
        case.truth[hop] = FALSE
        finding = case.judge(case.complaint(kind))
        assert finding.sender_guilty
        assert finding.receiver_guilty is (kind in {ComplaintKind.UNREADABLE, ComplaintKind.ALTERED})
        if not finding.receiver_guilty:
            assert f"hop 1 {told}" in finding.reason


@pytest.mark.parametrize("kind", list(ComplaintKind), ids=lambda kind: kind.name)
def test_sender_that_was_sent_something_else_made_the_best_of_it(case: Case, kind: ComplaintKind) -> None:
    """Two colluders before it agreed on a false value: what it made of that is not held against it."""
    case.truth[0] = case.truth[1] = FALSE
    assert not case.judge(case.complaint(kind)).sender_guilty


def test_envelope_that_is_gone_convicts_its_sender(case: Case) -> None:
    session = case.complaint(ComplaintKind.MISSING)
    case.lose_envelope()
    finding = case.judge(session)
    assert finding == Finding(True, False, "hop 1 did not put its envelope into the store")
    assert case.judge(case.complaint(ComplaintKind.ALTERED)).sender_guilty


def test_output_of_another_form_than_the_layers_convicts_its_sender(case: Case) -> None:
    """It fits its commitment, and no layer can take it."""
    case.outputs[1] = replace(case.outputs[1], shape=(1, *case.outputs[1].shape))
    assert case.judge(case.complaint(ComplaintKind.UNREADABLE)).sender_guilty


def test_complaint_with_a_key_of_somebody_else_convicts_whoever_complains(case: Case) -> None:
    finding = case.judge(case.complaint(ComplaintKind.UNREADABLE, bytes(range(32))))
    assert (finding.sender_guilty, finding.receiver_guilty) == (False, True)


# ---------------------------------------------------------------- violations of eq. 13


def contradiction(case: Case, hop: int) -> Session:
    disputed = OutputDisputed(case.bare.query, case.bare.attempt, Hop(hop), NO_OUTPUT, NO_OUTPUT)
    return replace(case.bare, phase=QueryPhase.DISPUTED, next_hop=Hop(hop), dispute=disputed)


def test_violation_between_two_honest_hops_convicts_nobody(case: Case) -> None:
    posted = case.bare.history[-1]
    finding = case.judge(replace(contradiction(case, 1), history=(posted,)))
    assert finding == Finding(False, False, "both sides are right")


def test_receiver_that_was_sent_the_truth_and_committed_to_another_output_is_guilty(case: Case) -> None:
    case.truth[1] = FALSE
    finding = case.judge(contradiction(case, 1))
    assert (finding.sender_guilty, finding.receiver_guilty) == (True, True)
    assert finding.reason == "hop 0 expects another output of hop 1 than its layer's; " + (
        "hop 1 committed to another output than its layer's"
    )


def test_receiver_that_was_sent_something_else_is_not_held_against_the_truth(case: Case) -> None:
    case.truth[0] = case.truth[1] = FALSE
    finding = case.judge(contradiction(case, 1))
    assert (finding.sender_guilty, finding.receiver_guilty) == (True, False)


def test_ouroboros_is_no_party_to_a_violation_at_the_delivery(ring: FakeRing) -> None:
    case = Case(ring)
    ring.settle(0)
    ring.members[0].follower.refresh()
    case.bare = session_of(ring, case.bare.query)
    assert case.bare.next_hop == case.bare.hops
    case.truth[case.bare.hops] = FALSE
    finding = case.judge(contradiction(case, case.bare.hops))
    assert (finding.sender_guilty, finding.receiver_guilty) == (True, False)


def test_violation_is_judged_at_once_though_an_envelope_is_gone(case: Case) -> None:
    """Nobody complained of it, and nobody will put it back."""
    session = contradiction(case, 2)
    case.lose_envelope()
    assert isinstance(case.referee._pursue(judging.Case(session, 0.0)), Judge)
    assert case.referee._pursue(judging.Case(case.complaint(ComplaintKind.MISSING), 0.0)) == Wait()


# ---------------------------------------------------------------- the evidence


@pytest.mark.parametrize(("layer", "lie", "first", "count"), [(1, Lie.FALSE_COMPLAINT, 0, 2), (2, Lie.ECHO, 1, 3)])
def test_evidence_holds_the_outputs_around_the_edge(
    ring: FakeRing, layer: int, lie: Lie, first: int, count: int
) -> None:
    query = dispute(ring, lie, layer)
    ring.step(0)
    (posted,) = verdicts(ring)
    place = verdict_context(DOMAIN, query, posted.verdict.attempt, posted.verdict.hop)
    opened = open_shared(ring.members[0].keys.sealing, ring.store.get(posted.verdict.evidence), place)
    assert opened is not None
    evidence = Evidence.decode(opened)
    assert (evidence.first_hop, len(evidence.outputs)) == (first, count)


@pytest.mark.parametrize("kind", list(ComplaintKind), ids=lambda kind: kind.name)
def test_evidence_holds_the_recipients_keys_where_they_decide(case: Case, kind: ComplaintKind) -> None:
    session = case.complaint(kind)
    verdict = case.verdict(session)
    if kind in {ComplaintKind.UNREADABLE, ComplaintKind.ALTERED}:
        own = case.ring.members[2].sealing_key(session.arrangements[session.attempt])
        assert verdict.recipient_key == own.private_bytes_raw()
        assert len(verdict.complaint_key) == 32
    else:
        assert (verdict.recipient_key, verdict.complaint_key) == (b"", b"")
    verdict = case.verdict(contradiction(case, 2))
    assert (verdict.recipient_key, verdict.complaint_key) == (b"", b"")
