"""`post`: wrong signers, wrong places, broken signatures, and anything that was changed after signing.

One comparison refuses all of it: the state that the entry leads back to is not the query's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.types import ZERO, Attempt, Hop, QueryId, QueryPhase, RingMode, SignedUpdate
from tests.chain.calls import post_call
from tests.chain.clock import Clock
from tests.chain.expect import CURVE_ORDER, refused, refused_state
from tests.chain.ring_driver import ScriptedQuery, named


def expect_refusal(query: ScriptedQuery, signed: SignedUpdate) -> None:
    """At the place that the query has, and at the one that the update names."""
    update, state = signed.update, query.state
    moved = replace(state, attempt=update.attempt, hop=update.hop, trail=update.trail)
    for shown in (state, moved):
        with refused_state(query):
            query.carry(signed, state=shown)


@pytest.mark.parametrize("hop", range(4))
def test_wrong_signer_is_refused(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    query.advance(hop)
    expect_refusal(query, query.sign(query.update(), mallory))


@pytest.mark.parametrize("hop", range(4))
def test_right_signers_of_other_hops_are_refused(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    for other in range(4):
        if other != hop:
            expect_refusal(query, query.sign(query.update(), query.signers[other]))


@pytest.mark.parametrize("hop", range(3))
def test_next_signer_with_its_own_opening_is_refused_before_its_turn(query: ScriptedQuery, hop: int) -> None:
    query.advance(hop)
    later = query.sign(query.update(), query.signers[hop + 1])
    expect_refusal(query, replace(later, salt=query.salts[hop + 1], next_route=query.links[hop + 2]))


@pytest.mark.parametrize("hop", range(4))
@pytest.mark.parametrize("signed_hop", range(4))
def test_right_signer_at_the_wrong_hop_is_refused(query: ScriptedQuery, hop: int, signed_hop: int) -> None:
    query.advance(hop)
    if signed_hop != hop:
        expect_refusal(query, query.sign(query.update(hop=Hop(signed_hop))))


@pytest.mark.parametrize("hop", [4, 5, 65_535])
def test_hop_after_the_last_is_refused(query: ScriptedQuery, hop: int) -> None:
    signed = query.sign(query.update(hop=Hop(hop)))
    with refused_state(query):
        query.carry(signed)
    with refused("UnexpectedLength", query=1, hops=4, end=hop + 1):
        query.carry(signed, state=replace(query.state, hop=Hop(hop)))


@pytest.mark.parametrize(
    "changes",
    [{"attempt": Attempt(attempt)} for attempt in (0, 2, 65_535)] + [{"trail": ZERO}, {"trail": named("trail")}],
    ids=lambda changes: str(next(iter(changes.items()))),
)
def test_other_attempt_or_trail_is_refused(query: ScriptedQuery, changes: dict[str, Any]) -> None:
    query.advance(1)
    expect_refusal(query, query.sign(query.update(**changes)))


@pytest.mark.parametrize("number", [0, 2, 2**64 - 1])
def test_unknown_query_is_refused(query: ScriptedQuery, number: int) -> None:
    state, signed = query.state, query.sign(query.update(query=QueryId(number)))
    query.query = QueryId(number)
    with refused_state(query):
        query.carry(signed, state=state)


@pytest.mark.parametrize("items", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("hop", [0, 2])
def test_update_signed_for_another_number_of_items_is_refused(query: ScriptedQuery, hop: int, items: int) -> None:
    """Two neighbors who agree on a larger batch; also where they show the ledger a state that says so."""
    signed = query.advance(hop).sign(query.update(items=items))
    for shown in (query.state, replace(query.state, items=items)):
        with refused_state(query):
            query.carry(signed, state=shown)


@pytest.mark.parametrize("field", ["envelope", "output", "next_output"])
@pytest.mark.parametrize("hop", [0, 1])
def test_content_changed_after_signing_is_refused(query: ScriptedQuery, field: str, hop: int) -> None:
    query.advance(hop)
    signed = query.sign(query.update())
    changed: dict[str, Any] = {field: named("changed")}
    expect_refusal(query, replace(signed, update=replace(signed.update, **changed)))


def test_contradiction_posted_as_an_ordinary_hop_is_refused(query: ScriptedQuery) -> None:
    """The violation of eq. 13 would not be on record."""
    signed = query.advance(1).sign(query.update(output=named("another output")))
    call = post_call(query.state, signed)
    with refused_state(query):
        query.ring.ledger.send(query.ring.owner, call)
    query.carry(signed)
    assert query.state.phase is QueryPhase.DISPUTED


@pytest.mark.parametrize(
    "place", [{"query": 7}, {"attempt": 2}, {"hop": 2}, {"trail": named("trail")}], ids=lambda place: next(iter(place))
)
def test_place_changed_to_the_right_one_after_signing_is_refused(query: ScriptedQuery, place: dict[str, Any]) -> None:
    query.advance(1)
    signed = query.sign(query.update(**place))
    expect_refusal(query, replace(signed, update=query.update()))


@pytest.mark.parametrize("field", ["salt", "next_route"])
@pytest.mark.parametrize("value", [ZERO, named("changed")], ids=["zero", "random"])
def test_changed_opening_is_refused(query: ScriptedQuery, field: str, value: bytes) -> None:
    query.advance(1)
    changed: dict[str, Any] = {field: value}
    expect_refusal(query, replace(query.sign(query.update()), **changed))


def test_opening_of_the_next_link_is_refused(query: ScriptedQuery) -> None:
    signed = query.sign(query.update())
    expect_refusal(query, replace(signed, salt=query.salts[1], next_route=query.links[2]))


@pytest.mark.parametrize("seconds", [-1, 1, 3])
def test_time_of_another_step_is_refused(query: ScriptedQuery, clock: Clock, seconds: int) -> None:
    """The deadline would begin when it suits."""
    query.advance(1)
    state = query.state
    with refused_state(query):
        query.carry(query.sign(query.update()), state=replace(state, touched_at=state.touched_at + seconds))


def test_model_registered_meanwhile_stops_the_hop(query: ScriptedQuery) -> None:
    """The next layer would compute with other parameters than the ones before."""
    signed = query.advance(2).sign(query.update())
    query.ring.register_model("another")
    with refused("NotAuthentic", arrangement=1, mode=RingMode.SETUP):
        query.carry(signed)
    query.ring.arrange()
    query.ring.attest(0, 1, 2, 3)
    with refused_state(query):
        query.carry(signed)


# ------------------------------------------------------------------ signatures, in the form of EIP-2098


def with_signature(query: ScriptedQuery, r: bytes, vs: bytes) -> LedgerCall:
    """The honest hop with another signature."""
    call = post_call(query.state, query.sign(query.update()))
    number, place, output, entry, rest = call.arguments
    assert isinstance(entry, dict)
    return LedgerCall("post", (number, place, output, {**entry, "r": r, "vs": vs}, rest))


def signature_of(query: ScriptedQuery) -> tuple[bytes, int]:
    signature = query.sign(query.update()).signature
    return signature[:32], int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255


def test_signature_with_the_other_v_is_of_somebody_else(query: ScriptedQuery) -> None:
    r, vs = signature_of(query)
    call = with_signature(query, r, (vs ^ 1 << 255).to_bytes(32, "big"))
    with refused_state(query):
        query.ring.ledger.send(query.ring.owner, call)


@pytest.mark.parametrize("how", ["r is zero", "s is zero", "r is no point's"])
def test_signature_of_nobody_is_refused(query: ScriptedQuery, how: str) -> None:
    query.advance(2)
    r, vs = signature_of(query)
    s = 0 if how == "s is zero" else vs
    r = {"r is zero": ZERO, "r is no point's": bytes(31) + b"\5"}.get(how, r)
    with refused("ECDSAInvalidSignature"):
        query.ring.ledger.send(query.ring.owner, with_signature(query, r, s.to_bytes(32, "big")))
    assert query.state.trail == query.trail


def test_second_signature_made_from_the_first_is_refused(query: ScriptedQuery) -> None:
    """The one with a high s: its top bits say both s and v, so that it is another one, or too high."""
    r, vs = signature_of(query)
    high = CURVE_ORDER - (vs & (1 << 255) - 1)
    masked = high & (1 << 255) - 1
    call = with_signature(query, r, high.to_bytes(32, "big"))
    if masked > CURVE_ORDER // 2:
        with refused("ECDSAInvalidSignatureS", s=masked.to_bytes(32, "big")):
            query.ring.ledger.send(query.ring.owner, call)
    else:
        with refused_state(query):
            query.ring.ledger.send(query.ring.owner, call)
    assert query.state.hop == 0
