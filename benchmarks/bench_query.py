"""A whole query through the ring, against the plain float32 network on the same machine; and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.harness import RESULTS, Page, cores, median_ratio, ms, pick, say, seconds_of, take_turns
from benchmarks.plots import plot_parts
from benchmarks.rings import SETTLE, Asker, Split, bench_ring
from benchmarks.subjects import Subject, dense, vgg19
from tests.e2e.live_ring import LiveRing

BATCHES = (1, 16, 64, 256)
HEAD = ("network, batch", "float32, ms", "integers, ms", "ring, ms", "ring / float32", "ring / integers")
PARTS = ("compute", "crypto", "store", "chain", "other", "waiting")


def main() -> None:
    """Measures both networks in all ways to settle."""
    torch.set_num_threads(cores())
    page = Page("query", "How much longer does a query through the ring take than the plain network?")
    for settle in SETTLE:
        page.text(f"## Settled by {settle}")
        rows, splits = [], []
        for subject in (dense(), vgg19()):
            with bench_ring(subject.model, cores(), settle) as ring:
                for batch in BATCHES[: pick(len(BATCHES), 2)]:
                    say(f"{subject.name}, batch {batch}, settled by {settle}")
                    row, split = measure(subject, ring, batch, pick(9, 2))
                    rows.append(row)
                    splits.append((f"{subject.name}, {batch}", split))
        page.table(HEAD, rows)
        _add_split(page, splits, settle)
    page.text(
        "Medians of rounds in which the three take turns; float32 and integers on all cores. The ring's "
        "time is a querent's: "
        "from the images to the decrypted answer, with submission, route and delivery. `other` is "
        "signing, journals and "
        "notes; `waiting` is when it was nobody's turn. Sealing and writing run beside computing: the "
        "parts may add up to more."
    )
    page.write()


def measure(subject: Subject, ring: LiveRing, batch: int, rounds: int) -> tuple[Sequence[object], Split]:
    """One row of the table, and the median split."""
    images, asker = subject.images(batch), Asker(ring)
    forward, integers = subject.plain_float(images), subject.plain_integer(images)
    found = take_turns(
        {"float": lambda: seconds_of(forward), "int": lambda: seconds_of(integers), "ring": lambda: asker.ask(images)},
        rounds,
    )
    splits = asker.splits(rounds)
    middle = Split(*(median(getattr(split, name) for split in splits) for name in ("total", *PARTS)))
    ratios = [f"{median_ratio(found['ring'], found[name]):,.2f}" for name in ("float", "int")]
    times = [ms(median(found[name])) for name in ("float", "int", "ring")]
    return (f"{subject.name}, {batch}", *times, *ratios), middle


def _add_split(page: Page, splits: list[tuple[str, Split]], settle: str) -> None:
    page.table(("network, batch", *(f"{part}, ms" for part in PARTS)), [_split_row(*each) for each in splits])
    path = RESULTS / f"query-{settle}.png"
    parts = {part: [1000 * max(0.0, getattr(split, part)) for _, split in splits] for part in PARTS}
    names = [name.replace(", ", "\n").replace(" (32x32)", "").replace(" MNIST", "") for name, _ in splits]
    page.plot(plot_parts(path, "Where a query's time goes", names, parts, "ms"))


def _split_row(name: str, split: Split) -> list[str]:
    return [name, *(ms(getattr(split, part)) for part in PARTS)]


if __name__ == "__main__":
    main()
