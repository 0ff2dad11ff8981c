"""All targets one after another, each in a process of its own, and the table of what they did."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.engine import Job
from tests.fuzz.progress import Progress, State
from tests.fuzz.registry import CORPUS, GROUPS, targets_of
from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
STALL_SECONDS = 90.0
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


def plan(names: Sequence[str], runs: int) -> list[tuple[str, Target, int]]:
    """Module, target and number of inputs of each, so that together they are at least `runs`."""
    chosen = [(group, each) for group in GROUPS for each in targets_of(group) if not names or each.name in names]
    whole = sum(target.share for _, target in chosen)
    return [(group, target, max(LEAST_RUNS, -(-runs * target.share // whole))) for group, target in chosen]


def fuzz(group: str, target: Target, runs: int, seed: int, engine: str) -> Result:
    """Fuzzes one target."""
    folder = WORK / "work" / target.name
    progress = folder / "progress"
    watched = Progress(progress, create=True)
    job = Job(target.name, group, engine, runs, seed, folder, CORPUS / target.name, progress)
    log = folder / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "tests.fuzz", "work", json.dumps({k: str(v) for k, v in asdict(job).items()})]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env=_environment())
        stalled, seconds = _watch(process, watched)
    state, text = watched.read(), log.read_text(errors="replace")
    violation = _violation(process.returncode, stalled, text)
    first, last = _coverage(text)
    kept = _keep(target.name, state.data) if violation else None
    return Result(target.name, state.tried, state.accepted, seconds, first, last, violation, kept)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": f"{WORK / 'atheris'}:{ROOT}"}


def _watch(process: subprocess.Popen[bytes], watched: Progress) -> tuple[bool, float]:
    """Waits for the end; stops a process whose input of now takes too long."""
    state, since, began = watched.read(), time.monotonic(), 0.0
    try:
        while process.poll() is None:
            time.sleep(0.05)
            now = watched.read()
            if now.tried != state.tried:
                state, since, began = now, time.monotonic(), began or time.monotonic()
            elif time.monotonic() - since > STALL_SECONDS:
                process.kill()
                process.wait()
                return True, time.monotonic() - began
    except BaseException:
        process.kill()
        process.wait()
        raise
    return False, max(0.001, time.monotonic() - began) if began else 0.001


def _violation(code: int, stalled: bool, text: str) -> str:
    if stalled:
        return f"hangs: no end after {STALL_SECONDS:.0f} s"
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


__all__ = ["Result", "State", "describe", "fuzz", "plan"]
