"""How long `deepring up` takes for rings of 5 and 20 workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import ROOT, Page, fail, pick, say
from benchmarks.subjects import small_dense
from deepring_chain.ring.create import init_ring

PASSWORD = "only for this measurement 5e1d"  # noqa: S105 - of keys that are thrown away
WORKERS = (5, 20)
GIVE_UP_SECONDS = 180


def main() -> None:
    """Runs the command as a user does."""
    page = Page("start", "How long until `deepring up` has a ring running?")
    rows = []
    for workers in WORKERS:
        say(f"{workers} workers")
        seconds = [start_once(workers) for _ in range(pick(5, 1))]
        rows.append((workers, f"{median(seconds):.1f}", f"{min(seconds):.1f} to {max(seconds):.1f}"))
    page.table(("workers", "up after, s (median)", "from, to"), rows)
    page.text(
        "From the command to its line `ring is up`, in a folder that `deepring init` made: Python, a "
        "devnet, accounts funded, "
        "the ledger deployed, model and members registered, and every actor's process ready after the "
        "self-test of its kernels."
    )
    page.write()


def start_once(workers: int) -> float:
    """Seconds of one start; the ring is stopped after it."""
    with tempfile.TemporaryDirectory(prefix="deepring-bench-") as scratch:
        ring = Path(scratch) / "ring"
        init_ring(ring, small_dense((*[16] * workers, 4), "small").model, PASSWORD, lambda _: None)
        environment = {**os.environ, "DEEPRING_PASSWORD": PASSWORD}
        command = [sys.executable, "-c", "from deepring_chain.cli.main import main; main()", "up", "--ring", str(ring)]
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
            try:
                return _await_line(process, begun)
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)


def _await_line(process: subprocess.Popen[str], begun: float) -> float:
    said = []
    for line in process.stdout or ():
        said.append(line.strip())
        if "ring is up" in line:
            return time.perf_counter() - begun
        if time.perf_counter() - begun > GIVE_UP_SECONDS:
            break
    return fail(f"the ring did not come up; the command said: {' / '.join(said[-3:])}")


if __name__ == "__main__":
    main()
