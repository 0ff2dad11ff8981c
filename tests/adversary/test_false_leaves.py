"""False leaves: a seated worker attests falsely, again and again, and the right leaf when it was restored.

Who: a seated worker, or two.
Wants: the ring to restore and to arrange for ever: no query is served, nobody is found guilty, and the owner pays.
Stopped by: DR-13 (who waited is served before the order changes), DR-55 (restores count when candidates are chosen).
Outcome: recorded, right blame, where there is a standby: it takes the seat. Without one refused: queries are answered,
and the orders that the owner pays for are no more than the queries, but for the first two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from assurance.adversary.liars import attesting_a_useless_key, attesting_falsely
from assurance.adversary.outcomes import blamed, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.protocol.events import RestoreOrdered, RingArranged
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN, ArrangementState
from deepring_chain.types import Digest, Position, RingMode

QUERIES = 3
LIARS = ("worker-2", "worker-3")
LOW_ORDER = Digest(bytes([1]) + bytes(31))
DRAWN = 0b1011001110001101
"""Whether to lie in each arrangement, as a coin fell."""

Lies = Callable[[ArrangementState, Position], bool]


def in_first_rounds(rounds: int) -> Lies:
    """In every arrangement, until the seat was restored so often."""
    return lambda current, seat: current.round_of(seat) < rounds


def in_turns(number: int) -> Lies:
    """In every second arrangement, the other one in those between."""
    return lambda current, seat: current.round_of(seat) == 0 and current.arranged.arrangement % 2 == number


def by_coin(_number: int) -> Lies:
    """In a random half of the arrangements."""
    return lambda current, seat: current.round_of(seat) == 0 and bool(DRAWN >> current.arranged.arrangement % 16 & 1)


WAYS: dict[str, Callable[[int], Lies]] = {
    "always": lambda _number: in_first_rounds(1),
    "twice in each": lambda _number: in_first_rounds(2),
    "in turns": in_turns,
    "half of them": by_coin,
}
MOST_ORDERS = {"always": 2, "twice in each": 4, "in turns": 1, "half of them": 2}
"""In one arrangement."""


def orders(ring: SteppedRing) -> int:
    """Restores that the owner paid for."""
    return sum(isinstance(entry.event, RestoreOrdered) for entry in ring.events())


def arrangements(ring: SteppedRing) -> int:
    """Seatings that the owner paid for."""
    return sum(isinstance(entry.event, RingArranged) for entry in ring.events())


def seated(ring: SteppedRing, name: str) -> bool:
    """Whether a worker sits in the ring now."""
    current = ring.state.arrangement
    return current is not None and ring.member(name).keys.address in current.arranged.seats


@refused
@pytest.mark.parametrize("way", WAYS)
def test_false_leaves_of_two_workers_keep_no_query_waiting_and_cost_an_order_each(
    own_ring: SteppedRing, way: str
) -> None:
    with ExitStack() as bribes:
        for number, name in enumerate(LIARS):
            bribes.enter_context(own_ring.bribed(name, attesting_falsely(WAYS[way](number))))
        for _ in range(QUERIES):
            query = own_ring.ask()
            own_ring.expect_answered(query)
            assert own_ring.guilt(query) == []
        # At rest nothing is ordered any more: it came to rest.
        assert orders(own_ring) <= MOST_ORDERS[way] * (QUERIES + 2)
        assert arrangements(own_ring) <= 2 * (QUERIES + 1)
    own_ring.expect_well()


@refused
def test_worker_that_lies_only_while_a_query_waits_delays_it_by_one_restore(own_ring: SteppedRing) -> None:
    def lies(current: ArrangementState, seat: Position) -> bool:
        return current.round_of(seat) == 0 and bool(own_ring.state.open_sessions())

    with own_ring.bribed("worker-2", attesting_falsely(lies)):
        for count in range(1, QUERIES + 1):
            own_ring.arrange()
            query = own_ring.ask()
            own_ring.expect_answered(query)
            assert orders(own_ring) == count
    own_ring.expect_well()


@refused
def test_queries_that_were_asked_together_are_all_served_in_the_restored_arrangement(own_ring: SteppedRing) -> None:
    with own_ring.bribed("worker-2", attesting_falsely(in_first_rounds(1))):
        own_ring.arrange()
        queries = [own_ring.ask() for _ in range(QUERIES)]
        own_ring.settle()
    assert {own_ring.session(query).arrangement for query in queries} == {2}
    for query in queries:
        own_ring.expect_answered(query)


@blamed
@pytest.mark.parametrize("rounds", [1, 2])
def test_false_leaf_in_each_arrangement_costs_the_worker_its_seat(relieved_ring: SteppedRing, rounds: int) -> None:
    with relieved_ring.bribed("worker-2", attesting_falsely(in_first_rounds(rounds))):
        for _ in range(QUERIES):
            relieved_ring.expect_answered(relieved_ring.ask())
        relieved_ring.arrange()
        relieved_ring.settle()
        assert not seated(relieved_ring, "worker-2")
        assert RESTORES_IN_VAIN <= orders(relieved_ring) <= RESTORES_IN_VAIN + rounds
    relieved_ring.expect_well()


@blamed
def test_worker_with_a_useless_key_in_each_arrangement_is_replaced_at_once(relieved_ring: SteppedRing) -> None:
    with relieved_ring.bribed("worker-2", attesting_a_useless_key(LOW_ORDER)):
        relieved_ring.arrange()
        query = relieved_ring.ask()
        relieved_ring.expect_answered(query)
        assert not seated(relieved_ring, "worker-2")
        assert relieved_ring.guilt(query) == []
    relieved_ring.expect_well()


@blamed
def test_worker_that_never_attests_is_replaced_after_a_hops_time(relieved_ring: SteppedRing) -> None:
    relieved_ring.arrange()
    query = relieved_ring.ask()
    relieved_ring.settle("worker-2")
    relieved_ring.wait(relieved_ring.client().hop_seconds + 1)
    relieved_ring.settle("worker-2")
    assert not seated(relieved_ring, "worker-2")
    assert relieved_ring.answer(query) == relieved_ring.plain()


@refused
@pytest.mark.parametrize("kind", ["useless key", "false leaf"])
def test_two_candidates_that_fail_in_turns_cost_the_owner_an_arrangement_in_a_hops_time(
    relieved_ring: SteppedRing, kind: str
) -> None:
    """All that may serve a layer are in it: nobody can go on, but nor can they have the owner arrange without end."""
    vain = attesting_a_useless_key(LOW_ORDER) if kind == "useless key" else attesting_falsely(lambda *_: True)
    candidates = [entry.name for entry in relieved_ring.folder.load_config().workers if entry.layer == 2]
    assert len(candidates) == 2
    with ExitStack() as bribes:
        for name in candidates:
            bribes.enter_context(relieved_ring.bribed(name, vain))
        relieved_ring.arrange()
        relieved_ring.settle()
        drawn = arrangements(relieved_ring)
        assert drawn <= 3
        relieved_ring.wait(relieved_ring.client().hop_seconds + 1)
        relieved_ring.settle()
        assert arrangements(relieved_ring) <= drawn + 1
    relieved_ring.wait(relieved_ring.client().hop_seconds + 1)
    relieved_ring.arrange()
    relieved_ring.settle()
    relieved_ring.expect_answered(relieved_ring.ask())
    assert relieved_ring.state.mode is RingMode.QUERY
