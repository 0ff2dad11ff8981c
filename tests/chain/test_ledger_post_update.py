"""`post`: hops in their order, and violations of eq. 13 on the record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import OutputDisputed, UpdatePosted
from deepring_chain.protocol.trail import VIOLATION, extend_trail, mark_trail
from deepring_chain.types import ZERO, Address, Hop, QueryPhase
from tests.chain.expect import refused_state
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing, named


@pytest.mark.parametrize("hop", range(4))
def test_each_hop_is_accepted_from_its_signer(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    signed, signer, before = query.sign(query.update()), Address(query.signer.address), query.trail
    receipt = query.post()
    trail = extend_trail(before, message_digest(query.ring.ledger.domain, signed.update), signer)
    assert Address(receipt["from"]) == signer
    assert query.ring.ledger.events(receipt) == [UpdatePosted(signed, signer, trail)]
    phase = QueryPhase.COMPUTED if hop == 3 else QueryPhase.ROUTED
    assert query.place == (phase, 1, hop + 1, query.links[hop + 1], query.output(hop + 1), trail)


def test_route_is_empty_after_the_last_hop(query: ScriptedQuery) -> None:
    query.advance(4)
    assert query.state.route == ZERO


@pytest.mark.parametrize("hop", range(4))
def test_anyone_may_carry_a_signed_update(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    query.advance(hop)
    signer = Address(query.signer.address)
    (event,) = query.ring.ledger.events(query.post(carrier=mallory))
    assert isinstance(event, UpdatePosted)
    assert event.signer == signer


def test_first_hop_has_nothing_to_agree_with(query: ScriptedQuery) -> None:
    (event,) = query.ring.ledger.events(query.post(output=named("whatever the owner committed to")))
    assert isinstance(event, UpdatePosted)
    assert query.state.phase == QueryPhase.ROUTED


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_output_other_than_the_expected_one_is_recorded(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    receipt = query.contradict()
    posted, disputed = query.ring.ledger.events(receipt)
    assert isinstance(posted, UpdatePosted)
    assert mark_trail(posted.trail, VIOLATION) == query.trail
    expected = OutputDisputed(query.query, query.attempt, Hop(hop), query.output(hop), named("another output"))
    assert disputed == expected
    state = (QueryPhase.DISPUTED, 1, hop, query.links[hop + 1], query.output(hop), query.trail)
    assert query.place == state


@pytest.mark.parametrize("hop", [0, 1, 2])
def test_bogus_expectation_is_recorded_at_the_next_hop(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop).post(next_output=named("bogus"))
    disputed = query.ring.ledger.events(query.post())[-1]
    honest = query.output(hop + 1)
    assert disputed == OutputDisputed(query.query, query.attempt, Hop(hop + 1), named("bogus"), honest)
    assert query.state.phase == QueryPhase.DISPUTED


def test_disputed_query_takes_no_further_hop(query: ScriptedQuery) -> None:
    query.advance(1).contradict()
    with refused_state(query):
        query.post()
    query.hop = Hop(2)
    with refused_state(query):
        query.carry(query.sign(query.update()), state=replace(query.state, hop=Hop(2)))


def test_dispute_of_one_query_does_not_stop_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent), ring.submit(querent).open_route().advance(2)
    first.dispute()
    assert second.advance(4).state.phase == QueryPhase.COMPUTED
    assert first.state.phase == QueryPhase.DISPUTED


def test_queries_interleave(ring: ScriptedRing, querent: LocalAccount) -> None:
    queries = [ring.submit(querent).open_route() for _ in range(3)]
    for hop in range(4):
        for query in reversed(queries) if hop % 2 else queries:
            query.post()
    assert [query.state.phase for query in queries] == [QueryPhase.COMPUTED] * 3


def test_query_goes_on_after_a_new_arrangement(query: ScriptedQuery) -> None:
    query.advance(2)
    query.ring.arrange()
    query.ring.attest(0, 1, 2, 3)
    assert query.advance(4).state.phase == QueryPhase.COMPUTED
