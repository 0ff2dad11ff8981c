"""Lanes: steps of several queries side by side, of one query one at a time, and what becomes of their failures."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from deepring_chain.actors import lanes as module
from deepring_chain.actors.lanes import Bell, QueryLanes
from deepring_chain.chain.errors import LedgerReverted, NodeUnreachable, TransactionFailed
from deepring_chain.errors import StoreError
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import NO_BLOB, ZERO, Address, Digest, QueryId, SealingKey, TrailHash
from tests.waiting import FOREVER


def session(number: int) -> Session:
    return Session(QueryId(number), Address("0x" + "11" * 20), NO_BLOB, SealingKey(ZERO), TrailHash(ZERO))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Lanes:
    """Lanes that are open, with the loop around them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = ActorMetrics()
        self.bell = Bell()
        self.lanes = QueryLanes(self.metrics, self.clock)

    def run(self, about: Session, step: Callable[[Session], bool]) -> None:
        assert self.lanes.run(about, step) is False

    def await_quiet(self) -> None:
        """Turns of the main loop until no step runs."""
        while not self.lanes.is_quiet:
            self.bell.wait(FOREVER)
            self.lanes.settle()


@pytest.fixture
def opened() -> Iterator[Lanes]:
    found = Lanes()
    with found.lanes.opened(found.bell, 4):
        yield found


def test_slow_query_does_not_hold_up_another(opened: Lanes) -> None:
    go_on, done = threading.Event(), threading.Event()
    opened.run(session(1), lambda _: go_on.wait(FOREVER))

    def finish(_about: Session) -> bool:
        done.set()
        return True

    opened.run(session(2), finish)
    assert done.wait(FOREVER)
    assert not go_on.is_set()
    go_on.set()
    opened.await_quiet()


def test_steps_of_one_query_never_overlap(opened: Lanes) -> None:
    go_on, ran = threading.Event(), list[Session]()

    def step(about: Session) -> bool:
        ran.append(about)
        return go_on.wait(FOREVER)

    about = session(1)
    for turn in range(20):
        go_on.clear()
        opened.run(about, step)
        opened.run(about, step)  # the first one cannot have ended
        go_on.set()
        opened.await_quiet()
        assert len(ran) == turn + 1


def test_ended_step_keeps_its_lane_until_the_loop_has_settled(opened: Lanes) -> None:
    """Between its end and the next look at the ledger the same step would be chosen once more."""
    count: list[int] = []

    def step(number: int) -> Callable[[Session], bool]:
        def counted(_about: Session) -> bool:
            count.append(number)
            return True

        return counted

    opened.run(session(1), step(1))
    assert opened.bell.wait(FOREVER)
    opened.run(session(1), step(2))
    assert not opened.lanes.is_quiet
    assert opened.lanes.settle()
    assert opened.lanes.is_quiet
    assert count == [1]


def test_no_more_threads_than_asked_for(opened: Lanes) -> None:
    together = threading.Barrier(4)
    names: set[str] = set()

    def step(_about: Session) -> bool:
        together.wait(FOREVER)
        names.add(threading.current_thread().name)
        return True

    for number in range(12):
        opened.run(session(number), step)
    opened.await_quiet()
    assert len(names) == 4


def test_step_in_vain_waits_ever_longer(opened: Lanes) -> None:
    about, tries = session(1), []

    def step(_about: Session) -> bool:
        tries.append(opened.clock.now)
        return False

    for tick in range(448):
        opened.clock.now = tick / 128
        opened.run(about, step)
        opened.await_quiet()
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0], abs=2 / 128)


def test_news_of_a_query_ends_the_pause(opened: Lanes) -> None:
    about, tries = session(1), list[Session]()

    def in_vain(seen: Session) -> bool:
        tries.append(seen)
        return False

    for known in (about, about, replace(about, trail=TrailHash(Digest(b"\1" * 32)))):
        opened.run(known, in_vain)
        opened.await_quiet()
    assert len(tries) == 2


def test_error_of_a_query_is_its_own_trouble(opened: Lanes, caplog: pytest.LogCaptureFixture) -> None:
    """Also one of the chain: in the main loop it would stop them all."""

    def fail(error: Exception) -> Callable[[Session], bool]:
        def step(_about: Session) -> bool:
            raise error

        return step

    errors = [StoreError("away"), TransactionFailed("no funds"), LedgerReverted("NotQuerent", {})]
    with caplog.at_level(logging.ERROR):
        for number, error in enumerate(errors):
            opened.run(session(number), fail(error))
            opened.await_quiet()
    assert [record.getMessage() for record in caplog.records] == [
        "query 0: away",
        "query 1: no funds",
        "query 2: the ledger refused: NotQuerent()",
    ]
    assert set(opened.metrics.troubles) == {"query 0", "query 1", "query 2"}
    opened.lanes.keep_only({QueryId(2)})
    assert set(opened.metrics.troubles) == {"query 2"}


@pytest.mark.parametrize("error", [NodeUnreachable("no node answers"), ZeroDivisionError("a bug")])
def test_what_concerns_all_reaches_the_main_loop(opened: Lanes, error: Exception) -> None:
    """An absent node is dealt with once, and a bug ends the actor, as it did in the main loop."""

    def fail(_about: Session) -> bool:
        raise error

    opened.run(session(1), fail)
    opened.run(session(2), lambda _: True)
    with pytest.raises(type(error), match=str(error)):
        opened.await_quiet()
    opened.await_quiet()


def test_step_that_does_not_end_does_not_keep_the_actor_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    go_on, begun = threading.Event(), threading.Event()
    found = Lanes()
    with found.lanes.opened(found.bell, 1):
        found.run(session(1), lambda _: begun.set() or go_on.wait(FOREVER))  # type: ignore[func-returns-value]
        assert begun.wait(FOREVER)
        found.run(session(2), lambda _: pytest.fail("began after the stop"))
    assert not go_on.is_set()  # the step still runs
    go_on.set()


class Found:
    """What a step found out."""


def test_what_a_step_found_out_is_handed_over_once_and_then_dropped(opened: Lanes) -> None:
    """A worker's turn holds a tensor of the query, which may be open for long."""
    found, taken = Found(), list[int]()
    seen = weakref.ref(found)
    opened.lanes.run(session(1), lambda _: True, lambda of=found: taken.append(id(of)))  # type: ignore[misc]
    del found
    opened.await_quiet()
    assert len(taken) == 1
    assert seen() is None


def test_bell_that_rang_before_the_wait_ends_it_once() -> None:
    bell = Bell()
    for _ in range(3):
        bell.ring()
    assert bell.wait(FOREVER)
    assert not bell.wait(0.01)


def test_without_threads_a_step_runs_where_it_is_called() -> None:
    found = QueryLanes()
    assert found.run(session(1), lambda _: threading.current_thread() is threading.main_thread())
    assert found.is_quiet
    assert not found.settle()
