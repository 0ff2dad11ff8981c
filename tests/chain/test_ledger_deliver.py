"""`deliver`: the closing entry (eq. 12), and eq. 13 for the last layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import recover_signer, sign_message
from deepring_chain.protocol.events import AnswerDelivered, OutputDisputed
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.trail import VIOLATION, mark_trail
from deepring_chain.types import ZERO, Address, Attempt, Delivery, Domain, Hop, QueryId, QueryPhase
from tests.chain.expect import BREAKS, break_signature, refused, refused_state
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing, named


@pytest.fixture
def computed(query: ScriptedQuery) -> ScriptedQuery:
    """A query whose last layer has posted."""
    return query.advance(4)


def event_of(query: ScriptedQuery, delivery: Delivery) -> AnswerDelivered:
    signature = query.sign_delivery(delivery)
    return AnswerDelivered(query.query, query.attempt, delivery.answer, delivery.output, signature, query.trail)


def test_answer_is_delivered(computed: ScriptedQuery) -> None:
    delivery = computed.delivery()
    receipt = computed.deliver()
    assert computed.ring.ledger.events(receipt) == [event_of(computed, delivery)]
    assert computed.place == (QueryPhase.DELIVERED, 1, 4, ZERO, computed.output(4), computed.trail)


def test_anyone_may_carry_the_owners_delivery(computed: ScriptedQuery, mallory: LocalAccount) -> None:
    delivery = computed.delivery()
    computed.ring.ledger.by(mallory).deliver(computed.state, delivery, computed.sign_delivery(delivery))
    assert computed.state.phase == QueryPhase.DELIVERED


def test_output_other_than_the_last_layers_is_recorded(computed: ScriptedQuery) -> None:
    delivery = computed.delivery(output=named("another output"))
    receipt = computed.deliver(output=named("another output"))
    assert receipt["status"] == 1
    expected, actual = computed.output(4), named("another output")
    disputed = OutputDisputed(computed.query, computed.attempt, Hop(4), expected, actual)
    (delivered, found) = computed.ring.ledger.events(receipt)
    assert isinstance(delivered, AnswerDelivered)
    assert (delivered.signature, found) == (computed.sign_delivery(delivery), disputed)
    assert mark_trail(delivered.trail, VIOLATION) == computed.trail
    assert computed.place == (QueryPhase.DISPUTED, 1, 4, ZERO, expected, computed.trail)


def test_bogus_expectation_of_the_last_layer_is_recorded(query: ScriptedQuery) -> None:
    query.advance(3).post(next_output=named("bogus"))
    disputed = query.ring.ledger.events(query.deliver())[-1]
    assert disputed == OutputDisputed(query.query, query.attempt, Hop(4), named("bogus"), query.output(4))


def test_second_delivery_is_refused(computed: ScriptedQuery) -> None:
    delivery = computed.delivery()
    computed.deliver()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.COMPUTED, actual=QueryPhase.DELIVERED):
        carry(computed, delivery, computed.sign_delivery(delivery))


def carry(query: ScriptedQuery, delivery: Delivery, signature: bytes, state: QueryState | None = None) -> None:
    """Delivers at the place that the query has, or that somebody shows."""
    query.ring.owner_client.deliver(state or query.state, delivery, signature)


@pytest.mark.parametrize(
    "changes",
    [{"attempt": Attempt(attempt)} for attempt in (0, 2, 65_535)] + [{"trail": named("trail")}],
    ids=lambda changes: str(next(iter(changes.items()))),
)
def test_other_attempt_or_trail_is_refused(computed: ScriptedQuery, changes: dict[str, Any]) -> None:
    delivery = computed.delivery(**changes)
    signature = computed.sign_delivery(delivery)
    with refused_state(computed):
        carry(computed, delivery, signature, replace(computed.state, **changes))
    honest = computed.delivery()
    expect_stranger(computed, honest, signature, recover_signer(computed.domain, honest, signature))


@pytest.mark.parametrize("number", [0, 2, 2**64 - 1])
def test_unknown_query_is_refused(computed: ScriptedQuery, number: int) -> None:
    state, delivery = computed.state, computed.delivery(query=QueryId(number))
    computed.query = QueryId(number)
    with refused_state(computed):
        carry(computed, delivery, computed.sign_delivery(delivery), state)


def test_model_registered_meanwhile_stops_the_delivery(computed: ScriptedQuery) -> None:
    """The answer is of a model that is no longer in force: the ouroboros complains, and begins anew."""
    computed.ring.register_model("another")
    computed.ring.arrange()
    computed.ring.attest(0, 1, 2, 3)
    with refused("ModelChanged", query=1, expected=2, actual=1):
        computed.deliver()
    assert computed.state.phase is QueryPhase.COMPUTED


def expect_stranger(query: ScriptedQuery, delivery: Delivery, signature: bytes, signer: Address) -> None:
    with refused("UnexpectedOwner", query=1, expected=query.ring.owner.address, actual=signer):
        carry(query, delivery, signature)


def test_signature_of_another_is_refused(computed: ScriptedQuery, mallory: LocalAccount) -> None:
    delivery, domain = computed.delivery(), computed.ring.ledger.domain
    for stranger in (mallory, *computed.ring.workers):
        expect_stranger(computed, delivery, sign_message(stranger, domain, delivery), Address(stranger.address))


@pytest.mark.parametrize("field", ["answer", "output"])
def test_content_changed_after_signing_is_refused(computed: ScriptedQuery, field: str) -> None:
    delivery = computed.delivery()
    signature = computed.sign_delivery(delivery)
    values: dict[str, Any] = {field: named("changed")}
    changed = replace(delivery, **values)
    expect_stranger(computed, changed, signature, recover_signer(computed.ring.ledger.domain, changed, signature))


@pytest.mark.parametrize(
    "place", [{"query": 7}, {"attempt": 2}, {"trail": named("trail")}], ids=lambda place: next(iter(place))
)
def test_place_changed_to_the_right_one_after_signing_is_refused(
    computed: ScriptedQuery, place: dict[str, Any]
) -> None:
    signature = computed.sign_delivery(computed.delivery(**place))
    honest = computed.delivery()
    expect_stranger(computed, honest, signature, recover_signer(computed.ring.ledger.domain, honest, signature))


def test_delivery_for_another_chain_is_refused(computed: ScriptedQuery) -> None:
    elsewhere = Domain(computed.ring.ledger.domain.chain_id + 1, computed.ring.ledger.address)
    delivery = computed.delivery()
    signature = sign_message(computed.ring.owner, elsewhere, delivery)
    expect_stranger(computed, delivery, signature, recover_signer(computed.ring.ledger.domain, delivery, signature))


def test_delivery_of_one_query_is_refused_in_another(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent).compute(), ring.submit(querent).compute()
    delivery = first.delivery()
    moved = replace(delivery, query=second.query)
    signature = first.sign_delivery(delivery)
    with refused_state(second, first):
        carry(second, moved, signature, first.state)
    stranger = recover_signer(ring.ledger.domain, replace(moved, trail=second.trail), signature)
    with refused("UnexpectedOwner", query=2, expected=ring.owner.address, actual=stranger):
        carry(second, moved, signature)


@pytest.mark.parametrize("how", BREAKS)
def test_broken_signature_is_refused(computed: ScriptedQuery, how: str) -> None:
    delivery = computed.delivery()
    broken = break_signature(how, computed.sign_delivery(delivery))
    with refused(broken.error, **broken.arguments):
        carry(computed, delivery, broken.signature)
