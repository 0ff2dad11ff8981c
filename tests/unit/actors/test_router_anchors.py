"""From which accepted output a query may go on: each condition by itself, with its counterpart beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.routing import Begin, LookFor, Resumption, is_refuted, next_action, who_failed
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed, UpdatePosted
from deepring_chain.protocol.session import Fault, FaultKind, Session
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Complaint,
    ComplaintKind,
    Hop,
    OutputCommitment,
    QueryId,
    QueryPhase,
    TrailHash,
)
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, make_keys, session_of

HOP, ATTEMPT = Hop(1), Attempt(2)
"""Of the anchor in these tests: an attempt before and after it exist."""


def at_hop_three(ring: FakeRing) -> Session:
    query = ask_up_to(ring, 3)
    ring.members[0].follower.refresh()
    return session_of(ring, query)


def anchor_of(session: Session) -> UpdatePosted:
    """Hop 1's update, as if of attempt 2."""
    posted = session.updates[HOP]
    return replace(posted, signed=replace(posted.signed, update=replace(posted.signed.update, attempt=ATTEMPT)))


def complaint(kind: ComplaintKind, attempt: int = ATTEMPT, hop: int = HOP + 1) -> EnvelopeDisputed:
    told = Complaint(QueryId(1), Attempt(attempt), Hop(hop), kind, NO_BLOB, TrailHash(ZERO))
    return EnvelopeDisputed(told, make_keys(3).address, ZERO, NO_ROUTE, b"", TrailHash(ZERO))


def faults(count: int, kind: FaultKind, attempt: int = ATTEMPT, hop: int = HOP) -> tuple[Fault, ...]:
    return (Fault(Attempt(attempt), Hop(hop), kind),) * count


NEXT = HOP + 1
REFUTED: dict[str, Callable[[Session], Session]] = {
    "guilty": lambda s: replace(s, faults=faults(1, FaultKind.GUILTY)),
    "guilty later": lambda s: replace(s, faults=faults(1, FaultKind.GUILTY, ATTEMPT + 1)),
    "unreadable": lambda s: replace(s, dispute=complaint(ComplaintKind.UNREADABLE)),
    "altered": lambda s: replace(s, dispute=complaint(ComplaintKind.ALTERED)),
    "unreadable later": lambda s: replace(s, dispute=complaint(ComplaintKind.UNREADABLE, ATTEMPT + 1)),
    "missed twice": lambda s: replace(s, faults=faults(2, FaultKind.UNSETTLED, hop=NEXT)),
}
GOOD: dict[str, Callable[[Session], Session]] = {
    "nothing": lambda s: s,
    "timed out": lambda s: replace(s, faults=faults(1, FaultKind.SILENT)),
    "guilty at another hop": lambda s: replace(s, faults=faults(1, FaultKind.GUILTY, hop=NEXT)),
    "guilty before": lambda s: replace(s, faults=faults(1, FaultKind.GUILTY, ATTEMPT - 1)),
    "missing": lambda s: replace(s, dispute=complaint(ComplaintKind.MISSING)),
    "unable": lambda s: replace(s, dispute=complaint(ComplaintKind.UNABLE)),
    "unreadable elsewhere": lambda s: replace(s, dispute=complaint(ComplaintKind.UNREADABLE, hop=NEXT + 1)),
    "unreadable before": lambda s: replace(s, dispute=complaint(ComplaintKind.UNREADABLE, ATTEMPT - 1)),
    "equation 13": lambda s: replace(s, dispute=OutputDisputed(s.query, ATTEMPT, Hop(NEXT), NO_OUTPUT, NO_OUTPUT)),
    "missed once": lambda s: replace(s, faults=faults(1, FaultKind.UNSETTLED, hop=NEXT)),
    "missed twice elsewhere": lambda s: replace(s, faults=faults(2, FaultKind.UNSETTLED, hop=NEXT + 1)),
    "missed twice before": lambda s: replace(s, faults=faults(2, FaultKind.UNSETTLED, ATTEMPT - 1, NEXT)),
    "silent twice": lambda s: replace(s, faults=faults(2, FaultKind.SILENT, hop=NEXT)),
}


@pytest.mark.parametrize("change", REFUTED.values(), ids=REFUTED)
def test_output_of_a_convict_or_one_that_cannot_be_read_is_refuted(
    ring: FakeRing, change: Callable[[Session], Session]
) -> None:
    session = change(at_hop_three(ring))
    assert is_refuted(session, anchor_of(session))


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_output_that_nothing_speaks_against_is_gone_on_from(
    ring: FakeRing, change: Callable[[Session], Session]
) -> None:
    session = change(at_hop_three(ring))
    assert not is_refuted(session, anchor_of(session))


# ---------------------------------------------------------------- where to begin


def truth_of(ring: FakeRing, session: Session) -> list[OutputCommitment]:
    router = ring.ouroboros._router
    return ring.ouroboros._inputs.commitments_of(session, router.draw_of(session).commitment_key)


def signers_of(ring: FakeRing) -> tuple[Address, ...]:
    return tuple(member.keys.address for member in ring.members)


def can_begin(ring: FakeRing, session: Session, signers: tuple[Address, ...], truth: list[OutputCommitment]) -> bool:
    """Whether the next attempt would begin at hop 2, with what is in the store."""
    router, attempt = ring.ouroboros._router, Attempt(session.attempt + 1)
    due, routes = replace(session, next_hop=Hop(HOP + 1)), {Attempt(1): router.draw_of(session).signers}
    resumption = Resumption(due, attempt, session.model_version, signers, routes, tuple(truth))
    while isinstance(action := next_action(resumption), LookFor):
        resumption = router._answer(resumption, action)
    return action == Begin(Hop(HOP + 1))


def test_query_goes_on_from_a_true_output_that_is_in_the_store(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    assert can_begin(ring, session, signers_of(ring), truth_of(ring, session))


@pytest.mark.parametrize("wrong", [HOP, HOP + 1], ids=["output", "expected output"])
def test_query_does_not_go_on_from_what_honest_layers_would_not_commit_to(ring: FakeRing, wrong: int) -> None:
    """Two neighbors agreed on it: each other check passes."""
    session = at_hop_three(ring)
    truth = truth_of(ring, session)
    truth[wrong] = NO_OUTPUT
    assert not can_begin(ring, session, signers_of(ring), truth)


def test_query_does_not_go_on_from_an_envelope_for_somebody_else(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    signers = list(signers_of(ring))
    signers[HOP + 1] = make_keys(77).address
    assert not can_begin(ring, session, tuple(signers), truth_of(ring, session))


def test_query_does_not_go_on_from_a_refuted_output(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    convicted = replace(session, faults=faults(1, FaultKind.GUILTY, attempt=1))
    assert not can_begin(ring, convicted, signers_of(ring), truth_of(ring, session))


def test_query_does_not_go_on_from_a_hop_that_was_not_accepted(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    without = replace(session, updates=MappingProxyType({Hop(0): session.updates[Hop(0)]}))
    assert not can_begin(ring, without, signers_of(ring), truth_of(ring, session))


@pytest.mark.parametrize(("due", "first"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)])
def test_query_goes_on_at_the_hop_that_failed_or_the_last_one(ring: FakeRing, due: int, first: int) -> None:
    """Updates of a later hop may be left from an attempt before: they do not count."""
    session = replace(at_hop_three(ring), next_hop=Hop(due))
    assert ring.ouroboros._router._first_hop(session, Attempt(2), signers_of(ring)) == first


# ---------------------------------------------------------------- who is due


@pytest.mark.parametrize("phase", list(QueryPhase), ids=lambda phase: phase.name)
def test_signer_is_due_in_two_phases_alone(ring: FakeRing, phase: QueryPhase) -> None:
    session = replace(at_hop_three(ring), phase=phase)
    expected = {QueryPhase.COMPUTED: ring.members[0], QueryPhase.ROUTED: ring.members[3]}.get(phase)
    assert ring.ouroboros._router.signer_due(session) == (expected and expected.keys.address)


def test_fault_of_a_hop_that_the_attempt_serves_counts_against_its_signer_there(ring: FakeRing) -> None:
    """Whoever signed the hop in an attempt before is innocent of it."""
    session = at_hop_three(ring)
    fault = Fault(Attempt(1), Hop(2), FaultKind.GUILTY, make_keys(77).address)
    assert who_failed(fault, ring.ouroboros._router.draw_of(session)) == ring.members[2].keys.address


@pytest.mark.parametrize("signer", [None, make_keys(77).address], ids=["unknown", "known"])
def test_fault_of_a_hop_before_the_attempt_counts_against_who_signed_it(ring: FakeRing, signer: Address | None) -> None:
    later = replace(ring.ouroboros._router.draw_of(at_hop_three(ring)), first_hop=Hop(2))
    fault = Fault(Attempt(1), Hop(1), FaultKind.GUILTY, signer)
    assert who_failed(fault, later) == (signer or ring.members[1].keys.address)


def test_all_attempts_of_a_query_share_its_commitment_key(ring: FakeRing) -> None:
    """What was accepted in the first stays valid; and no two queries share one."""
    keys = set()
    for query in (ask_up_to(ring, 1), ask_up_to(ring, 1)):
        session = session_of(ring, query)
        router = ring.ouroboros._router
        first = router.draw_of(session).commitment_key
        later = replace(session, attempt=Attempt(1))
        assert router._draw(later, Attempt(2)).commitment_key == first
        keys.add(first)
    assert len(keys) == 2


def test_output_of_another_version_of_the_model_is_not_gone_on_from(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    assert ring.ouroboros._router._draw(session, Attempt(2)).first_hop == 3
    other = replace(session, model_version=session.model_version + 1)
    assert ring.ouroboros._router._draw(other, Attempt(2)).first_hop == 0


def test_first_attempt_begins_at_the_input_whatever_is_accepted(ring: FakeRing) -> None:
    session = at_hop_three(ring)
    assert ring.ouroboros._router._draw(session, Attempt(1)).first_hop == 0


def test_no_route_is_drawn_over_a_seat_that_has_not_attested(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    session = at_hop_three(ring)
    monkeypatch.setattr(type(ring.members[0].arranged()), "sealing_key_of", lambda *_: None)
    with pytest.raises(ProtocolError, match=f"{ring.members[0].keys.address} has not attested in this arrangement"):
        ring.ouroboros._router._draw(session, Attempt(2))
