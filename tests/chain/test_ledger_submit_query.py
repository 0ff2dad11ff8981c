"""`submitQuery`: anyone may ask (eq. 3)."""

from __future__ import annotations

from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import QuerySubmitted
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import (
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    Attempt,
    Hop,
    QueryId,
    QueryPhase,
    Question,
    SealingKey,
)
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedRing, named


def test_query_is_recorded_with_its_first_trail(ring: ScriptedRing, querent: LocalAccount) -> None:
    query, receipt = ring.ledger.by(querent).submit_query(named("input"), named("key"))
    asker = Address(querent.address)
    question = Question(named("input"), named("key"), ring.ledger.time_of(receipt))
    trail = start_trail(QueryId(1), asker, question)
    assert query == 1
    assert ring.ledger.events(receipt) == [QuerySubmitted(query, asker, named("input"), named("key"), trail)]
    state = QueryState(
        QueryPhase.SUBMITTED, Attempt(0), Hop(0), 0, 0, question.submitted_at, NO_ROUTE, NO_OUTPUT, trail
    )
    assert ring.ledger.word(1) == state.fold()
    assert ring.ledger.query(1) == state
    assert ring.ledger.question(1) == question
    assert ring.ledger.read("queryCount") == 1


def test_ids_count_up_and_trails_differ_for_the_same_question(ring: ScriptedRing, querent: LocalAccount) -> None:
    client = ring.ledger.by(querent)
    queries = [client.submit_query(named("input"), named("key"))[0] for _ in range(3)]
    assert queries == [1, 2, 3]
    assert ring.ledger.read("queryCount") == 3
    assert len({ring.ledger.query(query).trail for query in queries}) == 3


def test_anyone_may_ask(ring: ScriptedRing, mallory: LocalAccount) -> None:
    for number, account in enumerate((mallory, ring.owner, ring.workers[0]), start=1):
        query, receipt = ring.ledger.by(account).submit_query(named("input"), named("key"))
        question = Question(named("input"), named("key"), ring.ledger.time_of(receipt))
        trail = start_trail(query, Address(account.address), question)
        assert (query, ring.ledger.query(number).trail) == (number, trail)
        (event,) = ring.ledger.events(receipt)
        assert isinstance(event, QuerySubmitted)
        assert event.querent == Address(account.address)


def test_query_without_model_is_refused(bare_ring: ScriptedRing, querent: LocalAccount) -> None:
    with refused("ModelMissing"):
        bare_ring.ledger.by(querent).submit_query(named("input"), named("key"))


def test_zero_sealing_key_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    with refused("ZeroSealingKey", worker=querent.address):
        ring.ledger.by(querent).submit_query(named("input"), SealingKey(ZERO))
    assert ring.ledger.read("queryCount") == 0
