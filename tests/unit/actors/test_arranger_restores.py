"""When the order changes after a restore, and what restores cost a worker."""

from __future__ import annotations

import os

import pytest

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.bit_flip import flip_memory_bit
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN
from deepring_chain.types import Challenge, Digest, QueryPhase, RingMode
from tests.unit.actors.fake_ring import FakeRing, client_of, session_of
from tests.unit.actors.test_arranger import arrangements, client_calls, seats
from tests.unit.actors.test_router import add_standby

MAX_STEPS = 50


class FalseAtFirst(Worker):
    """Signs a leaf of random bytes in the first round of every arrangement."""

    def _attest_if_due(self) -> bool:
        seat = self._member.seat_due()
        if seat is None or self._leaves.handed_in == seat or seat.round > 0:
            return super()._attest_if_due()
        self._leaves.hand_in(self._member.sign_leaf(seat, Challenge(Digest(os.urandom(32))), *self._block.contents()))
        return True


def tamper(ring: FakeRing, layer: int = 2) -> None:
    """Somebody flips a bit in the memory of a layer's worker."""
    layers = ring.blocks[layer - 1].layers
    assert layers is not None
    flip_memory_bit((layers.own,), f"layer.{layer}.weight", 1)


def rearrange(ring: FakeRing) -> None:
    request_arrangement(ring.folder / "0")
    ring.settle()


def settle_until_restored(ring: FakeRing) -> None:
    """Up to the moment at which the restored ring becomes authentic."""
    for _ in range(MAX_STEPS):
        for index in range(len(ring.members)):
            ring.step(index)
            current = ring.ledger.state.arrangement
            if current is not None and current.restores and ring.ledger.state.mode is RingMode.QUERY:
                return
    raise AssertionError("the ring was not restored")


def test_query_that_waited_for_a_restore_is_served_before_the_order_changes(ring: FakeRing) -> None:
    tamper(ring)
    query = ring.ask()
    ring.settle()
    assert session_of(ring, query).arrangements[1] == 1  # type: ignore[index]
    assert len(arrangements(ring)) == 2


@pytest.mark.parametrize("every", [1, 100])
def test_query_that_comes_after_the_restore_waits_for_the_new_order(ring: FakeRing, every: int) -> None:
    """Else a stream of queries could put the new order off for ever."""
    ring.ouroboros._arranger._every = every
    tamper(ring)
    first = ring.ask()
    settle_until_restored(ring)
    ring.step(0)
    assert session_of(ring, first).phase is QueryPhase.ROUTED
    later = ring.ask()
    ring.settle()
    assert session_of(ring, first).arrangements[1] == 1  # type: ignore[index]
    assert session_of(ring, later).arrangements[1] == 2  # type: ignore[index]


def test_order_changes_at_once_after_a_restore_that_nobody_waited_for(ring: FakeRing) -> None:
    ring.settle()
    tamper(ring)
    rearrange(ring)
    assert len(arrangements(ring)) == 3


def test_order_stays_after_a_second_restore_in_a_row_until_a_query_has_ended(ring: FakeRing) -> None:
    """The owner pays for orders and arrangements: a worker that lies in each would have it pay without end."""
    ring.replace_worker(2, FalseAtFirst)
    ring.settle()
    assert len(client_calls(ring, "order_restore")) == len(arrangements(ring)) == 2
    for count in (3, 4):
        ring.ask()
        ring.settle()
        assert len(client_calls(ring, "order_restore")) == len(arrangements(ring)) == count


def test_restores_over_many_arrangements_cost_the_worker_its_seat(ring: FakeRing) -> None:
    add_standby(ring, 2)._block = ring._block(2)  # one of its own
    ring.replace_worker(2, FalseAtFirst)
    queries = []
    for _ in range(RESTORES_IN_VAIN + 1):
        queries.append(ring.ask())
        ring.settle()
    assert [session_of(ring, query).phase for query in queries] == [QueryPhase.DELIVERED] * len(queries)
    assert len(client_calls(ring, "order_restore")) == RESTORES_IN_VAIN
    assert ring.members[4].keys.address in seats(ring)
    # The events alone tell: a new process chooses the same.
    ring.restart(0)
    ring.members[0].follower.refresh()
    assert ring.members[0].state.restores == {ring.members[2].keys.address: RESTORES_IN_VAIN}


def test_restores_of_an_honest_worker_leave_it_its_seat_where_its_standby_fares_no_better(ring: FakeRing) -> None:
    """Whoever can change its file could else choose who serves."""
    add_standby(ring, 2)
    ring.settle()
    standby = ring.members[4].keys.address
    ring.members[0].state.absences[standby] = 1
    for _ in range(RESTORES_IN_VAIN):
        tamper(ring)
        rearrange(ring)
    assert len(client_calls(ring, "order_restore")) == RESTORES_IN_VAIN
    rearrange(ring)
    assert standby not in seats(ring)


def test_worker_without_a_standby_keeps_its_seat_however_often_it_was_restored(ring: FakeRing) -> None:
    ring.replace_worker(2, FalseAtFirst)
    for _ in range(2 * RESTORES_IN_VAIN):
        query = ring.ask()
        ring.settle()
        assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert ring.members[2].keys.address in seats(ring)


def test_seat_goes_to_a_candidate_that_failed_before_only_after_a_hops_time(ring: FakeRing) -> None:
    """Two that fail in turns would have the owner arrange as fast as blocks come."""
    add_standby(ring, 2)
    ring.settle()
    seated, standby = ring.members[2].keys.address, ring.members[4].keys.address
    ring.members[0].state.absences[standby] = 1
    current = ring.members[0].state.arrangement
    assert current is not None
    assert seated in current.arranged.seats
    current.keyless.add(current.arranged.seats.index(seated))  # type: ignore[arg-type]
    arranger = ring.ouroboros._arranger
    assert not arranger.is_due()
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    assert arranger.is_due()
    ring.members[0].state.absences[standby] = 0
    ring.now = 0.0
    assert arranger.is_due()
