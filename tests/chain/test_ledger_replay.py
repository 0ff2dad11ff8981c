"""A signed entry counts at one place only: not twice, not in another query, not on another ledger or chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.signing import recover_signer
from deepring_chain.protocol.route import route_link
from deepring_chain.types import Domain, QueryPhase, SignedUpdate
from tests.chain.expect import high_s, refused
from tests.chain.ring_driver import Ledger, ScriptedQuery, ScriptedRing, fund


@pytest.mark.parametrize("hop", range(3))
def test_update_posted_again_is_refused(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    signed, signer = query.sign(query.update()), query.signer
    query.post()
    with refused("UnexpectedHop", query=1, expected=hop + 1, actual=hop):
        query.ring.ledger.by(signer).post_update(signed)


def test_last_update_posted_again_is_refused(query: ScriptedQuery) -> None:
    query.advance(3)
    signed = query.sign(query.update())
    query.post()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.ROUTED, actual=QueryPhase.COMPUTED):
        query.ring.owner_client.post_update(signed)


def test_update_carried_by_mallory_first_leaves_the_worker_with_a_refusal(
    query: ScriptedQuery, mallory: LocalAccount
) -> None:
    query.advance(1)
    signed, worker = query.sign(query.update()), query.signer
    query.post(carrier=mallory)
    with refused("UnexpectedHop", query=1, expected=2, actual=1):
        query.ring.ledger.by(worker).post_update(signed)
    assert query.advance(4).state.phase == QueryPhase.COMPUTED


def test_second_signature_made_from_the_first_is_refused(query: ScriptedQuery, mallory: LocalAccount) -> None:
    signed = query.sign(query.update())
    other = replace(signed, signature=high_s(signed.signature))
    with refused("ECDSAInvalidSignatureS", s=other.signature[32:64]):
        query.ring.ledger.by(mallory).post_update(other)
    query.post()
    with refused("UnexpectedHop", query=1, expected=1, actual=0):
        query.ring.ledger.by(mallory).post_update(other)


def second_update_for_the_same_hop(query: ScriptedQuery) -> SignedUpdate:
    return query.sign(query.update(envelope=query.output(9)))


def test_second_entry_of_the_same_signer_for_the_same_hop_is_refused(query: ScriptedQuery) -> None:
    query.advance(1)
    second = second_update_for_the_same_hop(query)
    query.post()
    with refused("UnexpectedHop", query=1, expected=2, actual=1):
        query.ring.owner_client.post_update(second)


def test_update_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent).open_route(), ring.submit(querent).open_route()
    signed = first.sign(first.update())
    moved = replace(signed, update=replace(signed.update, query=second.query))
    with refused("UnexpectedTrail", query=2, expected=second.trail, actual=first.trail):
        ring.owner_client.post_update(moved)
    expect_stranger_to(second, replace(signed, update=replace(moved.update, trail=second.trail)))
    own_opening = replace(signed, update=second.update(), salt=second.salts[0], next_route=second.links[1])
    expect_stranger_to(second, own_opening)


def expect_stranger_to(query: ScriptedQuery, signed: SignedUpdate) -> None:
    """The signature, taken for one over this update on this ledger, is of nobody on the route."""
    signer = recover_signer(query.ring.ledger.domain, signed.update, signed.signature)
    actual, expected = route_link(signer, signed.salt, signed.next_route), query.links[query.hop]
    arguments = {"signer": signer, "expected": expected, "actual": actual}
    with refused("UnexpectedSigner", query=query.query, hop=query.hop, **arguments):
        query.ring.owner_client.post_update(signed)


def test_update_for_another_ledger_is_refused(
    ring: ScriptedRing, other_ring: ScriptedRing, querent: LocalAccount
) -> None:
    here, there = ring.submit(querent).open_route(), other_ring.submit(querent).open_route()
    assert (here.query, here.trail, here.links) == (there.query, there.trail, there.links)
    signed = there.sign(there.update())
    expect_stranger_to(here, signed)
    there.post()
    here.post()


def test_delivery_for_another_ledger_is_refused(
    ring: ScriptedRing, other_ring: ScriptedRing, querent: LocalAccount
) -> None:
    here, there = ring.submit(querent).compute(), other_ring.submit(querent).compute()
    delivery = here.delivery()
    signature = there.sign_delivery(delivery)
    signer = recover_signer(ring.ledger.domain, delivery, signature)
    with refused("UnexpectedOwner", query=1, expected=ring.owner.address, actual=signer):
        ring.owner_client.deliver(delivery, signature)


def test_update_signed_for_another_chain_id_is_refused(query: ScriptedQuery) -> None:
    elsewhere = Domain(query.ring.ledger.domain.chain_id + 1, query.ring.ledger.address)
    expect_stranger_to(query, query.sign(query.update(), domain=elsewhere))


def test_history_replayed_on_another_chain_is_refused_at_the_first_signature(
    owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount
) -> None:
    with Devnet() as one, Devnet(chain_id=4242) as other:
        rings = [fresh_ring(node, owner, workers, querent) for node in (one, other)]
        here, there = (ring.submit(querent).open_route() for ring in rings)
        assert rings[0].ledger.address == rings[1].ledger.address
        assert (here.trail, here.links) == (there.trail, there.links)
        expect_stranger_to(there, here.sign(here.update()))
        there.post()


def fresh_ring(
    node: Devnet, owner: LocalAccount, workers: tuple[LocalAccount, ...], querent: LocalAccount
) -> ScriptedRing:
    web3 = connect(node.url)
    fund(web3, [owner, *workers, querent])
    return ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, workers).make_authentic()


def test_refusal_is_one_line_that_names_both_values(query: ScriptedQuery) -> None:
    signed = query.sign(query.update())
    query.post()
    with pytest.raises(LedgerReverted, match="query=1, expected=1, actual=0") as caught:
        query.ring.owner_client.post_update(signed)
    assert "\n" not in str(caught.value)
