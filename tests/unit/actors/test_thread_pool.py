"""The pool's threads: how many there are, what they know, and that they keep nobody from ending."""

from __future__ import annotations

import threading
import weakref
from contextvars import ContextVar
from functools import partial

import pytest

from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.errors import ConfigError
from tests.waiting import FOREVER, wait_until

QUERY: ContextVar[int] = ContextVar("query", default=0)


def test_work_gives_its_result() -> None:
    assert ThreadPool(1, "test").submit(lambda: 3).result(FOREVER) == 3


def test_error_is_raised_where_the_result_is_wanted() -> None:
    def fail() -> None:
        raise ConfigError("no room")

    pool = ThreadPool(1, "test")
    failed = pool.submit(fail)
    with pytest.raises(ConfigError, match="no room"):
        failed.result(FOREVER)
    assert pool.submit(lambda: "the thread goes on").result(FOREVER)


def test_one_thread_does_one_thing_at_a_time_in_order() -> None:
    pool, order = ThreadPool(1, "test"), list[int]()
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        go_on.wait(FOREVER)
        order.append(1)

    works = [pool.submit(first), *(pool.submit(partial(order.append, number)) for number in (2, 3))]
    assert begun.wait(FOREVER)
    go_on.set()
    for work in works:
        work.result(FOREVER)
    assert order == [1, 2, 3]


def test_thread_that_is_free_is_used_again() -> None:
    pool = ThreadPool(4, "test")
    names = {pool.submit(lambda: threading.current_thread().name).result(FOREVER) for _ in range(10)}
    assert names == {"test 0"}


def test_work_side_by_side_gets_threads_up_to_the_limit() -> None:
    pool, together = ThreadPool(3, "test"), threading.Barrier(3)
    works = [pool.submit(lambda: together.wait(FOREVER)) for _ in range(9)]
    assert sorted(work.result(FOREVER) for work in works) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_work_knows_the_query_of_who_submitted_it() -> None:
    pool = ThreadPool(1, "test")
    assert pool.submit(QUERY.get).result(FOREVER) == 0
    token = QUERY.set(7)
    work = pool.submit(QUERY.get)
    QUERY.reset(token)
    assert work.result(FOREVER) == 7


def test_stop_lets_running_work_end_and_begins_no_other() -> None:
    pool = ThreadPool(1, "test")
    begun, go_on, stopped = threading.Event(), threading.Event(), threading.Event()

    def run() -> bool:
        begun.set()
        return go_on.wait(FOREVER)

    def stop() -> None:
        pool.stop(FOREVER)
        stopped.set()

    running = pool.submit(run)
    late = pool.submit(lambda: pytest.fail("began after the stop"))
    assert begun.wait(FOREVER)
    threading.Thread(target=stop, daemon=True).start()
    assert not stopped.wait(0.05)
    go_on.set()
    assert running.result(FOREVER)
    assert stopped.wait(FOREVER)
    assert not late.done()


class Layers:
    """Something large."""


def test_idle_thread_keeps_nothing_of_its_last_work() -> None:
    """Not the parameters that a restore replaces, nor a query's tensors."""
    pool, layers = ThreadPool(1, "test"), Layers()
    seen = weakref.ref(layers)
    pool.submit(partial(id, layers)).result(FOREVER)
    del layers
    wait_until(lambda: seen() is None)


def test_threads_are_daemons() -> None:
    assert ThreadPool(1, "test").submit(lambda: threading.current_thread().daemon).result(FOREVER)


def test_thread_that_waits_keeps_nothing_of_what_it_gave() -> None:
    """A layer's output is a querent's, and large."""
    pool = ThreadPool(1, "test")
    kept = weakref.ref(pool.submit(Layers).result(FOREVER))
    wait_until(lambda: kept() is None, "the thread lets go of what it computed")


def test_threads_of_a_pool_that_is_gone_end() -> None:
    pool = ThreadPool(2, "gone")
    thread = pool.submit(threading.current_thread).result(FOREVER)
    del pool
    wait_until(lambda: not thread.is_alive(), "the thread ends with its pool")
