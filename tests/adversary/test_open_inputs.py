"""Open inputs: a stranger asks many large queries at once, and the owner's machine is to hold them all.

Who: anybody; asking costs gas, and an upload to the store.
Wants: the owner's memory or disk to run full, so that its process dies and the ring stands still.
Stopped by: DR-48 (queries are served side by side up to a number of bytes; the others wait sealed, the oldest first),
DR-58.
Outcome: refused. All queries that can be served are, one after the other; those between them wait longer.
"""

from __future__ import annotations

import numpy as np
import pytest

from assurance.adversary.liars import BogusNext, once
from assurance.adversary.outcomes import refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.types import QueryId, QueryPhase, RejectReason

ITEMS = 20_000
FLOOD = 7
AT_ONCE = 3


def inputs_of(ring: SteppedRing) -> QueryInputs:
    """The owner's."""
    found = ring.worker("ouroboros")._inputs
    assert isinstance(found, QueryInputs)
    return found


def flood(ring: SteppedRing, count: int = FLOOD, items: int = ITEMS) -> list[QueryId]:
    """Large queries, asked in a row."""
    return [ring.ask(np.full((items, *ring.model.card.input_shape), number, np.uint8)) for number in range(count)]


def limit(ring: SteppedRing) -> int:
    """Room for three of them; returns its bytes."""
    inputs = inputs_of(ring)
    sealed = ITEMS * int(np.prod(ring.model.card.input_shape)) + 1000
    inputs.room.limit = AT_ONCE * inputs._weight(sealed)
    inputs.opened._limit = inputs.room.limit // 2
    return inputs.room.limit


def on_disk(ring: SteppedRing) -> int:
    """Bytes of queries' inputs in the owner's journal."""
    journal = ring.member("ouroboros").journal
    return sum(journal.size(key) or 0 for key in journal.keys("input/"))


def in_memory(ring: SteppedRing) -> int:
    """Bytes of opened inputs."""
    return inputs_of(ring).opened.held


@refused
def test_many_large_queries_are_held_a_few_at_a_time_and_all_are_answered(own_ring: SteppedRing) -> None:
    bytes_at_once = limit(own_ring)
    queries = flood(own_ring)
    most = [0, 0]

    def is_done() -> bool:
        most[:] = max(most[0], on_disk(own_ring)), max(most[1], in_memory(own_ring))
        return all(not own_ring.session(query).is_open for query in queries)

    own_ring.settle(until=is_done)
    assert 0 < most[0] <= bytes_at_once
    assert 0 < most[1] <= bytes_at_once // 2
    assert {own_ring.session(query).phase for query in queries} == {QueryPhase.DELIVERED}
    served_in = [own_ring.session(query).arrangement for query in queries]
    assert served_in == sorted(served_in)
    own_ring.settle()
    assert (on_disk(own_ring), in_memory(own_ring)) == (0, 0)
    own_ring.expect_well()


@refused
def test_notes_of_ended_queries_leave_the_owners_disk(own_ring: SteppedRing) -> None:
    """Also where the ring is arranged anew, and the query forgotten, as soon as it has ended."""
    for _ in range(3):
        query = own_ring.ask()
        own_ring.expect_answered(query)
    kept = own_ring.member("ouroboros").journal.keys("kept/query/")
    assert {int(key.split("/")[2]) for key in kept} <= {query}


@refused
def test_queries_of_a_silent_ring_are_not_opened_beyond_the_bound_however_many_wait(own_ring: SteppedRing) -> None:
    bytes_at_once = limit(own_ring)
    queries = flood(own_ring)
    own_ring.settle("worker-1")
    phases = [own_ring.session(query).phase for query in queries]
    assert phases == [QueryPhase.ROUTED] * AT_ONCE + [QueryPhase.SUBMITTED] * (FLOOD - AT_ONCE)
    assert on_disk(own_ring) <= bytes_at_once
    own_ring.restart("ouroboros")
    limit(own_ring)
    own_ring.settle("worker-1")
    assert [own_ring.session(query).phase for query in queries] == phases
    assert on_disk(own_ring) <= bytes_at_once
    own_ring.expect_answered(queries[-1], np.full((ITEMS, *own_ring.model.card.input_shape), FLOOD - 1, np.uint8))


@refused
def test_large_query_is_not_overtaken_for_ever_by_small_ones(own_ring: SteppedRing) -> None:
    limit(own_ring)
    (running,) = flood(own_ring, 1)
    own_ring.settle("worker-1")
    (large,) = flood(own_ring, 1, AT_ONCE * ITEMS - ITEMS // 2)
    small = own_ring.ask()
    own_ring.settle("worker-1")
    assert [own_ring.session(query).phase for query in (running, large, small)] == [
        QueryPhase.ROUTED,
        QueryPhase.SUBMITTED,
        QueryPhase.SUBMITTED,
    ]
    own_ring.settle()
    assert own_ring.session(large).arrangement <= own_ring.session(small).arrangement
    own_ring.expect_answered(small)


@refused
def test_query_that_could_never_fit_is_turned_down_and_the_next_is_answered(own_ring: SteppedRing) -> None:
    limit(own_ring)
    (huge,) = flood(own_ring, 1, (AT_ONCE + 1) * ITEMS)
    own_ring.expect_answered(own_ring.ask())
    session = own_ring.session(huge)
    assert (session.reject_reason, session.attempt) == (RejectReason.WRONG_SHAPE, 0)


@refused
@pytest.mark.parametrize("loses", [False, True])
def test_verdict_is_given_on_an_input_that_has_left_the_memory(own_ring: SteppedRing, loses: bool) -> None:
    limit(own_ring)
    inputs_of(own_ring).opened._limit = 0
    with own_ring.bribed("worker-2", once(BogusNext)):
        query = own_ring.ask_up_to(3)
        if loses:
            own_ring.lose(own_ring.session(query).sealed_input)
        own_ring.settle()
    own_ring.expect_answered(query)
    assert own_ring.guilt(query) == convicted(2)
