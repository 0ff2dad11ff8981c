"""Times of blocks: the last ones are kept, from several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from deepring_chain.chain import block_times as module
from deepring_chain.chain.block_times import BlockTimes


def test_oldest_makes_room_for_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMES_KEPT", 3)
    times = BlockTimes()
    for number in (1, 2, 3, 3, 4):
        times.keep(number, 10 * number)
    assert [times.get(number) for number in range(1, 5)] == [None, 20, 30, 40]


def test_after_a_reorganization_none_is_known() -> None:
    times = BlockTimes()
    times.keep(1, 10)
    times.clear()
    assert times.get(1) is None


def test_threads_do_not_get_in_each_others_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMES_KEPT", 2)
    times = BlockTimes()

    def keep(first: int) -> None:
        for number in range(first, first + 2000):
            times.keep(number, number)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(keep, range(0, 8000, 2000)))
    kept = [number for number in range(8000) if times.get(number) is not None]
    assert len(kept) == 2
