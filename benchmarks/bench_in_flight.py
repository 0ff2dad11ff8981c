"""Queries per second with 1, 4, 16 and 64 of them in flight."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import RESULTS, Page, cores, pick, say
from benchmarks.plots import plot_lines
from benchmarks.rings import SETTLE, bench_ring
from benchmarks.subjects import dense
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.types import QueryId
from tests.e2e.live_ring import LiveRing

IN_FLIGHT = (1, 4, 16, 64)
POLL_SECONDS = 0.002
GIVE_UP_SECONDS = 300.0


def main() -> None:
    """Keeps so many queries open at a time, asked by one querent."""
    page = Page("in_flight", "How many queries a second, with many in flight?")
    subject = dense()
    images = subject.images(1)
    lines = {}
    for settle in SETTLE:
        rows = []
        with bench_ring(subject.model, 1, settle) as ring:
            run(ring, images, 1, 3)
            for window in IN_FLIGHT[: pick(4, 2)]:
                say(f"{window} in flight, settled by {settle}")
                rates = [run(ring, images, window, pick(max(12, 2 * window), window)) for _ in range(pick(2, 1))]
                rows.append((window, median(rate for rate, _ in rates), median(busy for _, busy in rates)))
        first = rows[0][1]
        page.text(f"## Settled by {settle}")
        page.table(
            ("in flight", "queries/s", "against 1", "cores in use"),
            [(window, f"{rate:.2f}", f"{rate / first:.2f}", f"{busy:.2f} of {cores()}") for window, rate, busy in rows],
        )
        lines[f"settled by {settle}"] = ([row[0] for row in rows], [row[1] for row in rows])
    page.plot(plot_lines(RESULTS / "in_flight.png", "Dense network, one image each", lines, ("in flight", "queries/s")))
    page.text(
        "Dense MNIST network, one image to a query. All processes, the node and the asking one share the "
        "machine's cores."
    )
    page.write()


def run(ring: LiveRing, images: NDArray[np.uint8], window: int, count: int) -> tuple[float, float]:
    """Queries per second, and cores of the machine that were in use, with `window` queries open until all are asked."""
    querent, follower = ring.querent(), LedgerFollower(ring.client(), ring.deployment.first_block)
    follower.refresh()
    begun, busy = time.perf_counter(), _busy_seconds()
    asked = 0
    waiting: set[QueryId] = set()
    done = 0
    while done < count:
        while asked < count and len(waiting) < window:
            waiting.add(querent.submit(images))
            asked += 1
        follower.refresh()
        sessions = follower.state.sessions
        ended = {query for query in waiting if query in sessions and not sessions[query].is_open}
        waiting -= ended
        done += len(ended)
        if time.perf_counter() - begun > GIVE_UP_SECONDS:
            raise TimeoutError(f"{len(waiting)} of {count} queries were not answered within {GIVE_UP_SECONDS:.0f} s")
        if not ended:
            time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - begun
    return count / seconds, (_busy_seconds() - busy) / seconds


def _busy_seconds() -> float:
    """Processor seconds of all processes since boot: proc(5), first line of /proc/stat, without idle and waiting."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    ticks = [int(field) for field in first.split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100


if __name__ == "__main__":
    main()
