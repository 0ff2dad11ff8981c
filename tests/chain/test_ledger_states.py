"""Whoever acts on a query shows its state: with any one value of it changed, every function refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import ZERO, QueryPhase
from tests.chain.calls import contradiction_call, post_call, run_struct, runs_call
from tests.chain.clock import Clock
from tests.chain.expect import refused_state
from tests.chain.names import named
from tests.chain.query_driver import BRINGERS, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

PLACE = ["attempt", "hop", "touched_at", "trail"]
ALL = [field.name for field in fields(QueryState)]


def other_values(name: str, value: Any) -> list[Any]:
    """What somebody might show instead."""
    if name == "phase":
        return [phase for phase in QueryPhase if phase != value]
    if isinstance(value, int):
        return [value + 1, value - 1] if value else [1, 2]
    return [named("forged"), ZERO] if value != ZERO else [named("forged")]


def post(query: ScriptedQuery) -> None:
    query.ring.ledger.send(query.ring.owner, post_call(query.state, query.sign(query.update())))


def post_run(query: ScriptedQuery) -> None:
    hop, trail = query.hop, query.trail
    call = runs_call(run_struct(query.state, query.sign_run(hop + 1)))
    query.hop, query.trail = hop, trail
    query.ring.ledger.send(query.ring.owner, call)


def contradict(query: ScriptedQuery) -> None:
    signed = query.sign(query.update(output=named("another output")))
    query.ring.ledger.send(query.ring.owner, contradiction_call(query.state, signed))


@dataclass(frozen=True)
class Shown:
    """A function, the phase that it is called in, and what it is shown of the state."""

    act: Callable[[ScriptedQuery], object]
    phase: str
    names: list[str]


FUNCTIONS = {
    "rejectQuery": Shown(ScriptedQuery.reject, "SUBMITTED", ALL),
    "openRoute": Shown(ScriptedQuery.open_route, "SUBMITTED", ALL),
    "openRoute again": Shown(ScriptedQuery.open_route, "INTERRUPTED", ALL),
    "resumeRoute": Shown(lambda query: query.resume(1), "INTERRUPTED", ALL),
    "post": Shown(post, "ROUTED", PLACE),
    "postRuns": Shown(post_run, "ROUTED", PLACE),
    "postContradiction": Shown(contradict, "ROUTED", [*PLACE, "expected_output"]),
    "deliver": Shown(ScriptedQuery.deliver, "COMPUTED", ALL),
    "complain": Shown(ScriptedQuery.complain, "ROUTED", ALL),
    "complain at the end": Shown(ScriptedQuery.complain, "COMPUTED", ALL),
    "judge": Shown(ScriptedQuery.judge, "DISPUTED", ALL),
    "timeOut": Shown(ScriptedQuery.let_time_out, "ROUTED", ALL),
    "withdrawQuery": Shown(ScriptedQuery.wait_and_withdraw, "ROUTED", ALL),
}


@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, shown in FUNCTIONS.items() for name in shown.names]
)
def test_state_with_another_value_is_refused(
    ring: ScriptedRing,
    querent: LocalAccount,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    name: str,
) -> None:
    shown, query = FUNCTIONS[function], ring.submit(querent)
    BRINGERS[shown.phase](query)
    state = query.state
    for value in other_values(name, getattr(state, name)):
        forged = replace(state, **{name: value})
        attempt, hop = query.attempt, query.hop
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedQuery, "state", forged)
            with refused_state(query):
                shown.act(query)
        query.attempt, query.hop = attempt, hop


@pytest.mark.parametrize("function", FUNCTIONS)
def test_state_as_it_is_is_accepted(ring: ScriptedRing, querent: LocalAccount, clock: Clock, function: str) -> None:
    """What is refused above is refused for the changed value alone."""
    query = ring.submit(querent)
    BRINGERS[FUNCTIONS[function].phase](query)
    before = ring.ledger.word(query.query)
    FUNCTIONS[function].act(query)
    assert ring.ledger.word(query.query) != before


def test_state_of_another_query_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    """Both wait for the same; the trail tells them apart."""
    first, second = ring.submit(querent), ring.submit(querent)
    with refused_state(second, first):
        ring.owner_client.open_route(second.query, first.state, second.links[0], second.notes, second.items)
