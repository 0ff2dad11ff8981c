"""All targets one after another, each in a process of its own, and the table of what they did."""

from __future__ import annotations

import faulthandler
import hashlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from assurance.fuzz.engine import Job, run_job
from assurance.fuzz.progress import Progress
from assurance.fuzz.registry import CORPUS, all_targets
from assurance.fuzz.target import Target

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
STALL_SECONDS = 60.0
"""Of the processor's time, for one input; and ten times as many by the clock."""

LEAST_RUNS = 200


@dataclass(frozen=True)
class Result:
    """What came of one target.

    Attributes:
        tried, accepted: inputs.
        seconds: of the process, without its start.
        first, last: places of code reached by the committed corpus, and at the end.
        violation: what was wrong, if anything.
        file: repeats it.
    """

    name: str
    tried: int
    accepted: int
    seconds: float
    first: int
    last: int
    violation: str = ""
    file: Path | None = None


def plan(names: Sequence[str], runs: int) -> list[tuple[Target, int]]:
    """Targets and the number of inputs of each, so that together they are at least `runs`."""
    chosen = [target for target in all_targets() if not names or target.name in names]
    whole = sum(target.share for target in chosen)
    return [(target, max(LEAST_RUNS, -(-runs * target.share // whole))) for target in chosen]


def fuzz(target: Target, runs: int, seed: int, engine: str) -> Result:
    """Fuzzes one target, in a process that is forked from this one: what is imported here is imported once."""
    folder = WORK / "work" / target.name
    shutil.rmtree(folder, ignore_errors=True)  # a run depends on its seed and the committed corpus alone
    watched = Progress(folder / "progress", create=True)
    job = Job(engine, runs, seed, folder, CORPUS / target.name, folder / "progress")
    log = folder / "log"
    log.write_bytes(b"")
    pid = os.fork()
    if pid == 0:
        _run_child(job, target, log)
    code, stalled, seconds = _watch(pid, watched)
    state, text = watched.read(), log.read_text(errors="replace")
    violation = _violation(code, stalled, text)
    first, last = _coverage(text)
    kept = _keep(target.name, state.data) if violation else None
    return Result(target.name, state.tried, state.accepted, seconds, first, last, violation, kept)


def _run_child(job: Job, target: Target, log: Path) -> NoReturn:
    """Never returns: whatever happens, this process does not go on with what the other one does."""
    try:
        output = os.open(log, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(output, stream)
        faulthandler.disable()
        sys.stdout = sys.stderr = os.fdopen(2, "w", closefd=False)
        run_job(job, target)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - told to the other process
        os.write(2, f"violation: {type(error).__name__}: {error}\n".encode(errors="replace"))
        os._exit(78)


def _watch(pid: int, watched: Progress) -> tuple[int, bool, float]:
    """Waits for the end; stops a process whose input of now takes too long.

    Returns:
        Exit code, negative for a signal; whether it was stopped; seconds since its first input.
    """
    state, since, began, used = watched.read(), time.monotonic(), 0.0, 0.0
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), False, max(0.001, time.monotonic() - (began or since))
        time.sleep(0.05)
        now = watched.read()
        if now.tried != state.tried:
            state, since, began = now, time.monotonic(), began or time.monotonic()
            used = _processor_seconds(pid)
        elif _is_stalled(pid, used, since):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return -signal.SIGKILL, True, time.monotonic() - began


def _is_stalled(pid: int, used: float, since: float) -> bool:
    return _processor_seconds(pid) - used > STALL_SECONDS or time.monotonic() - since > 10 * STALL_SECONDS


def _processor_seconds(pid: int) -> float:
    """proc(5): fields 14 and 15 of /proc/PID/stat; 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _violation(code: int, stalled: bool, text: str) -> str:
    if stalled:
        return f"hangs: no end after {STALL_SECONDS:.0f} s of work, or {10 * STALL_SECONDS:.0f} s of waiting"
    if code == 0:
        return ""
    found = re.findall(r"^violation: (.*)", text, re.M)
    return found[-1] if found else f"the process ended with {code}: {' '.join(text.split())[-300:]}"


def _coverage(text: str) -> tuple[int, int]:
    """From libFuzzer's status lines, or from our own."""
    own = re.findall(r"^lines: (\d+) at first, (\d+) at the end", text, re.M)
    if own:
        return int(own[-1][0]), int(own[-1][1])
    seen = [int(number) for number in re.findall(r"^#\d+\s+(?:INITED|DONE|NEW|REDUCE|pulse).*? cov: (\d+)", text, re.M)]
    begun = re.findall(r"^#\d+\s+INITED.*? cov: (\d+)", text, re.M)
    return (int(begun[0]) if begun else 0), max(seen, default=0)


def _keep(name: str, data: bytes) -> Path:
    path = WORK / "violations" / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def describe(results: Sequence[Result]) -> str:
    """The table, as Markdown."""
    lines = [
        "| target | inputs | accepted | inputs/s | places by the corpus | at the end |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.name} | {r.tried:,} | {r.accepted:,} | {r.tried / r.seconds:,.0f} | {r.first:,} | {r.last:,} |"
        for r in results
    ]
    return "\n".join(lines)
