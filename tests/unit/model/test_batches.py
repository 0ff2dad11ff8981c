"""A batch computed in cuts, on several threads, is the batch computed in one piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from deepring_chain.model import batches
from deepring_chain.model.batches import in_batches, undivided


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def numbers(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.int32)[:, None]


def test_results_of_all_cuts_are_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WORKING_BYTES", 7)
    found = in_batches(lambda part: (part % 100).to(torch.int8).expand(-1, 2), numbers(1000), 1, (2,), 3)
    assert torch.equal(found, (numbers(1000) % 100).to(torch.int8).expand(-1, 2))


def test_each_cut_is_computed_by_one_thread_alone_and_the_setting_comes_back() -> None:
    seen: set[tuple[int, int]] = set()
    first = threading.Barrier(3)

    def forward(part: torch.Tensor) -> torch.Tensor:
        seen.add((threading.get_ident(), torch.get_num_threads()))
        first.wait()
        return part.to(torch.int8)

    with undivided() as threads:
        in_batches(forward, numbers(3), 1, (1,), threads)
    assert len(seen) == 3
    assert {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("bad", [0, 2])
def test_error_in_any_cut_reaches_the_caller(bad: int) -> None:
    def forward(part: torch.Tensor) -> torch.Tensor:
        if int(part[0, 0]) == bad:
            raise ValueError(f"cut {bad}")
        return part.to(torch.int8)

    with pytest.raises(ValueError, match=f"cut {bad}"), undivided() as threads:
        in_batches(forward, numbers(3), 1, (1,), threads)
    assert torch.get_num_threads() == 3
