"""A batch in cuts: small enough for a CPU's cache, and on all the threads that a process may use.

Torch would rather split each of its operations among threads, which meet at the end of every one. Where other processes
use the same cores, as in a ring on one machine, a thread that has to be waited for costs more than it helps. Here each
cut is computed by one thread alone, and they meet once, at the end of a layer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

WORKING_BYTES = 2**22
"""Memory that a layer of images works in besides input and result, in each thread, or that of one item.

A few MB stay in a CPU's cache; the cut does not change a single bit of the result.
"""


@contextmanager
def undivided() -> Iterator[int]:
    """In the block each of torch's operations runs on the thread that calls it.

    Yields:
        How many threads `torch.set_num_threads` allows: for `in_batches`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def in_batches(
    forward: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    item_bytes: int,
    result: tuple[int, ...],
    threads: int,
    dtype: torch.dtype = torch.int8,
) -> torch.Tensor:
    """Computes a batch in cuts that need at most `WORKING_BYTES`, or one item each, within `undivided`.

    Args:
        forward: computes a cut, [n, ...] to [n, *result].
        x: the batch, [N, ...].
        item_bytes: memory that one item takes.
        result: shape of one item of the result.
        threads: that compute cuts; a batch on a CUDA device stays with this one.
        dtype: of the result.

    Returns:
        [N, *result].
    """
    threads = 1 if x.is_cuda else threads
    rows = max(1, min(WORKING_BYTES // item_bytes, -(-len(x) // threads)))
    if len(x) <= rows:
        return forward(x)
    results = torch.empty((len(x), *result), dtype=dtype, device=x.device)
    cuts = list(zip(torch.split(x, rows), torch.split(results, rows), strict=True))
    if threads == 1:
        for part, place in cuts:
            place.copy_(forward(part))
    else:
        _share(forward, cuts, threads)
    return results


def _share(
    forward: Callable[[torch.Tensor], torch.Tensor], cuts: list[tuple[torch.Tensor, torch.Tensor]], threads: int
) -> None:
    """Computes all cuts on `threads` threads, this one among them."""
    left = iter(cuts)  # the next one is taken in one step of the interpreter: no two threads get the same
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for part, place in left:
                place.copy_(forward(part))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            errors.append(error)

    def work_alone() -> None:
        torch.set_num_threads(1)
        work()

    others = [threading.Thread(target=work_alone, daemon=True) for _ in range(min(threads, len(cuts)) - 1)]
    for other in others:
        other.start()
    try:
        work()
    finally:
        for other in others:
            other.join()
    if errors:
        raise errors[0]
