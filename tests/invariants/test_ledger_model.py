"""The ledger does what its model does, whatever is called: a short `make invariants`, and hypothesis."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from assurance.invariants import __main__ as command
from assurance.invariants.calls import Call, spoil
from assurance.invariants.director import ORDINARY, STRANGE, Director
from assurance.invariants.machine import HOP_SECONDS, PHASES, START, WITHDRAW_SECONDS, Counts, Run, play
from assurance.invariants.players import Players
from assurance.invariants.properties import Violation
from assurance.invariants.query_model import Phase
from assurance.invariants.ring_model import Mode, RingModel
from assurance.invariants.shrink import kind_of, replay, shrink
from deepring_chain.chain.artifact import Artifact, load_artifact

RUNS = ((1, ORDINARY, 1_300), (2, STRANGE, 700), *((seed, STRANGE, 150) for seed in range(3, 9)))
"""Seed, style and number of calls of each run of the test."""
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return load_artifact()


class LedgerMachine(RuleBasedStateMachine):
    """Hypothesis chooses whose move it is and what goes wrong, and finds the shortest way to a violation."""

    @initialize()
    def begin(self) -> None:
        self.run = Run(load_artifact(), Counts())
        self.players = Players(self.run.model, random.Random(0))  # noqa: S311
        self.director = Director(self.players, self.players.chance, START)

    def _step(self, call: Call) -> None:
        self.run.step(Call(call.sender, call.function, call.values, self.director.time))

    def _seeded(self, seed: int) -> random.Random:
        self.players.chance = self.director.chance = random.Random(seed)  # noqa: S311
        return self.players.chance

    @rule(seed=SEEDS)
    def sensible(self, seed: int) -> None:
        self._seeded(seed)
        self._step(self.director.sensible())

    @rule(seed=SEEDS)
    def batch(self, seed: int) -> None:
        self._seeded(seed)
        self._step(self.director.batch())

    @rule(seed=SEEDS, move=st.integers(0, 6))
    def ring_move(self, seed: int, move: int) -> None:
        self._seeded(seed)
        self._step(self.players.all_ring_moves()[move]())

    @rule(seed=SEEDS, move=st.integers(0, 10), query=st.integers(0, 4))
    def query_move(self, seed: int, move: int, query: int) -> None:
        self._seeded(seed)
        self._step(self.players.all_query_moves()[move](query))

    @rule(seed=SEEDS)
    def spoiled(self, seed: int) -> None:
        chance = self._seeded(seed)
        self._step(spoil(self.director.sensible(), chance, [], self.players.accounts))

    @rule(seconds=st.sampled_from([1, HOP_SECONDS - 1, HOP_SECONDS, HOP_SECONDS + 1, WITHDRAW_SECONDS + 1]))
    def wait(self, seconds: int) -> None:
        self.director.time = self.players.time = self.director.time + seconds

    def teardown(self) -> None:
        self.run.check_all()


def test_ledger_and_model_agree_on_random_calls(artifact: Artifact) -> None:
    counts = Counts()
    for seed, style, calls in RUNS:
        play(artifact, random.Random(seed), calls, counts, style)  # noqa: S311
    # Withdrawals need a long time to pass, and are rare.
    assert {change for change in PHASES if change[1] is not Phase.WITHDRAWN} <= set(counts.phases)


def test_ledger_and_model_agree_on_what_hypothesis_draws() -> None:
    short = settings(
        max_examples=20,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LedgerMachine, settings=short)  # type: ignore[no-untyped-call]


def test_command_prints_counts_seed_and_transitions(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--calls", "150", "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert "150 calls in 1 runs of seed 7, no violation" in printed
    assert "transitions of a query" in printed


def test_command_fails_at_a_ledger_that_differs_and_prints_the_calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = RingModel.register_model

    def another(self: RingModel, *values: Any) -> Any:
        events = honest(self, *values)
        self.layers += self.version == 2
        return events

    monkeypatch.setattr(RingModel, "register_model", another)
    monkeypatch.setattr(command, "SHRINK_TRIES", 50)
    assert command.main(["--calls", "4000", "--seed", "1"]) == 1
    printed = capsys.readouterr().out
    assert "of seed 1, call" in printed
    assert "repeat with SEED=1" in printed


def test_violation_is_shrunk_to_the_calls_that_it_needs(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RingModel, "is_authentic", property(lambda ring: ring.mode in {Mode.QUERY, Mode.TRACKING}))
    with pytest.raises(Violation) as caught:
        play(artifact, random.Random(1), 2_000, Counts())  # noqa: S311
    run: Run = caught.value.run  # type: ignore[attr-defined]
    calls = shrink(artifact, run.calls, run.model.openings, caught.value, 1_000)
    found = replay(artifact, calls, run.model.openings)
    assert found is not None
    assert kind_of(found) == kind_of(caught.value)
    # A model, its workers, a seating, leaves, and the call about which the two differ; a batch may hold more.
    assert len(calls) <= 15
