"""What grows with layers, bytes, queries in flight and the trail, and whether it grows in a straight line."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.bench_in_flight import run
from benchmarks.harness import RESULTS, Page, cores, fit_line, is_quick, ms, pick, say, seconds_of
from benchmarks.plots import plot_lines
from benchmarks.rings import SETTLE, Asker, bench_ring
from benchmarks.subjects import Subject, small_dense
from deepring_chain.follow.follower import LedgerFollower
from tests.e2e.live_ring import LiveRing

WIDTH = 16
WIDE = 1024

LAYERS = (2, 4, 8, 16, 32, 64)
BATCHES = (1, 256, 512, 1024, 2048, 4096)
IN_FLIGHT = (1, 2, 4, 8, 16)
TRAILS = (5, 20, 40, 80, 160)


def main() -> None:
    """Four curves and a count."""
    page = Page("growth", "What grows how?")
    grow_layers(page)
    subject = small_dense((784, WIDE, WIDE, 10), "wide")
    with bench_ring(subject.model, cores()) as ring:
        grow_bytes(page, ring, subject)
    subject = small_dense((WIDTH, WIDTH, WIDTH, 4), "small")
    with bench_ring(subject.model, 1) as ring:
        grow_in_flight(page, ring, subject)
        grow_trail(page, ring, subject)
    page.write()


def grow_layers(page: Page) -> None:
    """Rings of more and more layers of one size, in both ways to settle."""
    page.text("## Layers")
    lines: dict[str, Sequence[float]] = {}
    sizes = LAYERS[: pick(len(LAYERS), 3)]
    for settle in SETTLE:
        found = [_ring_of(layers, settle) for layers in sizes]
        queries, starts = [query for query, _ in found], [start for _, start in found]
        rows = [
            (n, ms(query), ms(query / (n + 2)), f"{start:.1f}")
            for n, query, start in zip(sizes, queries, starts, strict=True)
        ]
        page.text(f"Settled by {settle}:")
        page.table(("layers", "query, ms", "per hop, ms", "made, deployed and started, s"), rows)
        lines |= {f"query, s, by {settle}": queries, f"start, s, by {settle}": starts}
    page.text(
        "Each worker verifies each hop, so that all of them together do so with the square of their number; here "
        "they share the machine's cores. The work of one worker, with a machine to itself, grows with the layers."
    )
    _lines(page, "layers", "layers", sizes, lines)


def _ring_of(layers: int, settle: str) -> tuple[float, float]:
    """Seconds of a query, and of making, deploying and starting the ring."""
    say(f"{layers} layers, settled by {settle}")
    subject = small_dense((*[WIDTH] * layers, 4), "small")
    begun = time.perf_counter()
    with bench_ring(subject.model, 1, settle) as ring:
        start = time.perf_counter() - begun
        asker, images = Asker(ring), subject.images(1)
        return median([asker.ask(images) for _ in range(pick(6, 2))][1:]), start


def grow_bytes(page: Page, ring: LiveRing, subject: Subject) -> None:
    """One ring, larger and larger batches."""
    asker, seconds, sizes = Asker(ring), [], BATCHES[: pick(len(BATCHES), 3)]
    asker.ask(subject.images(1))
    for batch in sizes:
        say(f"batch {batch}")
        images = subject.images(batch)
        seconds.append(median([asker.ask(images) for _ in range(pick(6, 2))][1:]))
    page.text("## Activation bytes")
    sent = [batch * (784 + 2 * WIDE + 40) / 2**20 for batch in sizes]
    page.table(
        ("batch", "MiB sent", "query, ms"),
        [(*row[:1], f"{row[1]:.2f}", ms(row[2])) for row in zip(sizes, sent, seconds, strict=True)],
    )
    _lines(page, "bytes", "MiB of activations sent in a query", sent, {"query, s": seconds})


def grow_in_flight(page: Page, ring: LiveRing, subject: Subject) -> None:
    """How long so many queries take that are asked at once."""
    images, sizes = subject.images(1), IN_FLIGHT[: pick(len(IN_FLIGHT), 3)]
    seconds = []
    for window in sizes:
        say(f"{window} in flight")
        seconds.append(median(window / run(ring, images, window, window)[0] for _ in range(pick(3, 1))))
    page.text("## Queries in flight")
    page.table(
        ("asked at once", "until all are answered, ms"),
        [(n, ms(value)) for n, value in zip(sizes, seconds, strict=True)],
    )
    _lines(page, "in-flight", "queries asked at once", sizes, {"until all are answered, s": seconds})


def grow_trail(page: Page, ring: LiveRing, subject: Subject) -> None:
    """Audit and catching up against the number of queries on the ledger; and what a query leaves in its storage."""
    images, rows, known = subject.images(1), [], len(ring.state().sessions)
    marks = [known + extra for extra in (TRAILS[: pick(len(TRAILS), 2)] if not is_quick() else (2, 4))]
    slots = [(known, count_slots(ring))]
    for mark in marks:
        say(f"{mark} queries on the ledger")
        missing = mark - len(ring.state().sessions)
        run(ring, images, min(8, missing), missing)
        slots.append((mark, count_slots(ring)))
        rows.append((mark, _median_of(ring.audit), _median_of(lambda: _catch_up(ring))))
    page.text("## Length of the trail")
    page.table(
        ("queries", "audit, ms", "catching up at a start, ms", "storage slots of the ledger"),
        [(n, ms(audit), ms(up), f"{count:,}") for (n, audit, up), (_, count) in zip(rows, slots[1:], strict=True)],
    )
    xs = [row[0] for row in rows]
    _lines(
        page,
        "trail",
        "queries on the ledger",
        xs,
        {"audit, s": [r[1] for r in rows], "catching up, s": [r[2] for r in rows]},
    )
    line = fit_line([n for n, _ in slots], [count for _, count in slots])
    page.text(f"State on chain: {line} (x: queries, y: storage slots), so {line.slope:.2f} slots for each query.")


def count_slots(ring: LiveRing) -> int:
    """Storage slots of the ledger that are not zero, from Anvil's dump of its state."""
    answer = ring.client().web3.manager.request_blocking("anvil_dumpState", [])  # type: ignore[arg-type]
    accounts = json.loads(gzip.decompress(bytes.fromhex(str(answer).removeprefix("0x"))))["accounts"]
    storage = {address.lower(): account["storage"] for address, account in accounts.items()}
    return len(storage[ring.deployment.ledger.lower()])


def _catch_up(ring: LiveRing) -> None:
    LedgerFollower(ring.client(), ring.deployment.first_block).refresh()


def _median_of(work: Callable[[], object]) -> float:
    return median(seconds_of(work) for _ in range(pick(5, 2)))


def _lines(page: Page, name: str, what: str, xs: Sequence[float], series: dict[str, Sequence[float]]) -> None:
    """The picture, and the straight line through each series."""
    page.plot(
        plot_lines(
            RESULTS / f"growth-{name}.png",
            f"Growth with {what}",
            {n: (xs, ys) for n, ys in series.items()},
            (what, "s"),
        )
    )
    for label, ys in series.items():
        page.text(f"Straight line, {label}: {fit_line(xs, ys)}.")
        say(f"{label}: {fit_line(xs, ys)}")


if __name__ == "__main__":
    main()
