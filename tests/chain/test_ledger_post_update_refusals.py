"""`postUpdate`: wrong signers, wrong places, broken signatures, and anything that was changed after signing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import recover_signer
from deepring_chain.protocol.route import route_link
from deepring_chain.types import ZERO, Attempt, Hop, QueryId, QueryPhase, SignedUpdate
from tests.chain.expect import BREAKS, break_signature, refused
from tests.chain.ring_driver import ScriptedQuery, named


def carry(query: ScriptedQuery, signed: SignedUpdate) -> None:
    """Posts through an account that has nothing to do with the hop."""
    query.ring.owner_client.post_update(signed)


def expect_stranger(query: ScriptedQuery, signed: SignedUpdate) -> None:
    """The signature is of somebody whom, with this opening, the route does not name."""
    signer = recover_signer(query.ring.ledger.domain, signed.update, signed.signature)
    actual = route_link(signer, signed.salt, signed.next_route)
    expected = query.links[query.hop]
    with refused("UnexpectedSigner", query=1, hop=query.hop, signer=signer, expected=expected, actual=actual):
        carry(query, signed)
    assert query.state.trail == query.trail


@pytest.mark.parametrize("hop", range(4))
def test_wrong_signer_is_refused(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    query.advance(hop)
    expect_stranger(query, query.sign(query.update(), mallory))


@pytest.mark.parametrize("hop", range(4))
def test_right_signers_of_other_hops_are_refused(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    for other in range(4):
        if other != hop:
            expect_stranger(query, query.sign(query.update(), query.signers[other]))


@pytest.mark.parametrize("hop", range(3))
def test_next_signer_with_its_own_opening_is_refused_before_its_turn(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    later = query.sign(query.update(), query.signers[hop + 1])
    expect_stranger(query, replace(later, salt=query.salts[hop + 1], next_route=query.links[hop + 2]))


@pytest.mark.parametrize("hop", range(4))
@pytest.mark.parametrize("signed_hop", [0, 1, 2, 3, 4, 65_535])
def test_right_signer_at_the_wrong_hop_is_refused(query: ScriptedQuery, hop: int, signed_hop: int) -> None:
    query.advance(hop)
    if signed_hop != hop:
        with refused("UnexpectedHop", query=1, expected=hop, actual=signed_hop):
            carry(query, query.sign(query.update(hop=Hop(signed_hop))))


@pytest.mark.parametrize("attempt", [0, 2, 65_535])
def test_other_attempt_is_refused(query: ScriptedQuery, attempt: int) -> None:
    with refused("UnexpectedAttempt", query=1, expected=1, actual=attempt):
        carry(query, query.sign(query.update(attempt=Attempt(attempt))))


@pytest.mark.parametrize("trail", [ZERO, named("trail")], ids=["zero", "random"])
def test_other_trail_is_refused(query: ScriptedQuery, trail: bytes) -> None:
    query.advance(1)
    with refused("UnexpectedTrail", query=1, expected=query.trail, actual=trail):
        carry(query, query.sign(query.update(trail=trail)))


@pytest.mark.parametrize("number", [0, 2, 2**64 - 1])
def test_unknown_query_is_refused(query: ScriptedQuery, number: int) -> None:
    with refused("UnexpectedPhase", query=number, expected=QueryPhase.ROUTED, actual=QueryPhase.NONE):
        carry(query, query.sign(query.update(query=QueryId(number))))


@pytest.mark.parametrize("field", ["envelope", "output", "next_output"])
def test_content_changed_after_signing_is_refused(query: ScriptedQuery, field: str) -> None:
    query.advance(1)
    signed = query.sign(query.update())
    changed: dict[str, Any] = {field: named("changed")}
    expect_stranger(query, replace(signed, update=replace(signed.update, **changed)))


@pytest.mark.parametrize(
    "place", [{"query": 7}, {"attempt": 2}, {"hop": 2}, {"trail": named("trail")}], ids=lambda place: next(iter(place))
)
def test_place_changed_to_the_right_one_after_signing_is_refused(query: ScriptedQuery, place: dict[str, Any]) -> None:
    query.advance(1)
    signed = query.sign(query.update(**place))
    expect_stranger(query, replace(signed, update=query.update()))


@pytest.mark.parametrize("field", ["salt", "next_route"])
@pytest.mark.parametrize("value", [ZERO, named("changed")], ids=["zero", "random"])
def test_changed_opening_is_refused(query: ScriptedQuery, field: str, value: bytes) -> None:
    query.advance(1)
    changed: dict[str, Any] = {field: value}
    expect_stranger(query, replace(query.sign(query.update()), **changed))


def test_opening_of_the_next_link_is_refused(query: ScriptedQuery) -> None:
    signed = query.sign(query.update())
    expect_stranger(query, replace(signed, salt=query.salts[1], next_route=query.links[2]))


def test_signature_with_the_other_v_is_of_somebody_else(query: ScriptedQuery) -> None:
    signed = query.sign(query.update())
    flipped = signed.signature[:64] + bytes([27 + 28 - signed.signature[64]])
    expect_stranger(query, replace(signed, signature=flipped))


@pytest.mark.parametrize("how", BREAKS)
def test_broken_signature_is_refused(query: ScriptedQuery, how: str) -> None:
    query.advance(2)
    signed = query.sign(query.update())
    broken = break_signature(how, signed.signature)
    with refused(broken.error, **broken.arguments):
        carry(query, replace(signed, signature=broken.signature))
    assert query.state.trail == query.trail
