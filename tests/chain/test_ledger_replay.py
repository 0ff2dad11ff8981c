"""A signed entry counts at one place only: not twice, not in another query, not on another ledger or chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import recover_signer
from deepring_chain.types import Domain, QueryPhase, SignedUpdate
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.ring_driver import Ledger, ScriptedQuery, ScriptedRing, fund


@pytest.mark.parametrize("hop", range(3))
def test_update_posted_again_is_refused(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    signed, signer, before = query.sign(query.update()), query.signer, query.state
    query.post()
    for shown in (query.state, before):
        with refused_state(query):
            query.ring.ledger.by(signer).post(shown, signed)


def test_last_update_posted_again_is_refused(query: ScriptedQuery) -> None:
    query.advance(3)
    signed, before = query.sign(query.update()), query.state
    query.post()
    with refused_state(query):
        query.carry(signed, state=before)
    with refused("UnexpectedLength", query=1, hops=4, end=5):
        query.carry(signed, state=replace(query.state, touched_at=before.touched_at))


def test_update_carried_by_mallory_first_leaves_the_worker_with_a_refusal(
    query: ScriptedQuery, mallory: LocalAccount
) -> None:
    query.advance(1)
    signed, worker, before = query.sign(query.update()), query.signer, query.state
    query.post(carrier=mallory)
    with refused_state(query):
        query.ring.ledger.by(worker).post(before, signed)
    assert query.advance(4).state.phase == QueryPhase.COMPUTED


def second_update_for_the_same_hop(query: ScriptedQuery) -> SignedUpdate:
    return query.sign(query.update(envelope=query.output(9)))


def test_second_entry_of_the_same_signer_for_the_same_hop_is_refused(query: ScriptedQuery) -> None:
    query.advance(1)
    second, before = second_update_for_the_same_hop(query), query.state
    query.post()
    for shown in (before, query.state):
        with refused_state(query):
            query.carry(second, state=shown)


def test_update_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent).open_route(), ring.submit(querent).open_route()
    signed = first.sign(first.update())
    moved = replace(signed, update=replace(signed.update, query=second.query))
    own_opening = replace(signed, update=second.update(), salt=second.salts[0], next_route=second.links[1])
    for update in (moved, own_opening):
        for shown in (first.state, second.state):
            with refused_state(second, first):
                second.carry(update, state=shown)


@pytest.mark.usefixtures("clock")
def test_update_for_another_ledger_is_refused(
    ring: ScriptedRing, other_ring: ScriptedRing, querent: LocalAccount
) -> None:
    """The clock stands still, so that the two queries are the same in all but their ledger."""
    here, there = ring.submit(querent).open_route(), other_ring.submit(querent).open_route()
    assert (here.query, here.trail, here.links) == (there.query, there.trail, there.links)
    signed = there.sign(there.update())
    with refused_state(here):
        here.carry(signed)
    there.post()
    here.post()


@pytest.mark.usefixtures("clock")
def test_delivery_for_another_ledger_is_refused(
    ring: ScriptedRing, other_ring: ScriptedRing, querent: LocalAccount
) -> None:
    here, there = ring.submit(querent).compute(), other_ring.submit(querent).compute()
    delivery = here.delivery()
    signature = there.sign_delivery(delivery)
    signer = recover_signer(ring.ledger.domain, delivery, signature)
    with refused("UnexpectedOwner", query=1, expected=ring.owner.address, actual=signer):
        ring.owner_client.deliver(here.state, delivery, signature)


def test_update_signed_for_another_chain_id_is_refused(query: ScriptedQuery) -> None:
    elsewhere = Domain(query.ring.ledger.domain.chain_id + 1, query.ring.ledger.address)
    with refused_state(query):
        query.carry(query.sign(query.update(), domain=elsewhere))


def test_history_replayed_on_another_chain_is_refused_at_the_first_signature(
    owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount
) -> None:
    with Devnet() as one, Devnet(chain_id=4242) as other:
        rings = [fresh_ring(node, owner, workers, querent) for node in (one, other)]
        clocks = [Clock(ring.ledger.web3) for ring in rings]
        now = max(clock.now for clock in clocks) + 10
        for clock in clocks:
            clock.advance(now - clock.now)
            clock.stop()
        here, there = (ring.submit(querent).open_route() for ring in rings)
        assert rings[0].ledger.address == rings[1].ledger.address
        assert (here.trail, here.links) == (there.trail, there.links)
        with refused_state(there):
            there.carry(here.sign(here.update()))
        there.post()


def fresh_ring(
    node: Devnet, owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount
) -> ScriptedRing:
    web3 = connect(node.url)
    fund(web3, [owner, *workers, querent])
    return ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, workers).make_authentic()


def test_refusal_is_one_line_that_names_both_values(query: ScriptedQuery) -> None:
    signed, before = query.sign(query.update()), query.state
    query.post()
    now = query.ring.ledger.word(1).hex()
    with pytest.raises(LedgerReverted, match=f"query=1, expected=0x{now}, actual=0x{before.fold().hex()}") as caught:
        query.carry(signed, state=before)
    assert "\n" not in str(caught.value)
