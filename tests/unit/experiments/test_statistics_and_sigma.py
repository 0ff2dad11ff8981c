"""Intervals, summaries, and the rule by which sigma is chosen."""

from __future__ import annotations

import pytest

from deepring_chain.experiments.sigma import GRID, choose_sigma
from deepring_chain.experiments.statistics import median, summarize, wilson_interval


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341), (1, 1_000_000, 1.765e-7, 5.665e-6)],
)
def test_wilson_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits, trials) == pytest.approx((low, high), rel=1e-3)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_interval_of_impossible_counts_is_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="hits in"):
        wilson_interval(hits, trials)


def test_median_is_the_middle_value_or_the_mean_of_the_two() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
    assert median([]) is None


def test_summary_tells_number_and_extremes() -> None:
    assert summarize([2.0, 9.0, 4.0]) == {"count": 3, "min": 2.0, "median": 4.0, "max": 9.0}
    assert summarize([]) == {"count": 0, "min": None, "median": None, "max": None}


def test_smallest_sigma_that_reaches_the_margin_is_chosen() -> None:
    choice = choose_sigma(0.2, search=lambda sigma: sigma / 10, confirm=lambda sigma: sigma / 10)
    assert (choice.sigma, choice.is_reached) == (2.0, True)


def test_sigma_that_all_images_do_not_confirm_is_passed_over() -> None:
    asked: list[float] = []

    def confirm(sigma: float) -> float:
        asked.append(sigma)
        return 0.3 if sigma > 3 else 0.1

    assert choose_sigma(0.2, search=lambda sigma: sigma / 10, confirm=confirm).sigma == 5.0
    assert asked == [2.0, 3.0, 5.0]


def test_where_no_sigma_reaches_the_margin_the_most_harmful_is_given_as_such() -> None:
    choice = choose_sigma(0.9, search=lambda sigma: 0.5 - abs(sigma - 7) / 100, confirm=lambda _: 1.0)
    assert (choice.sigma, choice.is_reached) == (7.0, False)


def test_grid_ascends_and_is_the_documented_one() -> None:
    assert list(GRID) == sorted(GRID)
    assert [round(sigma, 4) for sigma in GRID[:7]] == [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1]
    assert GRID[-1] == 70.0
