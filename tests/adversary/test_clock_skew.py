"""Clock skew: somebody's clock, or the chain's, is wrong.

Who: chance; the owner of a machine; a block producer.
Wants: an honest worker found silent, or a silent one never found.
Stopped by: DR-56 (deadlines run in block time and the ledger decides; an actor's clock only says when to ask), DR-57.
Outcome: refused. Block time itself is the producers': beyond a hop's time it is not stopped.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from assurance.adversary.outcomes import blamed, not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import QueryPhase

YEAR = 366 * 24 * 3600


@refused
@pytest.mark.parametrize("skew", [-YEAR, YEAR], ids=["a year slow", "a year fast"])
@pytest.mark.parametrize("who", ["worker-2", "ouroboros"])
def test_actor_with_a_wrong_wall_clock_does_all_the_same(
    attacked: SteppedRing, monkeypatch: pytest.MonkeyPatch, who: str, skew: int
) -> None:
    """No rule reads it: what actors compare with the ledger is the ledger's own time."""
    true = time.time
    query = attacked.ask()
    step = attacked.step

    def skewed(name: str, actor: Any = None) -> bool:
        if name != who:
            return step(name, actor)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: true() + skew)
            return step(name, actor)

    monkeypatch.setattr(attacked, "step", skewed)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
def test_ouroboros_whose_clock_races_finds_nobody_silent_before_the_ledger_does(attacked: SteppedRing) -> None:
    query = attacked.ask()
    attacked.settle("worker-2")
    for _ in range(5):
        attacked.now += YEAR
        attacked.settle("worker-2")
    assert attacked.guilt(query) == []
    attacked.expect_answered(query)


@refused
def test_timeout_that_mallory_asks_for_too_early_is_refused(attacked: SteppedRing) -> None:
    query = attacked.ask_up_to(2)
    member = attacked.member("worker-3")
    attacked.clock.advance(attacked.client().hop_seconds - 60)
    with pytest.raises(LedgerReverted, match="DeadlineAhead"):
        member.client.time_out(query, member.shown(attacked.session(query)))
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@blamed
def test_silent_worker_is_found_by_anybody_although_the_ouroboros_clock_stands_still(attacked: SteppedRing) -> None:
    query = attacked.ask_up_to(2)
    member = attacked.member("worker-3")
    attacked.clock.advance(attacked.client().hop_seconds + 1)
    member.client.time_out(query, member.shown(attacked.session(query)))
    assert attacked.guilt(query) == [(2, FaultKind.SILENT)]
    attacked.expect_answered(query)


@not_stopped("Block time.")
def test_not_stopped_producer_that_moves_block_time_beyond_a_deadline_has_an_honest_worker_found_silent(
    own_ring: SteppedRing,
) -> None:
    """The worker had no chance: its hop began and ended between two blocks."""
    query = own_ring.ask_up_to(2)
    own_ring.clock.advance(own_ring.client().hop_seconds + 1)
    member = own_ring.member("worker-3")
    member.client.time_out(query, member.shown(own_ring.session(query)))
    assert own_ring.session(query).phase is QueryPhase.INTERRUPTED
    assert own_ring.guilt(query) == [(2, FaultKind.SILENT)]
