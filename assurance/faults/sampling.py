"""What processes take of the machine while they work, and whether it grows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Sample:
    """One process at one time.

    Attributes:
        done: queries that had ended by then.
        age: queries that had ended since the process began.
        pid: process.
        rss, pss: resident memory, and the share of it after division among all who map it; KiB.
        files, threads: how many are open, how many run.
    """

    done: int
    age: int
    pid: int
    rss: int
    pss: int
    files: int
    threads: int


@dataclass(frozen=True)
class Trend:
    """A figure over a run.

    Attributes:
        count: samples.
        first, last: mean of the first and of the last quarter of the samples.
        least, most: extremes.
        slope: least-squares growth per query.
    """

    count: int
    first: float
    last: float
    least: float
    most: float
    slope: float

    @property
    def growth(self) -> float:
        """From the first quarter to the last."""
        return self.last - self.first


def take_sample(pid: int, done: int, age: int) -> Sample | None:
    """A process's figures from /proc; None if it has ended."""
    place = Path(f"/proc/{pid}")
    try:
        status = _fields(place / "status")
        shares = _fields(place / "smaps_rollup")
        files = sum(1 for _ in (place / "fd").iterdir())
        return Sample(done, age, pid, status["VmRSS"], shares["Pss"], files, status["Threads"])
    except (OSError, KeyError):
        return None


def _fields(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found


def trend(samples: Sequence[Sample], figure: str, warm_up: int) -> Trend | None:
    """How a figure developed over all lives of an actor; None without enough samples.

    Args:
        samples: in order of time.
        figure: field of `Sample`.
        warm_up: queries that a new process may take until it counts.
    """
    warm = [sample for sample in samples if sample.age >= warm_up]
    if len(warm) < 8:
        return None
    x = np.array([sample.done for sample in warm], dtype=np.float64)
    y = np.array([getattr(sample, figure) for sample in warm], dtype=np.float64)
    quarter = len(warm) // 4
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else 0.0
    return Trend(
        len(warm), float(y[:quarter].mean()), float(y[-quarter:].mean()), float(y.min()), float(y.max()), slope
    )


class Sampler:
    """Samples of several processes by name."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self._born: dict[int, int] = {}

    def take(self, name: str, pid: int, done: int) -> None:
        """One more sample, unless the process has ended."""
        sample = take_sample(pid, done, done - self._born.setdefault(pid, done))
        if sample is not None:
            self.samples[name].append(sample)

    def lives(self, name: str) -> int:
        """How many processes a name had."""
        return len({sample.pid for sample in self.samples[name]})
