"""Memory of a worker against its two layers, its activations and a stated constant; `make bench ONLY=memory`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Page, cores, pick, say
from benchmarks.rings import Asker, bench_ring
from benchmarks.subjects import Subject, dense, vgg19
from deepring_chain.model.batches import WORKING_BYTES
from tests.e2e.live_ring import LiveRing

CONSTANT_MIB = 56
"""What a worker may take besides layers and activations: what Python and the libraries write to after the fork."""

COPIES = 4
"""Of the largest activation: what came in, what goes out, the next layer's, and the envelope on its way."""

SAMPLE_SECONDS = 0.002


@dataclass
class Watched:
    """Memory of one process in bytes, as proc(5) counts it in smaps_rollup.

    Attributes:
        name: of the worker.
        loaded: private memory before the first query.
        shared: proportional share of everything (PSS), then.
        peak: most private memory seen since.
    """

    name: str
    pid: int
    loaded: int = 0
    shared: int = 0
    peak: int = field(default=0)


def main() -> None:
    """Measures both networks."""
    page = Page("memory", "How much memory does a worker take?")
    for subject, batch in ((dense(), 256), (vgg19(), pick(64, 16))):
        say(f"{subject.name}, batch {batch}")
        with bench_ring(subject.model, cores()) as ring:
            watched = _watch(ring, subject, batch)
        page.text(f"## {subject.name}, batch {batch}")
        rows = [_row(subject, batch, layer, each) for layer, each in enumerate(watched, start=1)]
        page.table(
            (
                "layer",
                "two layers",
                "activations",
                "PSS loaded",
                "private loaded",
                "private peak",
                "allowed",
                "peak / allowed",
            ),
            rows,
        )
    page.text(
        f"MiB. Private is what the worker alone has (USS); PSS adds its share of what forked processes "
        "have in common. Allowed: "
        f"its two layers, {COPIES} times its largest activation ({COPIES} copies: in, out, the next "
        "layer's, the envelope), "
        f"{cores()} times {WORKING_BYTES / 2**20:.0f} MiB of working memory, and a constant of {CONSTANT_MIB} MiB. "
        f"Sampled every {1000 * SAMPLE_SECONDS:.0f} ms while queries ran: a shorter peak can be missed."
    )
    page.write()


def _watch(ring: LiveRing, subject: Subject, batch: int) -> list[Watched]:
    names = [f"worker-{layer}" for layer in range(1, subject.model.card.layers + 1)]
    watched = [Watched(name, ring.pid(name)) for name in names]
    for each in watched:
        each.loaded, each.shared = private_bytes(each.pid), _rollup(each.pid)["Pss"]
    asker, images = Asker(ring), subject.images(batch)
    with _sampling(watched):
        for _ in range(pick(4, 2)):
            asker.ask(images)
    return watched


@contextmanager
def _sampling(watched: list[Watched]) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        while not over.is_set():
            for each in watched:
                each.peak = max(each.peak, private_bytes(each.pid))
            time.sleep(SAMPLE_SECONDS)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def private_bytes(pid: int) -> int:
    """Memory that only this process has."""
    sizes = _rollup(pid)
    return sizes["Private_Clean"] + sizes["Private_Dirty"]


def _row(subject: Subject, batch: int, layer: int, watched: Watched) -> tuple[str, ...]:
    model = subject.model
    held = [model.layer(layer), model.layer(model.next_index(layer))]
    parameters = sum(tensor.nbytes for each in held for tensor in each.tensors.values())
    largest = batch * max(
        _item_bytes(subject, index) for index in (layer - 1, layer, min(layer + 1, model.card.layers))
    )
    allowed = parameters + COPIES * largest + cores() * WORKING_BYTES + CONSTANT_MIB * 2**20
    sizes = (parameters, largest, watched.shared, watched.loaded, watched.peak, allowed)
    return str(layer), *(f"{size / 2**20:.1f}" for size in sizes), f"{watched.peak / allowed:.2f}"


def _item_bytes(subject: Subject, index: int) -> int:
    """Bytes of one item of a layer's output; of the input for 0."""
    if index == 0:
        shape: tuple[int, ...] = subject.model.card.input_shape
        width = 1
    else:
        layer = subject.model.layer(index)
        shape, width = layer.output_shape or (), 4 if layer.output_dtype == "int32" else 1
    size = width
    for length in shape:
        size *= length
    return size


if __name__ == "__main__":
    main()
