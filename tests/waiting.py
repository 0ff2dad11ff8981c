"""Waiting in tests: for an event, and never for a time.

The one clock that ends a test is the hang guard, `timeout` in pyproject.toml. What waits in vain is stopped by it, and
the traceback shows what it waited for. `tests/unit/test_tests_have_no_clock.py` holds all tests to this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

FOREVER = 24 * 3600.0
"""For what asks for a number of seconds: far beyond the hang guard."""

LOOK_SECONDS = 0.01

Found = TypeVar("Found")


def wait_until(reached: Callable[[], Found], what: str = "") -> Found:
    """Looks again and again, until there is what is looked for.

    Args:
        reached: what it returns counts as found if it is true.
        what: words for whoever reads in a traceback where the hang guard struck.
    """
    while not (found := reached()):
        time.sleep(LOOK_SECONDS)
    del what
    return found


@contextmanager
def processor_seconds(most: float) -> Iterator[None]:
    """What is in the block takes at most so many seconds of this process's work; what others do does not count."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < most, f"took {took:.2f} s of the processor's time, more than {most:g}"
