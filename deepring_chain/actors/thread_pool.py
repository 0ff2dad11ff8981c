"""Daemon threads for an actor's work: they never keep the process from ending, and the journal loses nothing then."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


class ThreadPool:
    """Runs work on up to `limit` threads, which start when they are needed. Any thread may submit.

    Unlike `concurrent.futures.ThreadPoolExecutor`, it lets the process end while work runs.

    Args:
        limit: most threads.
        name: of the threads.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._pending = 0
        # Threads know the queue alone: a pool that nobody has any more goes, and they with it.
        weakref.finalize(self, _dismiss, self._tasks, self._threads).atexit = False

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have `work` run with what the log and the metrics know of the calling thread's query.

        Returns:
            Its result, or its error.
        """
        future: Future[Result] = Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                result = context.run(work)
            except BaseException as error:  # noqa: BLE001 - `Future.result` raises it where it is wanted
                self._end()
                future.set_exception(error)
            else:
                self._end()
                future.set_result(result)

        self._begin()
        self._tasks.put(run)
        return future

    def stop(self, seconds: float) -> None:
        """Let running work end, for so long; what has not begun does not begin."""
        with suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self) -> None:
        with self._counting:
            self._pending += 1
            if len(self._threads) < min(self._pending, self._limit):
                thread = threading.Thread(
                    target=_work, args=(self._tasks,), name=f"{self._name} {len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _end(self) -> None:
        with self._counting:
            self._pending -= 1


def _work(tasks: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (task := tasks.get()) is not None:
        task()
        del task  # an idle thread would keep what it held


def _dismiss(tasks: queue.SimpleQueue[Callable[[], None] | None], threads: list[threading.Thread]) -> None:
    for _ in threads:
        tasks.put(None)
