"""A batch in cuts: small enough for a CPU's cache, and on all the threads that a process may use."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

WORKING_BYTES = 2**22
"""Memory that a layer of images works in besides input and result, in each thread, or that of one item.

A few MB stay in a CPU's cache; the cut does not change a single bit of the result.
"""


def in_batches(
    forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, item_bytes: int, result: tuple[int, ...]
) -> torch.Tensor:
    """Computes a batch in cuts that need at most `WORKING_BYTES`, or one item each.

    On a CPU the cuts go to `torch.get_num_threads()` threads, and each is computed by one of them alone: threads that
    never wait for each other lose nothing when other processes use the same cores.

    Args:
        forward: computes a cut, [n, ...] to int8 [n, *result].
        x: the batch, [N, ...].
        item_bytes: memory that one item takes.
        result: shape of one item of the result.

    Returns:
        int8 [N, *result].
    """
    threads = 1 if x.is_cuda else torch.get_num_threads()
    rows = max(1, min(WORKING_BYTES // item_bytes, -(-len(x) // threads)))
    if len(x) <= rows:
        return forward(x)
    results = torch.empty((len(x), *result), dtype=torch.int8, device=x.device)
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
        torch.set_num_threads(1)
        try:
            for part, place in left:
                place.copy_(forward(part))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            errors.append(error)

    others = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(cuts)) - 1)]
    for other in others:
        other.start()
    try:
        work()
    finally:
        for other in others:
            other.join()
        torch.set_num_threads(threads)
    if errors:
        raise errors[0]
