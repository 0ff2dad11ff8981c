"""`make soak QUERIES=1000 SEED=1`: one live ring, many queries, random faults; nothing is lost and nothing grows.

A violation of what must hold (`assurance.faults.checks`), or an actor whose memory, open files or threads grow
beyond the bounds below, ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from assurance.faults import checks
from assurance.faults.disk import enter_namespace
from assurance.faults.plan import draw_plan
from assurance.faults.run import ACTORS, Conductor, Tally, count, examine, keep, make_querents
from assurance.faults.sampling import KIB_PER_MIB, Sampler, Trend, trend
from assurance.faults.stage import QUERENTS, SETTLE, UPDATE, Stage, staged
from deepring_chain.crypto.keys import ActorKeys
from tests.e2e.live_ring import tiny_model

ARRANGE_EVERY = 20
SAMPLE_SECONDS = 2.0
PROGRESS_QUERIES = 25
EVENTS_PER_QUERY = 9
STALL_SECONDS = 20.0
WARM_UP = 25
"""Queries that a process answers before its figures count: libraries, caches and buffers reach their size."""

MOST_GROWTH_MIB = 12.0
MOST_SLOPE_KIB = 8.0
MOST_MORE_FILES = 3.0 * (len(ACTORS) - 1)
"""A process that the host starts again inherits the ends of its pipes to the others: three for each, and no more."""

MOST_MORE_THREADS = 4.0


class Soak:
    """One soak: the ring, its samples and its progress.

    Args:
        stage: the ring.
        options: of the command line: what is drawn from, how much is asked, queries per fault on average, and for how
            long questions are asked.
        keys: of the querents.
        say: told what happens.
    """

    def __init__(
        self,
        stage: Stage,
        options: argparse.Namespace,
        keys: dict[str, ActorKeys],
        say: Callable[[str], None],
    ) -> None:
        seed, queries, every, minutes = options.seed, options.queries, options.every, options.minutes
        spread = (1, max(1, 2 * every * EVENTS_PER_QUERY))
        self.plan = draw_plan(seed, ACTORS, QUERENTS, queries, max(1, queries // every), spread)
        self.sampler = Sampler()
        self._stage, self._say = stage, say
        self.conductor = Conductor(stage, self.plan, keys, say, stall=STALL_SECONDS, on_look=self._look)
        self._sampled, self._told, self._started = 0.0, 0, time.monotonic()
        self._until, self.left_out = self._started + 60 * minutes, 0

    @property
    def done(self) -> int:
        """Queries that ended."""
        return sum(question.is_over for question in self.conductor.questions)

    def _look(self) -> None:
        if time.monotonic() - self._sampled > SAMPLE_SECONDS:
            self._sampled = time.monotonic()
            self._sample()
        if time.monotonic() > self._until:
            self.left_out += self.conductor.cut_short()
        done = self.done
        if done // PROGRESS_QUERIES > self._told // PROGRESS_QUERIES:
            self._say(self._progress(done))
            self._told = done

    def _sample(self) -> None:
        done = self.done
        for name in ACTORS:
            pid = self._stage.ring.running_pid(name)
            if pid is not None:
                self.sampler.take(name, pid, done)
        if self._stage.node.devnet.is_alive():
            self.sampler.take("node", self._stage.node.devnet.process_id, done)

    def _progress(self, done: int) -> str:
        newest = [(name, taken[-1]) for name, taken in self.sampler.samples.items() if taken]
        shown = ", ".join(f"{name} {one.rss // KIB_PER_MIB} MiB/{one.files} files" for name, one in newest)
        faults, total = sum(self.conductor.injector.done.values()), len(self.conductor.questions)
        rate = done / (time.monotonic() - self._started)
        return f"{done}/{total} queries, {rate:.2f}/s, {faults} faults; {shown}"

    def growth(self) -> Iterator[str]:
        """Which actor's figures are not flat."""
        for name in ACTORS:
            for figure, most, unit in _BOUNDS:
                found = trend(self.sampler.samples[name], figure, WARM_UP)
                if found is not None and found.growth > most:
                    yield f"{name}: {figure} grew by {found.growth / unit:.1f} from the first to the last quarter"
            memory = trend(self.sampler.samples[name], "rss", WARM_UP)
            if memory is not None and memory.slope > MOST_SLOPE_KIB:
                yield f"{name}: memory grows by {memory.slope:.2f} KiB per query"

    def table(self) -> str:
        """All figures."""
        head = f"{'':12} {'lives':>5} {'samples':>7} {'RSS MiB first>last':>19} {'max':>6} {'KiB/query':>9}"
        lines = [f"{head} {'PSS MiB':>13} {'files':>11} {'threads':>11}"]
        for name in (*ACTORS, "node"):
            lines.append(self._row(name))
        return "\n".join(lines)

    def _row(self, name: str) -> str:
        figures = [trend(self.sampler.samples[name], figure, WARM_UP) for figure in ("rss", "pss", "files", "threads")]
        if any(figure is None for figure in figures):
            return f"{name:12} {self.sampler.lives(name):5}   too few samples after {WARM_UP} queries"
        rss, pss, files, threads = (figure for figure in figures if figure is not None)
        memory = f"{_mib(rss.first):>9} > {_mib(rss.last):>7} {_mib(rss.most):>6} {rss.slope:9.2f}"
        return (
            f"{name:12} {self.sampler.lives(name):5} {rss.count:7} {memory} {_mib(pss.first):>5} > {_mib(pss.last):>5} "
            f"{_span(files):>11} {_span(threads):>11}"
        )


_BOUNDS = (
    ("rss", MOST_GROWTH_MIB * KIB_PER_MIB, KIB_PER_MIB),
    ("files", MOST_MORE_FILES, 1),
    ("threads", MOST_MORE_THREADS, 1),
)


def _mib(kib: float) -> str:
    return f"{kib / KIB_PER_MIB:.1f}"


def _span(found: Trend) -> str:
    return f"{found.first:.1f} > {found.last:.1f}"


def soak(options: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Runs it; returns what is wrong."""
    tally = Tally()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepring-soak-")))
        model, settle = tiny_model(3), options.settle
        stage = stack.enter_context(staged(folder, model, ARRANGE_EVERY, settle=settle, keeps_history=False))
        stage.patience = options.patience
        keys = make_querents(stage, folder)
        running = Soak(stage, options, keys, say)
        running.conductor.conduct()
        tally.put_back = len(checks.find_spoiled(stage))
        found = [*examine(stage, running.conductor, keys, running.plan.kinds()), *running.growth()]
        count(tally, running.conductor)
        sys.stdout.write(f"{tally.table()}\n{running.table()}\n")
        if running.left_out:
            say(f"out of time: {running.left_out} of {options.queries} queries were not asked")
        if found:
            keep(stage, options.seed)
    return found


def main() -> int:
    """1 at a violation."""
    enter_namespace("assurance.faults.soak")
    faulthandler.register(signal.SIGUSR1)  # kill -USR1 tells where it stands
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--settle", choices=SETTLE, default=UPDATE)
    parser.add_argument("--every", type=int, default=12, help="queries per fault, on average")
    parser.add_argument("--minutes", type=float, default=240.0, help="ask for so long at most")
    parser.add_argument("--patience", type=float, help="seconds for the end, and until all are well again")
    options, started = parser.parse_args(), time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:7.1f} s  {line}\n")
        sys.stdout.flush()

    violations = soak(options, say)
    if violations:
        again = f"again: make soak QUERIES={options.queries} SEED={options.seed} SETTLE={options.settle}"
        say("\n".join(["VIOLATION:", *violations, again]))
        return 1
    say(f"{options.queries} queries, seed {options.seed}: nothing lost, nothing grew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
