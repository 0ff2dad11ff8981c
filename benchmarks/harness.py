"""What all measurements share: rounds that take turns, medians, a straight line, and a page for the result."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def is_quick() -> bool:
    """Whether QUICK=1 asks for small sizes and few rounds, to see that all works."""
    return os.environ.get("QUICK", "") not in ("", "0")


def pick(full: int, quick: int) -> int:
    """A number of rounds, or a size."""
    return quick if is_quick() else full


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"{datetime.now(timezone.utc):%H:%M:%S}  {text}", flush=True)


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes."""
    begun = clock()
    work()
    return clock() - begun


def take_turns(measures: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Figures of several measures, one of each per round, so that what slows the machine meets all of them alike.

    Args:
        measures: each returns one figure, such as seconds.
        rounds: figures of each that are kept.
        warm_up: rounds before them that are not.
    """
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(warm_up + rounds):
        for name, measure in measures.items():
            figure = measure()
            if number >= warm_up:
                found[name].append(figure)
    return found


def median_ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    """Median of the ratios of figures that were taken in the same round."""
    return statistics.median(a / b for a, b in zip(upper, lower, strict=True))


@dataclass(frozen=True)
class Line:
    """The straight line y = slope * x + offset that fits best (least squares), and how well it does.

    Attributes:
        slope, offset: of the line.
        fit: coefficient of determination, 1 if all points lie on it.
    """

    slope: float
    offset: float
    fit: float

    def __str__(self) -> str:
        return f"y = {self.slope:.4g} x + {self.offset:.4g}, R2 = {self.fit:.4f}"


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Fits a line to at least two points with different x."""
    slope, offset = statistics.linear_regression(xs, ys)
    mean = statistics.fmean(ys)
    spread = sum((y - mean) ** 2 for y in ys)
    left = sum((y - slope * x - offset) ** 2 for x, y in zip(xs, ys, strict=True))
    return Line(slope, offset, 1.0 if spread == 0 else 1 - left / spread)


def ms(seconds: float) -> str:
    """Milliseconds for a table."""
    return f"{1000 * seconds:,.1f}" if seconds < 10 else f"{1000 * seconds:,.0f}"


@dataclass
class Page:
    """A result: one Markdown file, written anew by every run.

    Attributes:
        name: of the file, and of the module `bench_NAME`.
        question: what is asked, one sentence.
        parts: paragraphs and tables.
    """

    name: str
    question: str
    parts: list[str] = field(default_factory=list)

    def text(self, paragraph: str) -> None:
        """Adds a paragraph."""
        self.parts.append(paragraph)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table: words on the left, numbers on the right."""
        lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        self.parts.append("\n".join(lines))
        print("\n".join(lines), flush=True)

    def plot(self, path: Path) -> None:
        """Adds a picture that lies beside the page."""
        self.parts.append(f"![{self.question}]({path.name})")

    def write(self, folder: Path = RESULTS) -> Path:
        """Writes the page with how and where it was measured."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.md"
        parts = [f"# {self.question}", "\n".join(f"- {line}" for line in circumstances(self.name)), *self.parts]
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        say(f"written: {path}")
        return path


def circumstances(name: str) -> list[str]:
    """Command, date, commit, machine and versions of a run."""
    quick = "QUICK=1 " if is_quick() else ""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"command: `{quick}make bench ONLY={name}`",
        f"date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; load averages at the end: {load}",
        f"commit: {_commit()}",
        f"machine: {cores()} cores, {_processor()}, {_memory()}; {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, torch {torch.__version__}",
    ]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def fail(text: str) -> NoReturn:
    """Ends a run in one line."""
    print(f"bench: {text}", file=sys.stderr)
    raise SystemExit(1)
