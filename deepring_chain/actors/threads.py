"""A second thread for work whose result is needed a little later."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Future[Result]]:
    """Runs `work` on another thread while the block runs; both are over when the context is left.

    What the log binds to the context is there in the other thread too.

    Yields:
        Its result, or its error, for after the block.
    """
    future: Future[Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - `Future.result` raises it where it is wanted
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield future
    finally:
        thread.join()
