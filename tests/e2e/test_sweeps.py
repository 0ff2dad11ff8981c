"""`make tamper-sweep` and `make false-alarms`, small."""

from __future__ import annotations

import pytest

from deepring_chain.attacks import false_alarms
from deepring_chain.attacks.image_layers import IMAGE_LAYERS
from deepring_chain.attacks.tamper_sweep import Outcome, sweep
from deepring_chain.model.checkpoint import shipped_model


def test_random_flipped_bits_of_the_shipped_network_are_found_named_and_restored() -> None:
    told: list[Outcome] = []
    outcomes = sweep(flips=4, seed=11, on_outcome=told.append)
    assert outcomes == told
    assert len({str(outcome.flip) for outcome in outcomes}) == 4
    assert {outcome.flip.in_file for outcome in outcomes} == {True, False}


def test_processes_that_differ_in_all_that_may_differ_raise_no_false_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The highest and the lowest instruction set and all ways to part a batch; `make false-alarms` has the rest."""
    monkeypatch.setattr(false_alarms, "ISA_LEVELS", ("DEFAULT", "SSE41"))
    monkeypatch.setattr(false_alarms, "THREADS", (2,))
    checks, configurations = false_alarms.check(rounds=1, seed=2)
    layers = shipped_model().card.layers + IMAGE_LAYERS
    assert configurations == 6
    assert checks == (configurations - 1) * layers * len(false_alarms.BATCHES)
