"""Splice: a blob that was sealed for one place is used in another.

Who: a worker that saves its work, or hides what it sends; a querent that uses the ouroboros to open others' blobs.
Wants: an old envelope taken for a new one, or to read what was sealed to the ouroboros.
Stopped by: DR-25 (a blob opens for its ledger, query, attempt and hop only), DR-21, DR-27.
Outcome: recorded, right blame for a worker; a querent's query is refused.
"""

from __future__ import annotations

import pytest

from assurance.adversary.liars import complaining, once, sending
from assurance.adversary.outcomes import blamed, refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.protocol.session import Session
from deepring_chain.types import ComplaintKind, Digest, Hop, Pointer, QueryId, QueryPhase, RejectReason


def convict_splicer(ring: SteppedRing, query: QueryId, pointer: Pointer, liar: int = 2) -> None:
    """The worker answers with somebody's envelope in place of its own."""
    with ring.bribed(f"worker-{liar}", once(sending(lambda _session: pointer))):
        ring.settle()
    ring.expect_answered(query)
    assert ring.guilt(query)[-1:] == convicted(liar)


@pytest.fixture
def seldom_arranged(attacked: SteppedRing) -> SteppedRing:
    """Two queries in one arrangement: their envelopes are for the same keys."""
    attacked.worker("ouroboros")._arranger._every = 100
    return attacked


@blamed
def test_envelope_of_an_equal_query_is_no_answer_to_this_one(seldom_arranged: SteppedRing) -> None:
    """The same picture twice in one arrangement: the very same tensor, for the very same key."""
    first = seldom_arranged.ask()
    seldom_arranged.expect_answered(first)
    old = seldom_arranged.update_of(first, 2).signed.update.envelope
    second = seldom_arranged.ask()
    convict_splicer(seldom_arranged, second, old)


@blamed
@pytest.mark.parametrize("from_hop", [0, 1])
def test_envelope_of_another_hop_is_refused_by_the_recipient(attacked: SteppedRing, from_hop: int) -> None:
    query = attacked.ask_up_to(2)
    convict_splicer(attacked, query, attacked.update_of(query, from_hop).signed.update.envelope)
    assert attacked.guilt(query) == convicted(2)


@blamed
def test_envelope_of_an_earlier_attempt_is_refused_by_the_recipient(attacked: SteppedRing) -> None:
    """Hop 3 complains falsely, and so hop 2 is asked again; it answers with what it sent before."""
    with attacked.bribed("worker-3", complaining(ComplaintKind.UNREADABLE)):
        query = attacked.ask()
        attacked.settle(until=lambda: bool(attacked.session(query).faults))
    assert attacked.guilt(query) == convicted(3)
    old = attacked.update_of(query, 2).signed.update.envelope
    convict_splicer(attacked, query, old)
    assert attacked.guilt(query) == convicted(3, 2)


@blamed
@pytest.mark.parametrize("what", ["sealed input", "route notes", "card"])
def test_blob_of_another_kind_is_no_envelope(attacked: SteppedRing, what: str) -> None:
    query = attacked.ask_up_to(2)
    session = attacked.session(query)
    model = attacked.state.model
    assert model is not None
    convict_splicer(
        attacked, query, {"sealed input": session.sealed_input, "route notes": session.notes, "card": model.card}[what]
    )


def opened_by_the_ouroboros(ring: SteppedRing, session: Session, query: QueryId) -> dict[str, Digest]:
    """Blobs that were sealed to the ouroboros by others."""
    complaint = next(event for event in session.history if type(event).__name__ == "EnvelopeDisputed")
    return {
        "complaint": complaint.complaint.evidence,  # type: ignore[union-attr]
        "last envelope": session.updates[Hop(4)].signed.update.envelope,
        "another's input": ring.session(query).sealed_input,
    }


@refused
def test_ouroboros_opens_no_blob_for_a_querent_that_was_sealed_for_another_purpose(
    attacked: SteppedRing, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A complaint's evidence is a worker's private key, sealed to the same key as inputs are."""
    with attacked.bribed("worker-3", complaining(ComplaintKind.UNREADABLE)):
        query = attacked.ask()
        attacked.settle()
    mallory = attacked.new_querent(tmp_path_factory.mktemp("mallory") / "keys")
    for pointer in opened_by_the_ouroboros(attacked, attacked.session(query), query).values():
        posted, _ = mallory._client.submit_query(Pointer(pointer), mallory._keys.sealing_public)
        attacked.settle()
        session = attacked.session(posted)
        assert (session.phase, session.reject_reason) == (QueryPhase.REJECTED, RejectReason.UNDECRYPTABLE)
