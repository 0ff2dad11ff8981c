"""The little statistics that the tables need."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided interval of 95 %."""


def wilson_interval(hits: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of a share, by Wilson's score; usable for no hit at all, too.

    Args:
        hits: how often it happened, 0..trials.
        trials: how often it was tried, at least 1.
        z: normal quantile.

    Returns:
        Lower and upper end, 0..1.

    Raises:
        ValueError: numbers that no experiment can give.
    """
    if not 0 <= hits <= trials or trials < 1:
        raise ValueError(f"{hits} hits in {trials} trials")
    share, square = hits / trials, z * z
    center = (share + square / (2 * trials)) / (1 + square / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    low, high = max(0.0, center - reach), min(1.0, center + reach)
    return (0.0 if hits == 0 else low), (1.0 if hits == trials else high)


def median(values: Sequence[float]) -> float | None:
    """The middle value, the mean of the two middle ones of an even number; None if there is none."""
    if not values:
        return None
    ordered, half = sorted(values), len(values) // 2
    return float(ordered[half]) if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def summarize(values: Sequence[float]) -> dict[str, float | int | None]:
    """Number, smallest, median and largest of some measurements."""
    if not values:
        return {"count": 0, "min": None, "median": None, "max": None}
    middle = median(values)
    return {"count": len(values), "min": min(values), "median": middle, "max": max(values)}
