"""A plan is its seed's, and what is judged flat or explained is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from assurance.faults.checks import check_logs
from assurance.faults.plan import AT_ACCOUNT, AT_ACTOR, Kind, draw_plan
from assurance.faults.sampling import Sample, take_sample, trend

ACTORS, QUERENTS = ("ouroboros", "worker-1"), ("querent-1",)


def test_same_seed_draws_the_same_plan_and_another_seed_another() -> None:
    first, again, other = (draw_plan(seed, ACTORS, QUERENTS, 8, 6) for seed in (7, 7, 8))
    assert first == again
    assert first.faults != other.faults


def test_as_many_seeds_as_there_are_kinds_draw_every_kind() -> None:
    plans = [draw_plan(seed, ACTORS, QUERENTS, 1, 1) for seed in range(len(Kind))]
    assert {plan.faults[0].kind for plan in plans} == set(Kind)


def test_fault_that_hits_one_names_whom() -> None:
    for seed in range(100):
        for fault in draw_plan(seed, ACTORS, QUERENTS, 1, 6).faults:
            assert (fault.target != "") == (fault.kind in AT_ACTOR | AT_ACCOUNT)


def samples(growth: float) -> list[Sample]:
    return [Sample(done, done, 1, int(1000 + growth * done), 0, 5, 2) for done in range(100)]


def test_leak_of_one_kib_per_query_is_seen() -> None:
    found = trend(samples(1.0), "rss", 10)
    assert found is not None
    assert found.slope == pytest.approx(1.0)
    assert found.growth == pytest.approx(68, abs=2)


def test_flat_figure_is_flat_though_the_warm_up_grew() -> None:
    flat = samples(0.0)
    flat[:10] = [Sample(done, done, 1, 100 * done, 0, 5, 2) for done in range(10)]
    found = trend(flat, "rss", 10)
    assert found is not None
    assert found.slope == pytest.approx(0)
    assert found.growth == 0


def test_process_that_ended_gives_no_sample() -> None:
    assert take_sample(2**22 + 1, 0, 0) is None


@pytest.mark.parametrize(
    ("line", "kinds", "is_explained"),
    [
        ("ERROR x: http://h: no node answers (ReadTimeout)", {Kind.HANG_RPC}, True),
        ("ERROR x: http://h: no node answers (ReadTimeout)", {Kind.DRAIN}, False),
        ("ERROR x: the disk is on fire", set(Kind), False),
        ("INFO x: the disk is on fire", set(Kind), True),
        ("Traceback (most recent call last):", set(Kind), False),
    ],
)
def test_error_that_no_fault_of_the_run_explains_is_a_violation(
    tmp_path: Path, line: str, kinds: set[Kind], is_explained: bool
) -> None:
    (tmp_path / "worker-1.log").write_text(f"2026-01-01T00:00:00.000 {line}\n")
    assert (list(check_logs(tmp_path, kinds)) == []) is is_explained
