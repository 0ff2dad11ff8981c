"""`judge`: the ouroboros says which side of a disputed edge is guilty, and the query waits for a new attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest, recover_signer, sign_message
from deepring_chain.protocol.events import VerdictPosted
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.types import ZERO, Attempt, Domain, Hop, QueryId, QueryPhase, Verdict
from tests.chain.expect import BREAKS, break_signature, high_s, refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.query_driver import ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

SIDES = [(True, False), (False, True), (True, True), (False, False)]
DISPUTES: dict[str, tuple[int, Callable[[ScriptedQuery], object]]] = {
    "eq. 13 at hop 1": (1, lambda query: query.advance(1).contradict()),
    "eq. 13 at the last hop": (3, lambda query: query.advance(3).contradict()),
    "eq. 13 at the delivery": (4, lambda query: query.advance(4).deliver(output=named("another output"))),
    "complaint of a layer": (2, lambda query: query.advance(2).complain()),
    "complaint of the ouroboros": (4, lambda query: query.advance(4).complain()),
}


@pytest.fixture
def disputed(query: ScriptedQuery) -> ScriptedQuery:
    """Hop 2 complained of hop 1."""
    query.advance(2).complain()
    return query


def expect_verdict(query: ScriptedQuery, hop: int, sender_guilty: bool, receiver_guilty: bool) -> None:
    """The verdict is taken, and the query waits at `hop`."""
    before = query.state
    verdict = query.verdict(sender_guilty=sender_guilty, receiver_guilty=receiver_guilty)
    trail = extend_trail(query.trail, message_digest(query.domain, verdict), address_of(query.ring.owner))
    receipt = query.judge(sender_guilty=sender_guilty, receiver_guilty=receiver_guilty)
    posted = VerdictPosted(verdict, sign_message(query.ring.owner, query.domain, verdict), trail)
    assert query.ring.ledger.events(receipt) == [posted]
    assert query.state == replace(before, phase=QueryPhase.INTERRUPTED, trail=trail)
    assert (query.state.hop, query.trail) == (hop, trail)


@pytest.mark.parametrize("dispute", DISPUTES)
def test_verdict_on_every_kind_of_dispute_is_recorded(query: ScriptedQuery, dispute: str) -> None:
    hop, bring = DISPUTES[dispute]
    bring(query)
    expect_verdict(query, hop, sender_guilty=True, receiver_guilty=False)


@pytest.mark.parametrize("guilty", SIDES, ids=["sender", "receiver", "both", "neither"])
def test_verdict_names_either_side_both_or_neither(disputed: ScriptedQuery, guilty: tuple[bool, bool]) -> None:
    expect_verdict(disputed, 2, *guilty)


def test_anyone_may_carry_the_owners_verdict(disputed: ScriptedQuery, mallory: LocalAccount) -> None:
    verdict = disputed.verdict()
    signature = sign_message(disputed.ring.owner, disputed.domain, verdict)
    disputed.ring.ledger.by(mallory).judge(disputed.state, verdict, signature)
    assert disputed.state.phase == QueryPhase.INTERRUPTED


def test_verdict_is_taken_while_the_ring_is_not_authentic(disputed: ScriptedQuery) -> None:
    disputed.ring.tamper(1)
    disputed.judge()
    assert disputed.state.phase == QueryPhase.INTERRUPTED


def expect_stranger(query: ScriptedQuery, verdict: Verdict, signature: bytes) -> None:
    """The signature, taken for one over this verdict, is not the owner's; nothing changes."""
    before, signer = query.state, recover_signer(query.domain, verdict, signature)
    with refused("UnexpectedOwner", query=query.query, expected=query.ring.owner.address, actual=signer):
        query.ring.owner_client.judge(before, verdict, signature)
    assert query.state == before


def expect_refusal(query: ScriptedQuery, verdict: Verdict, signature: bytes) -> None:
    """Neither the place that it was signed for is the query's, nor does the signature fit to the query's place."""
    signed: dict[str, Any] = {"attempt": verdict.attempt, "hop": verdict.hop, "trail": verdict.trail}
    with refused_state(query):
        query.ring.owner_client.judge(replace(query.state, **signed), verdict, signature)
    at_place = replace(verdict, query=query.query, attempt=query.attempt, hop=query.hop, trail=query.trail)
    expect_stranger(query, at_place, signature)


def sign(query: ScriptedQuery, verdict: Verdict) -> bytes:
    return sign_message(query.ring.owner, query.domain, verdict)


def test_verdict_of_another_is_refused(disputed: ScriptedQuery, mallory: LocalAccount) -> None:
    """A stranger, the querent, or one of the two on the edge passes judgment."""
    verdict = disputed.verdict()
    for account in (mallory, disputed.querent, *disputed.ring.workers):
        expect_stranger(disputed, verdict, sign_message(account, disputed.domain, verdict))


@pytest.mark.parametrize("bring", ["hop 0", "hop 2", "computed"])
def test_verdict_without_a_dispute_is_refused(query: ScriptedQuery, bring: str) -> None:
    """The owner convicts a worker that nobody accused."""
    query.advance({"hop 0": 0, "hop 2": 2, "computed": 4}[bring])
    actual = QueryPhase.COMPUTED if bring == "computed" else QueryPhase.ROUTED
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.DISPUTED, actual=actual):
        query.judge()


def test_second_verdict_is_refused(disputed: ScriptedQuery) -> None:
    """The owner changes its mind."""
    disputed.judge()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.DISPUTED, actual=QueryPhase.INTERRUPTED):
        disputed.judge(sender_guilty=False, receiver_guilty=True)


@pytest.mark.parametrize("hop", [0, 1, 3, 4, 65_535])
def test_verdict_on_another_hop_is_refused(disputed: ScriptedQuery, hop: int) -> None:
    """The owner convicts somebody who is not on the disputed edge."""
    verdict = disputed.verdict(hop=Hop(hop))
    expect_refusal(disputed, verdict, sign(disputed, verdict))


@pytest.mark.parametrize(
    "changes",
    [{"attempt": Attempt(attempt)} for attempt in (0, 2, 65_535)] + [{"trail": ZERO}, {"trail": named("trail")}],
    ids=lambda changes: str(next(iter(changes.items()))),
)
def test_verdict_on_another_attempt_or_history_is_refused(disputed: ScriptedQuery, changes: dict[str, Any]) -> None:
    """Other workers may have been on that edge; or it judges what did not happen."""
    verdict = disputed.verdict(**changes)
    expect_refusal(disputed, verdict, sign(disputed, verdict))


def test_verdict_written_before_the_complaint_is_refused(query: ScriptedQuery) -> None:
    """The judgment stood before the accused was accused."""
    early = query.advance(2).verdict()
    signature = sign_message(query.ring.owner, query.domain, early)
    query.complain()
    expect_refusal(query, early, signature)


def test_verdict_is_not_replayed_in_the_next_attempt(disputed: ScriptedQuery) -> None:
    """Hop 2 complains again, of the same envelope; Mallory brings the verdict of last time."""
    old = disputed.verdict()
    signature = sign_message(disputed.ring.owner, disputed.domain, old)
    disputed.judge()
    disputed.resume(2)
    disputed.complain()
    expect_refusal(disputed, old, signature)
    expect_refusal(disputed, replace(old, attempt=Attempt(2)), signature)


def test_verdict_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    """The same dispute in two queries; one was judged."""
    first, second = (ring.submit(querent).open_route().advance(2) for _ in range(2))
    for query in (first, second):
        query.complain()
    verdict = first.verdict()
    signature = sign_message(ring.owner, first.domain, verdict)
    expect_refusal(second, replace(verdict, query=second.query), signature)


@pytest.mark.parametrize(
    "content",
    [{"sender_guilty": False}, {"receiver_guilty": True}, {"evidence": named("changed")}],
    ids=lambda content: next(iter(content)),
)
def test_content_changed_after_signing_is_refused(disputed: ScriptedQuery, content: dict[str, Any]) -> None:
    """A carrier acquits the guilty, convicts the other, or exchanges the evidence."""
    verdict = disputed.verdict()
    signature = sign_message(disputed.ring.owner, disputed.domain, verdict)
    expect_stranger(disputed, replace(verdict, **content), signature)


@pytest.mark.parametrize(
    "place",
    [{"query": QueryId(7)}, {"attempt": Attempt(2)}, {"hop": Hop(1)}, {"trail": named("trail")}],
    ids=lambda place: next(iter(place)),
)
def test_place_changed_to_the_right_one_after_signing_is_refused(
    disputed: ScriptedQuery, place: dict[str, Any]
) -> None:
    """A carrier moves a verdict to a dispute that the owner did not judge."""
    signature = sign_message(disputed.ring.owner, disputed.domain, disputed.verdict(**place))
    expect_stranger(disputed, disputed.verdict(), signature)


def test_verdict_for_another_ledger_or_chain_is_refused(disputed: ScriptedQuery) -> None:
    """The same owner has a ring elsewhere."""
    verdict, here, owner = disputed.verdict(), disputed.domain, disputed.ring.owner
    for elsewhere in (Domain(here.chain_id + 1, here.ledger), Domain(here.chain_id, address_of(owner))):
        expect_stranger(disputed, verdict, sign_message(owner, elsewhere, verdict))


@pytest.mark.parametrize("how", BREAKS)
def test_broken_signature_is_refused(disputed: ScriptedQuery, how: str) -> None:
    """Malformed, or malleable."""
    verdict = disputed.verdict()
    broken = break_signature(how, sign_message(disputed.ring.owner, disputed.domain, verdict))
    with refused(broken.error, **broken.arguments):
        disputed.ring.owner_client.judge(disputed.state, verdict, broken.signature)
    assert disputed.state.phase == QueryPhase.DISPUTED


def test_second_signature_made_from_the_first_is_refused(disputed: ScriptedQuery) -> None:
    """Anyone can compute the one with a high s: after the verdict was taken it counts for nothing either."""
    verdict = disputed.verdict()
    other = high_s(sign_message(disputed.ring.owner, disputed.domain, verdict))
    disputed.judge()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.DISPUTED, actual=QueryPhase.INTERRUPTED):
        disputed.ring.owner_client.judge(disputed.state, verdict, other)
