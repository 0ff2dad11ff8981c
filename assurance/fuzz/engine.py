"""One fuzzing process: an engine makes inputs from those that reached new code, and each one is examined.

Two engines: atheris (libFuzzer with the branches of instrumented bytecode), where it is installed; else a loop of our
own over the lines that the interpreter reports (sys.monitoring from Python 3.12 on, sys.settrace before).
"""

from __future__ import annotations

import importlib
import io
import os
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assurance.fuzz.coverage import PROJECT, LineCoverage
from assurance.fuzz.edits import edit_bytes, edit_value
from assurance.fuzz.progress import Progress
from assurance.fuzz.target import Outcome, Target, Violation, examine, warm_up

MEASURE_EVERY = 64
"""Every so many inputs memory is counted by the allocator; the process's peak is looked at after each."""

ENGINES = ("atheris", "lines")

WATCHED = ("rlp", "eth_abi", "tarfile")
"""Other packages whose branches count."""


@dataclass(frozen=True)
class Job:
    """What one process does.

    Attributes:
        engine: one of `ENGINES`.
        runs: inputs.
        seed: of everything random.
        folder: where new inputs are kept.
        corpus: folders with inputs to begin with.
        progress: file that the parent looks into.
    """

    engine: str
    runs: int
    seed: int
    folder: Path
    corpus: Path
    progress: Path


class Examiner:
    """Examines inputs and counts; the first violation ends the process with its text on standard error."""

    def __init__(self, target: Target, progress: Progress) -> None:
        self._target, self._progress = target, progress

    def __call__(self, data: bytes) -> None:
        """Examines one input."""
        self._progress.begin(data)
        try:
            outcome = examine(self._target, data, measured=self._progress.tried % MEASURE_EVERY == 0)
        except Violation as violation:
            print(f"violation: {violation}", file=sys.stderr, flush=True)
            os._exit(77)  # libFuzzer would go on with its own report
        self._progress.accepted += outcome is Outcome.ACCEPTED


def run_job(job: Job, target: Target) -> None:
    """Runs a job to its end, in a process of its own; ends it with 77 at the first violation."""
    progress = Progress(job.progress)
    warm_up(target)
    for data in target.seeds():
        examine(target, data)
    ENGINE_LOOPS[job.engine](job, target, progress)


def import_targets(engine: str, groups: Sequence[str]) -> None:
    """Imports the modules of targets, and with them all that they parse with, so that the engine sees its branches.

    Called before anything of the project is imported: only what is imported here is instrumented.
    """
    if engine != "atheris":
        return
    atheris: Any = importlib.import_module("atheris")
    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=[PROJECT, *WATCHED]):
        for group in groups:
            importlib.import_module(f"assurance.fuzz.{group}_targets")


def _run_atheris(job: Job, target: Target, progress: Progress) -> None:
    atheris: Any = importlib.import_module("atheris")
    examiner = Examiner(target, progress)
    folder = job.folder / "corpus"
    folder.mkdir(parents=True, exist_ok=True)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        if target.codec is not None and rng.random() < 0.6:
            return edit_value(data, target.codec, rng)[:max_size]
        if rng.random() < 0.3:
            return edit_bytes(data, rng)[:max_size]
        found: bytes = atheris.Mutate(data, max_size)
        return found

    options = [f"-runs={job.runs}", f"-seed={job.seed}", f"-max_len={target.limits.longest}", "-timeout=1200"]
    options += ["-rss_limit_mb=6000", "-len_control=0", "-print_final_stats=1", f"-artifact_prefix={job.folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder), str(job.corpus)], examiner, custom_mutator=mutate)
    atheris.Fuzz()


def _run_lines(job: Job, target: Target, progress: Progress) -> None:
    rng = random.Random(job.seed)  # noqa: S311 - repeatable on purpose
    examiner, coverage = Examiner(target, progress), LineCoverage(target.watched)
    pool = [path.read_bytes() for path in sorted(job.corpus.glob("*")) if path.is_file()] or [b""]
    for data in pool:
        with coverage:
            examiner(data)
    progress.places = coverage.begin()
    while progress.tried < job.runs:
        data = make_input(target, pool, rng)
        with coverage:
            examiner(data)
        if coverage.has_grown():
            pool.append(data)
    progress.places = coverage.count
    progress.finish()
    print(f"lines: {coverage.first} at first, {coverage.count} at the end", file=sys.stderr)


def make_input(target: Target, pool: Sequence[bytes], rng: random.Random) -> bytes:
    """Another input, from those that are known; the newest are taken more often."""
    chosen = pool[max(rng.randrange(len(pool)), rng.randrange(len(pool)))]
    if target.codec is not None and rng.random() < 0.6:
        return edit_value(chosen, target.codec, rng)[: target.limits.longest]
    return edit_bytes(chosen, rng, pool)[: target.limits.longest]


ENGINE_LOOPS: dict[str, Callable[[Job, Target, Progress], None]] = {"atheris": _run_atheris, "lines": _run_lines}
