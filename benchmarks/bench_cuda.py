"""The exact kernels on a GPU against the CPU's; the bytes must be the same."""

from __future__ import annotations

from statistics import median

import torch

from benchmarks.harness import Page, cores, fail, median_ratio, ms, pick, say, seconds_of, take_turns
from benchmarks.subjects import Subject, dense, vgg19

BATCHES = (1, 16, 64, 256)


def main() -> None:
    """Measures both networks, or says that there is no GPU."""
    page = Page("cuda", "How much faster is a GPU?")
    torch.set_num_threads(cores())
    if not torch.cuda.is_available():
        say("no GPU")
        page.text("no GPU: torch finds no CUDA device on this machine, so nothing was measured.")
    else:
        rows = [measure(subject, batch) for subject in (dense(), vgg19()) for batch in BATCHES]
        page.table(("network, batch", "CPU, ms", "GPU, ms", "CPU / GPU"), rows)
        page.text(
            f"Integer model without a ring on {torch.cuda.get_device_name()}, copies to and from it for "
            "every layer included."
        )
    page.write()


def measure(subject: Subject, batch: int) -> tuple[str, ...]:
    """Medians of one batch size; fails if a single byte differs."""
    inputs = subject.model.card.quantise_input(subject.images(batch))
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    if subject.model.run(inputs, cpu) != subject.model.run(inputs, gpu):
        fail(f"{subject.name}, batch {batch}: the GPU gives other bytes than the CPU")
    layers = [layer.to(gpu) for layer in subject.model.layers]
    moved = type(subject.model)(subject.model.card, tuple(layers))
    found = take_turns(
        {
            "cpu": lambda: seconds_of(lambda: subject.model.run(inputs, cpu)),
            "gpu": lambda: seconds_of(lambda: moved.run(inputs, gpu)),
        },
        pick(21, 3),
    )
    times = ms(median(found["cpu"])), ms(median(found["gpu"]))
    return f"{subject.name}, {batch}", *times, f"{median_ratio(found['cpu'], found['gpu']):.2f}"


if __name__ == "__main__":
    main()
