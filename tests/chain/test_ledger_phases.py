"""What each function does in each phase of a query: the table of allowed and forbidden transitions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.types import Hop, QueryId, QueryPhase
from tests.chain.expect import refused
from tests.chain.ring_driver import BRINGERS, ScriptedQuery, ScriptedRing


def post_update(query: ScriptedQuery) -> None:
    """Tries the hop that is due; the last one's signer tries again where none is."""
    last = Hop(len(query.signers) - 1)
    query.hop = min(query.hop, last)
    query.ring.owner_client.post_update(query.sign(query.update()))


ACTIONS: dict[str, tuple[Callable[[ScriptedQuery], object], QueryPhase, QueryPhase]] = {
    "reject": (ScriptedQuery.reject, QueryPhase.SUBMITTED, QueryPhase.REJECTED),
    "open route": (ScriptedQuery.open_route, QueryPhase.SUBMITTED, QueryPhase.ROUTED),
    "post update": (post_update, QueryPhase.ROUTED, QueryPhase.ROUTED),
    "deliver": (ScriptedQuery.deliver, QueryPhase.COMPUTED, QueryPhase.DELIVERED),
}
"""What is tried, the phase that it is allowed in, and the phase that it leads to."""


@pytest.mark.parametrize("phase", BRINGERS)
@pytest.mark.parametrize("action", ACTIONS)
def test_action_is_allowed_in_its_phase_only(
    ring: ScriptedRing, querent: LocalAccount, phase: str, action: str
) -> None:
    act, allowed, following = ACTIONS[action]
    query = ring.submit(querent)
    BRINGERS[phase](query)
    before = query.state
    assert before.phase == QueryPhase[phase]
    if before.phase == allowed:
        act(query)
        assert query.state.phase == following
        return
    with refused("UnexpectedPhase", query=query.query, expected=allowed, actual=QueryPhase[phase]):
        act(query)
    assert query.state == before


@pytest.mark.parametrize("action", ACTIONS)
def test_action_on_an_unknown_query_is_refused(ring: ScriptedRing, querent: LocalAccount, action: str) -> None:
    act, allowed, _ = ACTIONS[action]
    query = ring.submit(querent)
    query.query = QueryId(99)
    with refused("UnexpectedPhase", query=99, expected=allowed, actual=QueryPhase.NONE):
        act(query)
