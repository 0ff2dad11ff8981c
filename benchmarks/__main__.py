"""`python -m benchmarks [NAME ...]`: all measurements, or those named, one process each."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.harness import ROOT, fail, say

NAMES = {
    "attestation": "benchmarks.bench_attestation",
    "query": "benchmarks.bench_query",
    "hop": "benchmarks.bench_hop",
    "in_flight": "benchmarks.bench_in_flight",
    "gas": "benchmarks.bench_gas",
    "growth": "benchmarks.bench_growth",
    "start": "benchmarks.bench_start",
    "memory": "benchmarks.memory",
    "cuda": "benchmarks.bench_cuda",
    "ezkl": "benchmarks.bench_ezkl",
}

GIVE_UP_SECONDS = 1500


def main(names: list[str]) -> int:
    """Runs them one after another; returns how many failed."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        fail(f"no measurement named {', '.join(unknown)}; there are {', '.join(NAMES)}")
    failed = []
    for name in names or NAMES:
        begun = time.monotonic()
        say(f"{name} begins")
        if not _run(NAMES[name]):
            failed.append(name)
        say(f"{name} took {time.monotonic() - begun:.0f} s")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return len(failed)


def _run(module: str) -> bool:
    try:
        done = subprocess.run([sys.executable, "-m", module], cwd=ROOT, timeout=GIVE_UP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        say(f"{module}: not done after {GIVE_UP_SECONDS} s; given up")
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
