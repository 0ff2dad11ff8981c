"""The check for false alarms would see one: a differing commitment is named, and so is a process that fails."""

from __future__ import annotations

import sys

import pytest

from deepring_chain.attacks import false_alarms
from deepring_chain.attacks.false_alarms import BATCHES, ISA_LEVELS, THREADS, check, compute
from deepring_chain.attacks.image_layers import IMAGE_LAYERS
from deepring_chain.errors import ModelError

CONFIGURATIONS = len(ISA_LEVELS) * len(THREADS) * 3


def test_parts_of_a_batch_have_the_commitments_of_the_whole() -> None:
    whole = list(compute(1, 3, 64))
    assert whole == list(compute(1, 3, 5))
    assert len(whole) == len(set(whole)) == (5 + IMAGE_LAYERS) * len(BATCHES)


def test_other_inputs_have_other_commitments() -> None:
    assert not set(compute(1, 3, 64)) & set(compute(1, 4, 64))


def test_checks_are_counted_without_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_alarms, "_run_elsewhere", lambda *_: ["a", "b"])
    assert check(1, 1) == (2 * (CONFIGURATIONS - 1), CONFIGURATIONS)


def test_one_differing_commitment_is_a_false_alarm_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(isa: str, threads: int, part: int, _rounds: int, _seed: int) -> list[str]:
        return ["a", "x" if (isa, threads, part) == ("AVX2", 2, 5) else "b"]

    monkeypatch.setattr(false_alarms, "_run_elsewhere", run)
    with pytest.raises(ModelError, match=r"AVX2, 2 threads, parts of 5: layer check 1 differs \(seed 9\)"):
        check(1, 9)


def test_missing_commitments_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_alarms, "_run_elsewhere", lambda isa, *_: ["a"] * (2 if isa == "DEFAULT" else 1))
    with pytest.raises(ModelError, match="1 commitments, expected 2"):
        check(1, 1)


def test_process_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(ModelError, match="the process with DEFAULT and 1 threads failed"):
        check(1, 1)
