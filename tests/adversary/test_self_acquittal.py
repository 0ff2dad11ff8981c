"""Self-acquittal: a worker that was caught prevents the verdict, or gives it itself.

Who: the guilty worker of a disputed edge, alone or with delete rights in the store.
Wants: to go on with the query unblamed, or to leave the dispute open for ever.
Stopped by: DR-52 and DR-26 (a disputed query takes nothing but the ouroboros's verdict), DR-53 (the referee needs
nothing from the accused; the input is kept while the query is open), I-6.
Outcome: refused by the ledger, or recorded, right blame.
"""

from __future__ import annotations

import shutil

import pytest

from assurance.adversary.liars import Echo, WrongOutput, once
from assurance.adversary.outcomes import blamed, refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.types import NO_BLOB, QueryId, QueryPhase, Verdict


def caught(ring: SteppedRing) -> QueryId:
    """A query whose hop 2 violated eq. 13; the ouroboros has not looked yet."""
    query = ring.ask_up_to(2)
    with ring.bribed("worker-2", WrongOutput):
        ring.settle("ouroboros")
    assert ring.session(query).phase is QueryPhase.DISPUTED
    return query


def acquit_itself(ring: SteppedRing, session: Session) -> None:
    """A verdict by the accused: the hop before was guilty."""
    member = ring.member("worker-2")
    verdict = Verdict(session.query, session.attempt, session.next_hop, True, False, NO_BLOB, session.trail)
    member.client.judge(
        member.shown(session), verdict, sign_message(member.keys.account, member.client.domain, verdict)
    )


@refused
def test_verdict_by_the_accused_is_refused(attacked: SteppedRing) -> None:
    query = caught(attacked)
    with pytest.raises(LedgerReverted, match="UnexpectedOwner"):
        acquit_itself(attacked, attacked.session(query))
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@refused
def test_timeout_does_not_turn_a_dispute_into_a_mere_interruption(attacked: SteppedRing) -> None:
    query = caught(attacked)
    attacked.wait(attacked.client().hop_seconds + 1)
    member = attacked.member("worker-2")
    with pytest.raises(LedgerReverted, match="UnexpectedPhase"):
        member.client.time_out(query, member.shown(attacked.session(query)))
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@refused
def test_corrected_entry_after_the_fact_is_not_posted_over_the_wrong_one(attacked: SteppedRing) -> None:
    """Back to the honest program before the referee looks: the record stays."""
    query = caught(attacked)
    attacked.settle("ouroboros")
    assert attacked.session(query).phase is QueryPhase.DISPUTED
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@blamed
@pytest.mark.parametrize("restarted", [False, True], ids=["", "and the ouroboros restarted"])
def test_deleting_the_querents_input_keeps_no_verdict_from_being_given(attacked: SteppedRing, restarted: bool) -> None:
    """The verdict's evidence has the key of the input, which the referee reads: it could be made to fail for ever."""
    query = caught(attacked)
    attacked.lose(attacked.session(query).sealed_input)
    if restarted:
        attacked.restart("ouroboros")
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@blamed
def test_deleting_the_envelope_after_the_complaint_does_not_hide_what_it_held(attacked: SteppedRing) -> None:
    """The echoing worker deletes the evidence against it, and has no interest in putting it back."""
    query = attacked.ask_up_to(2)
    with attacked.bribed("worker-2", once(Echo)):
        attacked.settle("ouroboros", "worker-3")
    attacked.step("worker-3")
    session = attacked.session(query)
    assert session.phase is QueryPhase.DISPUTED
    pointer = attacked.update_of(query, 2).signed.update.envelope
    attacked.lose(pointer)
    shutil.rmtree(attacked.folder.path / "worker-2" / "outbox")
    attacked.settle()
    attacked.wait(2)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == [(2, FaultKind.GUILTY)]
