"""`complain`: the recipient whose turn it is disputes the envelope that it got (protocol 5.4)."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest, sign_message
from deepring_chain.protocol.events import EnvelopeDisputed
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.types import NO_ROUTE, ZERO, Attempt, ComplaintKind, Hop, QueryPhase
from tests.chain.names import address_of
from tests.chain.query_driver import ScriptedQuery
from tests.chain.ring_driver import ScriptedRing


@pytest.mark.parametrize(("hop", "kind"), list(zip([1, 2, 3, 3], ComplaintKind, strict=True)))
def test_complaint_of_the_recipient_is_recorded(query: ScriptedQuery, hop: int, kind: ComplaintKind) -> None:
    query.advance(hop)
    complaint, recipient = query.complaint(kind=kind), address_of(query.signer)
    signature = sign_message(query.signer, query.domain, complaint)
    touched, route = query.state.touched_at, query.links[hop]
    trail = extend_trail(query.trail, message_digest(query.domain, complaint), recipient)
    receipt = query.complain(kind=kind)
    disputed = EnvelopeDisputed(complaint, recipient, *query.opening, signature, trail)
    assert query.ring.ledger.events(receipt) == [disputed]
    assert query.place == (QueryPhase.DISPUTED, 1, hop, route, query.output(hop), trail)
    assert query.state.touched_at == touched


def test_complaint_of_the_ouroboros_after_the_last_hop_is_recorded(query: ScriptedQuery) -> None:
    query.advance(4)
    complaint, owner = query.complaint(), query.ring.owner
    signature = sign_message(owner, query.domain, complaint)
    (event,) = query.ring.ledger.events(query.complain())
    assert event == EnvelopeDisputed(complaint, address_of(owner), ZERO, NO_ROUTE, signature, query.trail)
    assert query.place == (QueryPhase.DISPUTED, 1, 4, ZERO, query.output(4), query.trail)


def test_anyone_may_carry_a_complaint(query: ScriptedQuery, mallory: LocalAccount) -> None:
    query.advance(2)
    complaint = query.complaint()
    signature = sign_message(query.signer, query.domain, complaint)
    query.ring.ledger.by(mallory).complain(query.state, complaint, *query.opening, signature)
    assert query.state.phase == QueryPhase.DISPUTED


def test_complaint_is_heard_while_the_ring_is_not_authentic(query: ScriptedQuery) -> None:
    query.advance(2).ring.tamper(1)
    query.complain()
    assert query.state.phase == QueryPhase.DISPUTED


def test_recipient_in_a_resumed_attempt_complains_of_the_output_that_it_goes_on_from(query: ScriptedQuery) -> None:
    query.advance(2).contradict()
    query.judge()
    query.resume(2)
    (event,) = query.ring.ledger.events(query.complain())
    assert isinstance(event, EnvelopeDisputed)
    assert (event.complaint.attempt, event.complaint.hop) == (Attempt(2), Hop(2))
    assert event.trail == query.trail


def test_complaint_in_one_query_does_not_stop_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = (ring.submit(querent).open_route().advance(2) for _ in range(2))
    first.complain()
    assert second.advance(4).state.phase == QueryPhase.COMPUTED
