"""The rule by which an attack's strength is chosen: the weakest that harms as much as the paper's did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

GRID = tuple(step * 10.0**power for power in (-2, -1, 0, 1) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Standard deviations that are tried, in this order: 1, 1.5, 2, 3, 5, 7 times 0.01, 0.1, 1 and 10."""


@dataclass(frozen=True)
class SigmaChoice:
    """A standard deviation, and whether the wanted margin is reached with it."""

    sigma: float
    is_reached: bool


def choose_sigma(
    margin: float, search: Callable[[float], float], confirm: Callable[[float], float], grid: Sequence[float] = GRID
) -> SigmaChoice:
    """The smallest standard deviation of the grid by which the plain model's accuracy drops at least by `margin`.

    If none does, the one with which it drops most.

    Args:
        margin: drop of the accuracy that is wanted, as a share (0..1).
        search: drop at a standard deviation on a part of the test images.
        confirm: the same on all of them; asked only where `search` finds the margin reached.
        grid: ascending.
    """
    drops: dict[float, float] = {}
    for sigma in grid:
        drops[sigma] = search(sigma)
        if drops[sigma] >= margin and confirm(sigma) >= margin:
            return SigmaChoice(sigma, True)
    return SigmaChoice(max(drops, key=lambda sigma: drops[sigma]), False)
