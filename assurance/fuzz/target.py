"""What a fuzzed parser is, what it may do with any bytes, and how one input is examined."""

from __future__ import annotations

import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from assurance.fuzz.codecs import Codec

MAX_MESSAGE = 2000
"""Letters in an error's text: a person reads it."""

KIBI, MEBI = 2**10, 2**20
MAX_RSS_UNIT = 1 if sys.platform == "darwin" else KIBI


PEAK_STEP = 64 * MEBI
"""A process's peak moves in steps, for its own reasons too: less than this is counted again by the allocator."""


class Violation(Exception):
    """A parser did with some bytes what it must not do."""


@dataclass(frozen=True)
class Limits:
    """What one input may take.

    Attributes:
        seconds, seconds_per_kib: the deadline is `seconds + seconds_per_kib * len(input) / 1024`, of the processor's
            time, which other programs do not lengthen; who waits for nothing is found by `run.STALL_SECONDS`.
        memory, memory_per_byte: peak of allocated memory, `memory + memory_per_byte * len(input)` bytes.
        longest: input that is tried, in bytes.
    """

    seconds: float = 2.0
    seconds_per_kib: float = 0.01
    memory: int = 2 * MEBI
    memory_per_byte: int = 256
    longest: int = 4096

    def deadline(self, size: int) -> float:
        """Seconds for an input of that many bytes."""
        return self.seconds + self.seconds_per_kib * size / KIBI

    def most_memory(self, size: int) -> int:
        """Bytes for an input of that many bytes."""
        return self.memory + self.memory_per_byte * size


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        name: also that of its folder in the corpus.
        parse: reads untrusted bytes.
        declared: the errors that its documentation names.
        seeds: makes valid inputs.
        again: makes bytes of what `parse` returned, where one value has one encoding.
        codec: how to take an input apart into values that are changed one by one, where it has structure.
        limits: of one input.
        share: of all inputs of a run, as a weight; slow parsers get less.
        watched: packages whose branches count as coverage, besides this project's.
    """

    name: str
    parse: Callable[[bytes], object]
    declared: tuple[type[BaseException], ...]
    seeds: Callable[[], Sequence[bytes]]
    again: Callable[[object], bytes] | None = None
    codec: Codec | None = None
    limits: Limits = field(default_factory=Limits)
    share: int = 10
    watched: tuple[str, ...] = ()


class Outcome(Enum):
    """How a parser took an input."""

    ACCEPTED = 0
    REFUSED = 1


def examine(target: Target, data: bytes, *, measured: bool = False) -> Outcome:
    """Has a target parse an input.

    Args:
        target: the parser.
        data: the input.
        measured: with the allocator's own count of memory, which is exact and slow; else by the peak of the process.

    Raises:
        Violation: an error that is not declared, an error whose text is long or several lines, a value that has
            another encoding than the input, too much time or too much memory.
    """
    before, began = _start(measured), time.process_time()
    try:
        outcome = _parse(target, data)
    finally:
        seconds, taken = time.process_time() - began, _taken(before, measured)
    if seconds > target.limits.deadline(len(data)):
        raise Violation(f"took {seconds:.2f} s for {len(data)} bytes; the deadline is {_deadline(target, data)}")
    most = target.limits.most_memory(len(data))
    if most < taken < most + PEAK_STEP and not measured:
        return examine(target, data, measured=True)
    if taken > most:
        raise Violation(f"took {taken:,} bytes of memory for an input of {len(data):,}; the bound is {most:,}")
    return outcome


def warm_up(target: Target) -> None:
    """Has a target parse its valid inputs: what is imported and made at first use is not the doing of an input."""
    for data in target.seeds():
        with suppress(*target.declared):
            target.parse(data)


def _deadline(target: Target, data: bytes) -> str:
    return f"{target.limits.deadline(len(data)):.2f} s"


def _parse(target: Target, data: bytes) -> Outcome:
    try:
        value = target.parse(data)
    except target.declared as error:
        _check_message(error)
        return Outcome.REFUSED
    except Violation:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Violation(f"raised {type(error).__module__}.{type(error).__name__}: {str(error)[:300]}") from error
    if target.again is not None and target.again(value) != data:
        raise Violation("accepted bytes that are not the encoding of what it read")
    return Outcome.ACCEPTED


def _check_message(error: BaseException) -> None:
    text = str(error)
    if len(text) > MAX_MESSAGE or "\n" in text or not text.strip():
        raise Violation(f"an error of {len(text)} letters in {text.count(chr(10)) + 1} lines: {text[:200]!r}")


def _start(measured: bool) -> int:
    if not measured:
        return _peak()
    tracemalloc.start(1)
    return 0


def _taken(before: int, measured: bool) -> int:
    if not measured:
        return _peak() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _peak() -> int:
    """Most memory that the process ever had, in bytes: it tells of what was touched, at no cost."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAX_RSS_UNIT
