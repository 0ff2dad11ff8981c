"""`complain`: nobody but the recipient, nowhere but at the hop that is due, and never twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.crypto.signing import recover_signer, sign_message
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import NO_ROUTE, ZERO, Attempt, Complaint, ComplaintKind, Domain, Hop, QueryId, QueryPhase
from tests.chain.expect import BREAKS, break_signature, high_s, refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.query_driver import ScriptedQuery
from tests.chain.ring_driver import ScriptedRing


def carry(query: ScriptedQuery, complaint: Complaint, signature: bytes, state: QueryState | None = None) -> None:
    """Posts through an account that has nothing to do with the hop, at the query's place or another."""
    query.ring.owner_client.complain(state or query.state, complaint, *query.opening, signature)


def expect_refusal(query: ScriptedQuery, complaint: Complaint, signature: bytes) -> None:
    """Neither the place that it was signed for is the query's, nor does the signature fit to the query's place."""
    signed: dict[str, Any] = {"attempt": complaint.attempt, "hop": complaint.hop, "trail": complaint.trail}
    with refused_state(query):
        carry(query, complaint, signature, replace(query.state, **signed))
    at_place = replace(complaint, query=query.query, attempt=query.attempt, hop=query.hop, trail=query.trail)
    expect_stranger(query, at_place, signature)


def expect_stranger(query: ScriptedQuery, complaint: Complaint, signature: bytes) -> None:
    """The signature, taken for one over this complaint, is not the recipient's; nothing changes."""
    before, signer = query.state, recover_signer(query.domain, complaint, signature)
    with refused("NotRecipient", query=query.query, hop=complaint.hop, signer=signer):
        carry(query, complaint, signature)
    assert query.state == before


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_others_than_the_recipient_are_refused(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    """A stranger, the owner, the sender itself and the layers whose turn it is not each want to stop the query."""
    query.advance(hop)
    complaint = query.complaint()
    for account in {mallory, *query.signers} - {query.signer}:
        expect_stranger(query, complaint, sign_message(account, query.domain, complaint))


def test_sender_complaining_of_itself_with_its_own_opening_is_refused(query: ScriptedQuery) -> None:
    """Hop 1 opens the link that it had opened before: that link is used up."""
    query.advance(2)
    complaint, sender = query.complaint(), query.signers[1]
    signature = sign_message(sender, query.domain, complaint)
    with refused("NotRecipient", query=1, hop=2, signer=sender.address):
        query.ring.ledger.by(sender).complain(query.state, complaint, query.salts[1], query.links[2], signature)


def test_hop_after_the_recipient_with_its_own_opening_is_refused(query: ScriptedQuery) -> None:
    """Hop 3 complains while hop 2 is still at work."""
    query.advance(2)
    complaint, later = query.complaint(), query.signers[3]
    signature = sign_message(later, query.domain, complaint)
    with refused("NotRecipient", query=1, hop=2, signer=later.address):
        query.ring.ledger.by(later).complain(query.state, complaint, query.salts[3], query.links[4], signature)


@pytest.mark.parametrize("which", ["salt", "rest"])
def test_recipient_with_another_opening_is_refused(query: ScriptedQuery, which: str) -> None:
    """The signature is right, but it does not open the route."""
    query.advance(2)
    complaint, (salt, rest) = query.complaint(), query.opening
    signature = sign_message(query.signer, query.domain, complaint)
    salt, rest = (named("salt"), rest) if which == "salt" else (salt, NO_ROUTE)
    with refused("NotRecipient", query=1, hop=2, signer=query.signer.address):
        query.ring.owner_client.complain(query.state, complaint, salt, rest, signature)


def test_nobody_complains_at_the_first_hop(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """Hop 0 gets no envelope: what the querent sent is turned down, not disputed."""
    for account in (query.ring.owner, query.signers[1], mallory):
        with refused("NotRecipient", query=1, hop=0, signer=account.address):
            query.complain(account)


def test_others_than_the_ouroboros_are_refused_after_the_last_hop(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """The last layer, or a stranger, keeps the answer from being delivered."""
    query.advance(4)
    for account in (mallory, query.querent, *query.ring.workers):
        with refused("NotRecipient", query=1, hop=4, signer=account.address):
            query.complain(account)


def test_recipient_that_has_posted_its_update_complains_too_late(query: ScriptedQuery) -> None:
    """Hop 1 accepted the envelope by working with it; then it wants to blame hop 0."""
    query.advance(1)
    early, layer = query.complaint(), query.signer
    signature = sign_message(layer, query.domain, early)
    query.post()
    expect_refusal(query, early, signature)
    now = query.complaint()
    expect_stranger(query, now, sign_message(layer, query.domain, now))


@pytest.mark.parametrize("hop", [0, 1, 3, 4, 65_535])
def test_complaint_at_another_hop_is_refused(query: ScriptedQuery, hop: int) -> None:
    """The recipient blames somebody else than who sent to it."""
    query.advance(2)
    complaint = query.complaint(hop=Hop(hop))
    expect_refusal(query, complaint, sign_message(query.signer, query.domain, complaint))


@pytest.mark.parametrize(
    "changes",
    [{"attempt": Attempt(attempt)} for attempt in (0, 2, 65_535)] + [{"trail": ZERO}, {"trail": named("trail")}],
    ids=lambda changes: str(next(iter(changes.items()))),
)
def test_complaint_for_another_attempt_or_history_is_refused(query: ScriptedQuery, changes: dict[str, Any]) -> None:
    """One that was signed before, or for later; or the recipient saw another chain, or says so."""
    complaint = query.advance(2).complaint(**changes)
    expect_refusal(query, complaint, sign_message(query.signer, query.domain, complaint))


def test_complaint_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    """Both are at the same hop with the same recipient."""
    first, second = (ring.submit(querent).open_route().advance(2) for _ in range(2))
    complaint = first.complaint()
    signature = sign_message(first.signer, first.domain, complaint)
    expect_refusal(second, replace(complaint, query=second.query), signature)


def test_second_complaint_is_refused(query: ScriptedQuery) -> None:
    """The recipient adds to what it said."""
    query.advance(2).complain()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.ROUTED, actual=QueryPhase.DISPUTED):
        query.complain()


def test_complaint_of_an_old_attempt_is_refused_in_the_next(query: ScriptedQuery) -> None:
    """Mallory kept a complaint that was signed, but overtaken by a timeout."""
    query.advance(2)
    old = query.complaint()
    signature = sign_message(query.signer, query.domain, old)
    query.let_time_out()
    query.resume(2)
    assert old.trail == query.trail
    expect_refusal(query, old, signature)


def test_unknown_kind_is_refused(query: ScriptedQuery) -> None:
    """There is no such thing to check."""
    query.advance(2)
    with pytest.raises(TransactionFailed):
        query.complain(kind=cast("ComplaintKind", len(ComplaintKind)))
    assert query.state.phase == QueryPhase.ROUTED


@pytest.mark.parametrize(
    "content",
    [{"kind": ComplaintKind.MISSING}, {"evidence": named("changed")}],
    ids=lambda content: next(iter(content)),
)
def test_content_changed_after_signing_is_refused(query: ScriptedQuery, content: dict[str, Any]) -> None:
    """A carrier says another thing in the recipient's name."""
    complaint = query.advance(2).complaint()
    signature = sign_message(query.signer, query.domain, complaint)
    expect_stranger(query, replace(complaint, **content), signature)


@pytest.mark.parametrize(
    "place",
    [{"query": QueryId(7)}, {"attempt": Attempt(2)}, {"hop": Hop(1)}, {"trail": named("trail")}],
    ids=lambda place: next(iter(place)),
)
def test_place_changed_to_the_right_one_after_signing_is_refused(query: ScriptedQuery, place: dict[str, Any]) -> None:
    """A carrier moves a complaint to where it would be taken."""
    query.advance(2)
    signature = sign_message(query.signer, query.domain, query.complaint(**place))
    expect_stranger(query, query.complaint(), signature)


def test_complaint_for_another_ledger_or_chain_is_refused(query: ScriptedQuery) -> None:
    """The same people have a ring elsewhere."""
    complaint = query.advance(2).complaint()
    here = query.domain
    for elsewhere in (Domain(here.chain_id + 1, here.ledger), Domain(here.chain_id, address_of(query.querent))):
        expect_stranger(query, complaint, sign_message(query.signer, elsewhere, complaint))


@pytest.mark.parametrize("how", BREAKS)
def test_broken_signature_is_refused(query: ScriptedQuery, how: str) -> None:
    """Malformed, or malleable."""
    complaint = query.advance(2).complaint()
    broken = break_signature(how, sign_message(query.signer, query.domain, complaint))
    with refused(broken.error, **broken.arguments):
        carry(query, complaint, broken.signature)
    assert query.state.phase == QueryPhase.ROUTED


def test_second_signature_made_from_the_first_is_refused(query: ScriptedQuery) -> None:
    """Anyone can compute the one with a high s: before and after the complaint was taken it counts for nothing."""
    complaint = query.advance(2).complaint()
    other = high_s(sign_message(query.signer, query.domain, complaint))
    with refused("ECDSAInvalidSignatureS", s=other[32:64]):
        carry(query, complaint, other)
    query.complain()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.ROUTED, actual=QueryPhase.DISPUTED):
        carry(query, complaint, other)
