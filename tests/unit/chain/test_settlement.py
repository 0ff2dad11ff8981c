"""Signed entries become just the calls that the ledger's ABI takes, as few as can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from web3 import Web3

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.settlement import LedgerCall, Settlement, deliver_call, post_call, settlement_calls
from deepring_chain.crypto.signing import compact_signature
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import (
    NO_ROUTE,
    ZERO,
    Attempt,
    Delivery,
    Hop,
    OutputCommitment,
    QueryId,
    QueryPhase,
    SignedUpdate,
)
from tests.unit.protocol.protocol_tools import digest, signed_run

CONTRACT = Web3().eth.contract(abi=load_artifact().abi)


def state_before(signed: SignedUpdate) -> QueryState:
    """The routed query that waits for this update, which holds eq. 13."""
    update = signed.update
    expected = ZERO if update.hop == 0 else update.output
    return QueryState(
        QueryPhase.ROUTED,
        update.attempt,
        update.hop,
        update.items,
        1,
        1_000,
        digest(90),
        OutputCommitment(expected),
        update.trail,
    )


def delivery(query: int = 7) -> tuple[QueryState, Delivery, bytes]:
    state = QueryState(QueryPhase.COMPUTED, Attempt(2), Hop(5), 2, 1, 0, NO_ROUTE, digest(91), digest(92))
    return state, Delivery(QueryId(query), Attempt(2), digest(93), digest(91), digest(92)), bytes(65)


def encoded(call: LedgerCall) -> str:
    """Fails if the ABI does not take the arguments."""
    return str(CONTRACT.encode_abi(call.function, list(call.arguments)))


def settlement(query: int, count: int = 3, answer: bool = False) -> Settlement:
    updates = signed_run(0, count, query)
    return Settlement((state_before(updates[0]), updates), delivery(query) if answer else None)


# ---------------------------------------------------------------- hops


@pytest.mark.parametrize("hop", [0, 3])
def test_one_hop_is_a_post(hop: int) -> None:
    (signed,) = signed_run(hop, 1)
    call = post_call(state_before(signed), [signed])
    r, vs = compact_signature(signed.signature)
    entry = {
        "envelope": signed.update.envelope,
        "nextOutput": signed.update.next_output,
        "salt": signed.salt,
        "r": r,
        "vs": vs,
    }
    place = {"attempt": 2, "hop": hop, "items": signed.update.items, "touchedAt": 1_000, "trail": signed.update.trail}
    assert call == LedgerCall("post", (7, place, signed.update.output, entry, ZERO))
    assert encoded(call)


def test_several_hops_are_one_run() -> None:
    updates = signed_run(1, 3)
    call = post_call(state_before(updates[0]), updates)
    assert call.function == "postRuns"
    runs: Any = call.arguments[0]
    assert [(run["query"], run["place"]["hop"], len(run["entries"])) for run in runs] == [(7, 1, 3)]
    assert encoded(call)


def test_hop_that_violates_eq_13_is_a_contradiction() -> None:
    (signed,) = signed_run(2, 1)
    state = replace(state_before(signed), expected_output=digest(99))
    call = post_call(state, [signed])
    assert call.function == "postContradiction"
    assert call.arguments[2:4] == (digest(99), signed.update.output)
    assert encoded(call)


def test_hop_0_contradicts_nothing() -> None:
    """Nothing is expected of the input."""
    (signed,) = signed_run(0, 1)
    assert post_call(replace(state_before(signed), expected_output=digest(99)), [signed]).function == "post"


def test_hops_after_a_violation_are_refused() -> None:
    updates = signed_run(2, 2)
    state = replace(state_before(updates[0]), expected_output=digest(99))
    with pytest.raises(ProtocolError, match="query 7, hop 2: no hop follows one that violates eq"):
        post_call(state, updates)


def test_no_hop_at_all_is_refused() -> None:
    with pytest.raises(ProtocolError, match="at least one hop"):
        post_call(state_before(signed_run()[0]), [])


# ---------------------------------------------------------------- several queries


def test_runs_of_several_queries_are_one_call() -> None:
    (call,) = settlement_calls([settlement(1), settlement(2), settlement(3)])
    assert call.function == "postRuns"
    runs: Any = call.arguments[0]
    assert [run["query"] for run in runs] == [1, 2, 3]
    assert encoded(call)


def test_answers_come_after_all_runs() -> None:
    """An answer is accepted of a query whose hops are in: also of one whose hops are in the same transaction."""
    calls = settlement_calls([settlement(1, answer=True), Settlement(delivery=delivery(2)), settlement(3)])
    assert [call.function for call in calls] == ["postRuns", "deliver", "deliver"]
    assert [call.arguments[0] for call in calls[1:]] == [1, 2]
    assert CONTRACT.encode_abi("multicall", [[encoded(call) for call in calls]])


def test_answers_alone_need_no_run() -> None:
    state, message, signature = delivery()
    (call,) = settlement_calls([Settlement(delivery=(state, message, signature))])
    assert call == deliver_call(state, message, signature)
    assert call.arguments == (7, state.as_struct(), message.answer, message.output, signature)


def test_nothing_to_settle_is_no_call() -> None:
    assert settlement_calls([]) == settlement_calls([Settlement()]) == []


def test_updates_that_are_no_run_are_refused() -> None:
    updates = signed_run()
    with pytest.raises(ProtocolError, match="does not continue the run"):
        settlement_calls([Settlement((state_before(updates[0]), [updates[0], updates[2]]))])


def test_two_different_settlements_are_two_different_calls() -> None:
    assert encoded(settlement_calls([settlement(1)])[0]) != encoded(settlement_calls([settlement(2)])[0])
