"""What each function does in each phase of a query: the table of allowed and forbidden transitions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.types import Hop, QueryId, QueryPhase
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.query_driver import BRINGERS, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

OPEN = {
    QueryPhase.SUBMITTED,
    QueryPhase.ROUTED,
    QueryPhase.COMPUTED,
    QueryPhase.DISPUTED,
    QueryPhase.INTERRUPTED,
}
WAITING = {QueryPhase.SUBMITTED, QueryPhase.INTERRUPTED}
RUNNING = {QueryPhase.ROUTED, QueryPhase.COMPUTED}


@dataclass(frozen=True)
class Action:
    """What is tried, the phases that it is allowed in, the phase that it leads to, and the phase that a refusal names.

    `named` is None for an action that many phases allow: its refusal names none.
    """

    act: Callable[[ScriptedQuery], object]
    allowed: set[QueryPhase]
    following: QueryPhase
    named: QueryPhase | None

    def refusal(self, query: ScriptedQuery, actual: QueryPhase) -> AbstractContextManager[None]:
        """The error of a query in another phase; what a hop's entry leads back to is in no other phase."""
        if self.act is post_update:
            return refused_state(query)
        if self.named is None:
            return refused("QueryNotOpen", query=query.query, phase=actual)
        return refused("UnexpectedPhase", query=query.query, expected=self.named, actual=actual)


def post_update(query: ScriptedQuery) -> None:
    """Tries the hop that is due; where none is, the last one's signer tries again, as if it were due just now."""
    if query.hop == len(query.signers):
        query.hop = Hop(query.hop - 1)
    state = query.state
    if state.phase is not QueryPhase.ROUTED:
        now = Clock(query.ring.ledger.web3).now
        state = replace(state, hop=query.hop, touched_at=now)
    query.carry(query.sign(query.update()), state=state)


def resume(query: ScriptedQuery) -> None:
    """Goes on from hop 0, if it was ever posted; from a made-up one if not."""
    if not query.entries:
        owner = query.ring.seat_addresses[0]
        query.ring.owner_client.resume_route(query.state, query.update(), owner, [], query.links[0], query.notes)
        return
    query.resume(1)


ACTIONS = {
    "reject": Action(ScriptedQuery.reject, WAITING, QueryPhase.REJECTED, QueryPhase.SUBMITTED),
    "open route": Action(ScriptedQuery.open_route, WAITING, QueryPhase.ROUTED, QueryPhase.SUBMITTED),
    "resume": Action(resume, {QueryPhase.INTERRUPTED}, QueryPhase.ROUTED, QueryPhase.INTERRUPTED),
    "post update": Action(post_update, {QueryPhase.ROUTED}, QueryPhase.ROUTED, QueryPhase.ROUTED),
    "deliver": Action(ScriptedQuery.deliver, {QueryPhase.COMPUTED}, QueryPhase.DELIVERED, QueryPhase.COMPUTED),
    "complain": Action(ScriptedQuery.complain, RUNNING, QueryPhase.DISPUTED, QueryPhase.ROUTED),
    "judge": Action(ScriptedQuery.judge, {QueryPhase.DISPUTED}, QueryPhase.INTERRUPTED, QueryPhase.DISPUTED),
    "time out": Action(ScriptedQuery.let_time_out, {QueryPhase.ROUTED}, QueryPhase.INTERRUPTED, QueryPhase.ROUTED),
    "withdraw": Action(ScriptedQuery.wait_and_withdraw, OPEN, QueryPhase.WITHDRAWN, None),
}


def test_table_has_every_phase() -> None:
    assert {QueryPhase[phase] for phase in BRINGERS} == set(QueryPhase) - {QueryPhase.NONE}


@pytest.mark.parametrize("phase", BRINGERS)
@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_allowed_in_its_phases_only(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, phase: str, name: str
) -> None:
    action, query = ACTIONS[name], ring.submit(querent)
    BRINGERS[phase](query)
    before = query.state
    assert before.phase == QueryPhase[phase]
    if before.phase in action.allowed:
        action.act(query)
        assert query.state.phase == action.following
        return
    with action.refusal(query, QueryPhase[phase]):
        action.act(query)
    assert query.state == before


@pytest.mark.parametrize("name", ACTIONS)
def test_action_on_an_unknown_query_is_refused(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, name: str
) -> None:
    query = ring.submit(querent)
    query.query = QueryId(99)
    with refused_state(query):
        ACTIONS[name].act(query)
