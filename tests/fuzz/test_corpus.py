"""The committed inputs, which reach what the fuzzers have reached, are taken as declared: in time and in memory."""

from __future__ import annotations

import pytest

from assurance.fuzz.registry import CORPUS, all_targets, corpus_of
from assurance.fuzz.target import Outcome, Target, examine, warm_up

TARGETS = {target.name: target for target in all_targets()}
MOST_BYTES = 1_000_000
REFUSING = {"revert-data", "command-line"}
"""One turns bytes into errors; the other one's inputs are accepted if the command ends as it should."""


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    """Each parser, after what it imports and makes at first use."""
    chosen = TARGETS[request.param]
    warm_up(chosen)
    return chosen


def test_valid_inputs_are_accepted(target: Target) -> None:
    seeds = target.seeds()
    assert seeds
    if target.name not in REFUSING:
        assert {examine(target, data) for data in seeds} == {Outcome.ACCEPTED}


def test_the_committed_inputs_are_taken_as_declared(target: Target) -> None:
    inputs = corpus_of(target.name)
    assert inputs, f"no corpus: python -m assurance.fuzz corpus --target {target.name}"
    for data in inputs:
        examine(target, data, measured=True)


def test_the_corpus_has_a_folder_for_each_target_and_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(len(data) for name in TARGETS for data in corpus_of(name)) <= MOST_BYTES
