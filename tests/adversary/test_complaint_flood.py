"""Flood of complaints, silences and excuses: a recipient spoils attempt after attempt.

Who: a seated worker that follows the rules as far as anybody can prove.
Wants: to keep a query, or the whole ring, from going on, without ever being found guilty.
Stopped by: DR-50 (one complaint for one turn), DR-55 (whoever fails is replaced by its standby), DR-58 (16 attempts).
Outcome: recorded, right blame, where there is a standby; a ring without one is not protected.
"""

from __future__ import annotations

import pytest

from assurance.adversary.liars import Silent, complaining
from assurance.adversary.outcomes import blamed, not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.decide.hop import find_note
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import ComplaintKind, QueryPhase, RejectReason

BLAMELESS = [ComplaintKind.MISSING, ComplaintKind.UNABLE]
FLOOD = 10**6


@blamed
@pytest.mark.parametrize("kind", BLAMELESS, ids=lambda kind: kind.name)
def test_blameless_complaints_cost_the_worker_its_seat(relieved_ring: SteppedRing, kind: ComplaintKind) -> None:
    with relieved_ring.bribed("worker-3", complaining(kind, times=FLOOD)):
        query = relieved_ring.ask()
        relieved_ring.settle()
        relieved_ring.expect_answered(query)
        assert relieved_ring.guilt(query) == [(3, FaultKind.UNSETTLED)]
        following = relieved_ring.ask()
        relieved_ring.expect_answered(following)
        assert relieved_ring.guilt(following) == []
    relieved_ring.expect_well()


@blamed
def test_silence_costs_the_worker_its_seat(relieved_ring: SteppedRing) -> None:
    with relieved_ring.bribed("worker-2", Silent):
        query = relieved_ring.ask()
        relieved_ring.settle()
        relieved_ring.wait(relieved_ring.client().hop_seconds + 1)
        relieved_ring.settle()
        relieved_ring.expect_answered(query)
    assert relieved_ring.guilt(query) == [(2, FaultKind.SILENT)]


@refused
def test_second_complaint_about_one_envelope_is_refused(attacked: SteppedRing) -> None:
    query = attacked.ask_up_to(3)
    flooder = complaining(ComplaintKind.MISSING, times=FLOOD)
    with attacked.bribed("worker-3", flooder) as liar:
        routed = attacked.session(query)
        note = find_note(liar._member.keys.address, routed, liar._open_notes(routed))
        attacked.settle("ouroboros", "worker-2")
        session = attacked.session(query)
        assert session.phase is QueryPhase.DISPUTED
        with pytest.raises(LedgerReverted, match="UnexpectedPhase"):
            liar._complain(session, note, ComplaintKind.MISSING, "again")
    attacked.expect_answered(query)


@not_stopped("Denial of service.")
@pytest.mark.parametrize("kind", BLAMELESS, ids=lambda kind: kind.name)
def test_not_stopped_worker_without_a_standby_spoils_a_query_with_blameless_complaints(
    own_ring: SteppedRing, few_attempts: int, kind: ComplaintKind
) -> None:
    """Its envelope may really be missing, its parameters really damaged. The record counts; nobody takes its place."""
    with own_ring.bribed("worker-3", complaining(kind, times=FLOOD)):
        query = own_ring.ask()
        own_ring.settle()
    session = own_ring.session(query)
    assert (session.phase, session.reject_reason) == (QueryPhase.REJECTED, RejectReason.RING_FAULTY)
    assert own_ring.guilt(query) == [(3, FaultKind.UNSETTLED)] * few_attempts
    own_ring.expect_well()
