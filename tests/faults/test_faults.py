"""Small runs of `make faults` and `make soak`, as programs of their own: they mount a disk where they can."""

from __future__ import annotations

import subprocess
import sys

from tests.e2e.live_ring import ROOT
from tests.waiting import FOREVER


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"assurance.faults.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_queries_end_right_or_with_a_reason_whatever_goes_wrong() -> None:
    """Seed 5 sets the chain back under an arrangement; it once had honest workers found guilty."""
    done = run("run", "--seed", 5, "--runs", 1, "--queries", 6, "--patience", FOREVER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 runs, " in done.stdout


def test_short_soak_loses_nothing() -> None:
    done = run("soak", "--seed", 3, "--queries", 20, "--every", 5, "--patience", FOREVER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 queries, seed 3: nothing lost" in done.stdout
