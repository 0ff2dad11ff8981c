"""For how long something has been what it is."""

from __future__ import annotations

from deepring_chain.actors.stopwatch import Stopwatch


def test_watch_starts_when_it_is_first_asked() -> None:
    watch = Stopwatch()
    assert watch.held("a", 5.0) == 0.0
    assert watch.held("a", 7.5) == 2.5
    assert watch.held("a", 9.0) == 4.0


def test_nothing_is_a_subject_too() -> None:
    watch = Stopwatch()
    assert watch.held(None, 5.0) == 0.0
    assert watch.held(None, 6.0) == 1.0


def test_another_subject_starts_the_watch_anew() -> None:
    watch = Stopwatch()
    watch.held(("a", 1), 5.0)
    assert watch.held(("a", 2), 7.0) == 0.0
    assert watch.held(("a", 2), 8.0) == 1.0
    assert watch.held(("a", 1), 9.0) == 0.0


def test_equal_subject_is_the_same() -> None:
    watch = Stopwatch()
    watch.held(frozenset({1, 2}), 1.0)
    assert watch.held(frozenset({2, 1}), 3.0) == 2.0


def test_restarted_watch_measures_its_subject_from_then_on() -> None:
    watch = Stopwatch()
    watch.held("a", 1.0)
    watch.restart(4.0)
    assert watch.held("a", 6.0) == 2.0
    assert watch.held("b", 6.0) == 0.0


def test_watch_without_a_subject_is_not_started_by_a_restart() -> None:
    watch = Stopwatch()
    watch.restart(4.0)
    assert watch.held("a", 6.0) == 0.0
