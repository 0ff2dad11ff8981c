"""`postContradiction`: a violation of eq. 13 on record, and nobody else's hop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest
from deepring_chain.protocol.events import OutputDisputed, UpdatePosted
from deepring_chain.protocol.trail import VIOLATION, extend_trail, mark_trail
from deepring_chain.types import NO_BLOB, NO_OUTPUT, ZERO, Hop, OutputCommitment, QueryPhase, RingMode, SignedUpdate
from tests.chain.calls import contradiction_call
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.ring_driver import ScriptedQuery

OTHER = named("another output")


def contradicting(query: ScriptedQuery) -> SignedUpdate:
    """The hop that is due signs for another output."""
    return query.sign(query.update(output=OTHER))


def post(query: ScriptedQuery, signed: SignedUpdate, expected: OutputCommitment | None = None) -> None:
    """As a contradiction, whatever it is."""
    query.ring.ledger.send(query.ring.owner, contradiction_call(query.state, signed, expected))


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_contradiction_is_recorded_with_its_mark(query: ScriptedQuery, mallory: LocalAccount, hop: int) -> None:
    query.advance(hop)
    signed, signer, before = contradicting(query), address_of(query.signer), query.state
    receipt = query.ring.ledger.send(mallory, contradiction_call(before, signed))
    trail = extend_trail(before.trail, message_digest(query.domain, signed.update), signer)
    disputed = OutputDisputed(query.query, query.attempt, Hop(hop), query.output(hop), OTHER)
    assert query.ring.ledger.events(receipt) == [UpdatePosted(signed, signer, trail), disputed]
    assert query.state == replace(
        before,
        phase=QueryPhase.DISPUTED,
        touched_at=query.ring.ledger.time_of(receipt),
        route=query.links[hop + 1],
        trail=mark_trail(trail, VIOLATION),
    )


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_outputs_that_agree_are_refused(query: ScriptedQuery, hop: int) -> None:
    """Mallory stops an honest query."""
    honest = query.advance(hop).sign(query.update())
    with refused("OutputsAgree", query=1, output=query.output(hop)):
        post(query, honest)
    assert query.advance(4).state.phase is QueryPhase.COMPUTED


@pytest.mark.parametrize("expected", [ZERO, OTHER], ids=["zero", "another"])
def test_first_hop_contradicts_nothing(query: ScriptedQuery, expected: OutputCommitment) -> None:
    """Mallory saw the entry of hop 0 on its way, of which nothing is expected."""
    honest = query.sign(query.update())
    with refused("OutputsAgree", query=1, output=query.output(0)):
        post(query, honest, expected)
    assert query.advance(4).state.phase is QueryPhase.COMPUTED


@pytest.mark.parametrize("expected", [ZERO, named("made up")], ids=["zero", "made up"])
@pytest.mark.parametrize("is_honest", [True, False], ids=["honest hop", "contradicting hop"])
def test_other_expectation_than_the_hops_before_is_refused(
    query: ScriptedQuery, expected: OutputCommitment, is_honest: bool
) -> None:
    """Mallory, or the hop, makes up what the hop before is to have said."""
    query.advance(2)
    signed = query.sign(query.update()) if is_honest else contradicting(query)
    with refused_state(query):
        post(query, signed, expected)


FORGERIES: dict[str, Callable[[ScriptedQuery, SignedUpdate], SignedUpdate]] = {
    "another signer": lambda query, signed: query.sign(signed.update, query.signers[3]),
    "owner as signer": lambda query, signed: query.sign(signed.update, query.ring.owner),
    "changed output": lambda _, signed: replace(signed, update=replace(signed.update, output=named("changed"))),
    "changed next output": lambda _, signed: replace(signed, update=replace(signed.update, next_output=NO_OUTPUT)),
    "changed envelope": lambda _, signed: replace(signed, update=replace(signed.update, envelope=NO_BLOB)),
    "changed salt": lambda _, signed: replace(signed, salt=named("changed")),
    "changed rest": lambda _, signed: replace(signed, next_route=named("changed")),
}


@pytest.mark.parametrize("how", FORGERIES)
def test_forged_contradiction_is_refused(query: ScriptedQuery, how: str) -> None:
    """Mallory frames a worker, or changes what it said."""
    signed = contradicting(query.advance(2))
    with refused_state(query):
        post(query, FORGERIES[how](query, signed))


def test_contradiction_of_another_turn_is_refused(query: ScriptedQuery) -> None:
    """Hop 2 contradicts hop 1 before hop 1 has said anything."""
    early = query.advance(1).sign(query.update(hop=Hop(2), output=OTHER), query.signers[2])
    opening = replace(early, salt=query.salts[2], next_route=query.links[3])
    with refused_state(query):
        query.ring.ledger.send(
            query.ring.owner, contradiction_call(replace(query.state, hop=Hop(2)), opening, query.output(2))
        )


def test_second_contradiction_is_refused(query: ScriptedQuery) -> None:
    query.advance(2)
    call = contradiction_call(query.state, contradicting(query))
    query.ring.ledger.send(query.ring.owner, call)
    with refused_state(query):
        query.ring.ledger.send(query.ring.owner, call)


def test_contradiction_after_the_deadline_is_refused(query: ScriptedQuery, clock: Clock) -> None:
    signed, deadline = contradicting(query.advance(2)), clock.now + 60
    clock.advance(61)
    with refused("DeadlinePassed", query=1, hop=2, deadline=deadline, time=deadline + 1):
        post(query, signed)


def test_contradiction_is_refused_while_the_ring_is_not_authentic(query: ScriptedQuery) -> None:
    signed = contradicting(query.advance(2))
    query.ring.tamper(1)
    with refused("NotAuthentic", arrangement=2, mode=RingMode.TRACKING):
        post(query, signed)


@pytest.mark.parametrize("hop", [4, 65_535])
def test_contradiction_after_the_last_hop_is_refused(query: ScriptedQuery, hop: int) -> None:
    signed = contradicting(query.advance(3))
    call = contradiction_call(replace(query.state, hop=Hop(hop)), signed)
    with refused("UnexpectedLength", query=1, hops=4, end=hop + 1):
        query.ring.ledger.send(query.ring.owner, call)
