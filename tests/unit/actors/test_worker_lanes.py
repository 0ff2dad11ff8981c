"""A worker's turns on threads: with which parameters they compute, and which of them count as a hop's time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from deepring_chain.actors.lanes import Bell
from deepring_chain.actors.worker.block import BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.protocol.decide.hop import Question, Receive, Turn
from deepring_chain.types import QueryId, QueryPhase
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, client_of, session_of
from tests.unit.actors.test_disputes import LyingWorker
from tests.unit.actors.test_worker import tamper
from tests.waiting import FOREVER


def lose(ring: FakeRing, layer: int) -> None:
    ring.blocks[layer - 1].layers = None


@pytest.mark.parametrize("damage", [tamper, lose])
def test_turn_that_waited_for_a_thread_computes_with_what_was_restored_meanwhile(
    ring: FakeRing, damage: Callable[[FakeRing, int], None]
) -> None:
    """It would convict a worker that was healed."""
    query = ask_up_to(ring, 1)
    worker, block, bell, go_on = ring.workers[0], ring.blocks[0], Bell(), threading.Event()
    honest = block.layers
    damage(ring, 1)
    with worker.lanes.opened(bell, 1):
        worker.lanes.run(replace(session_of(ring, query), query=QueryId(99)), lambda _: go_on.wait(FOREVER))
        ring.step(1)
        block.layers = honest
        go_on.set()
        while not worker.lanes.is_quiet:
            bell.wait(FOREVER)
            worker.lanes.settle()
    assert client_of(ring.members[1]).calls[-1] == f"post {query} 1"
    assert session_of(ring, query).phase is QueryPhase.ROUTED


def test_look_at_what_a_dispute_needs_is_no_turn(ring: FakeRing) -> None:
    """The one who complained looks again and again: the turns would be lost among that."""
    ask_up_to(ring, 1)
    ring.replace_worker(1, LyingWorker)
    ring.step(1)
    ring.step(2)
    turns = ring.members[2].metrics.timings.plain()
    assert [turn["hop"] for turn in turns] == [2]
    ring.step(2)
    assert ring.members[2].metrics.timings.plain() == turns


def test_turn_that_has_to_open_its_notes_first_is_timed(ring: FakeRing) -> None:
    """The process was started again at its turn."""
    ask_up_to(ring, 1)
    ring.restart(1)
    ring.step(1)
    assert [turn["hop"] for turn in ring.members[1].metrics.timings.plain()] == [1]


# ---------------------------------------------------------------- which turns begin


def refuse_to_begin(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.lanes, "run", lambda *_: pytest.fail("a turn began"))


def test_turn_under_way_is_left_alone(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_up_to(ring, 1)
    worker = ring.workers[0]
    monkeypatch.setattr(worker.lanes, "is_free", lambda _session: False)
    refuse_to_begin(worker, monkeypatch)
    assert not ring.step(1)


def test_query_in_which_nothing_is_due_begins_no_turn(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_up_to(ring, 1)
    ring.step(2)
    refuse_to_begin(ring.workers[1], monkeypatch)
    assert not ring.step(2)


def test_act_tells_of_any_query_that_moved(ring: FakeRing) -> None:
    """The first one does; the second one, which has come to nobody, does not."""
    ask_up_to(ring, 1)
    ring.ask()
    assert ring.step(1)


class Silent(Worker):
    """Gives each turn up."""

    def _answer(self, turn: Turn, question: Question, layers: BlockLayers | None) -> Turn | None:
        return None if isinstance(question, Receive) else super()._answer(turn, question, layers)


def test_turn_that_is_given_up_ends(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Silent)
    assert not ring.step(1)
    assert session_of(ring, query).next_hop == 1
