"""Python and Solidity fold the same states and mark the same trails; a run's log is the hops that were signed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deepring_chain.chain.settlement import post_call
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.run import Run
from deepring_chain.protocol.trail import RENEWAL, VIOLATION, mark_trail
from deepring_chain.types import QueryPhase, TrailHash
from tests.chain.ring_driver import ScriptedQuery
from tests.differential.harness import Harness
from tests.differential.test_digests import MANY, attempts, digests, hops

states = st.builds(
    QueryState,
    phase=st.sampled_from(QueryPhase),
    attempt=attempts,
    hop=hops,
    items=st.integers(0, 2**32 - 1),
    model_version=st.integers(0, 2**32 - 1),
    touched_at=st.integers(0, 2**40 - 1),
    route=digests,
    expected_output=digests,
    trail=digests,
)


@MANY
@given(state=states)
def test_word_of_a_state_is_the_same(harness: Harness, state: QueryState) -> None:
    assert state.fold() == harness.call("foldState", state.as_struct())


@MANY
@given(trail=digests)
def test_marked_trail_is_the_same(harness: Harness, trail: TrailHash) -> None:
    assert mark_trail(trail, VIOLATION) == harness.call("markViolation", trail)
    assert mark_trail(trail, RENEWAL) == harness.call("markRenewal", trail)


def test_run_that_the_ledger_takes_expands_to_what_it_recorded(query: ScriptedQuery) -> None:
    """One hop, then two, then the last: what Python derives from a run is what leads on the ledger's next state."""
    for end in (1, 3, 4):
        state, client = query.state, query.ring.owner_client
        updates = query.sign_run(end)
        call = post_call(state, updates)
        assert call.function == ("postRuns" if len(updates) > 1 else "post")
        expanded = Run.of(updates).expand(query.domain)
        assert expanded == query.ring.ledger.events(client.post(state, *updates))
        assert all(isinstance(event, UpdatePosted) for event in expanded)
        assert query.state.trail == expanded[-1].trail == query.trail
        assert query.state.route == expanded[-1].signed.next_route
