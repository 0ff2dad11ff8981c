"""The rule by which an attack's strength is chosen: the weakest that harms as much as the paper's did."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deepring_chain.errors import ModelError

GRID = tuple(step * 10.0**power for power in (-3, -2, -1, 0, 1) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Standard deviations that are tried, in this order: 1, 1.5, 2, 3, 5, 7 times 10**-3 .. 10."""


def choose_sigma(
    margin: float, search: Callable[[float], float], confirm: Callable[[float], float], grid: Sequence[float] = GRID
) -> float:
    """The smallest standard deviation of the grid by which the plain model's accuracy drops at least by `margin`.

    Args:
        margin: drop of the accuracy that is wanted, as a share (0..1).
        search: drop at a standard deviation on a part of the test images.
        confirm: the same on all of them; asked only where `search` finds the margin reached.
        grid: ascending.

    Raises:
        ModelError: not even the largest does.
    """
    for sigma in grid:
        if search(sigma) >= margin and confirm(sigma) >= margin:
            return sigma
    raise ModelError(f"no sigma up to {grid[-1]:g} drops the accuracy by {100 * margin:.2f} points")
