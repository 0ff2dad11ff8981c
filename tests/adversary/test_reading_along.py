"""Reading along: an honest-but-curious worker looks at what its layers compute on.

Who: a worker of the ring, which follows the protocol.
Wants: the querent's input, or the answer.
Stopped by: sealed envelopes, for all but the first worker and the last two (DR-25); these get it by computing.
Outcome: the worker of layer 1 reads the input, those of layers n - 1 and n the answer; nobody else reads either.
"""

from __future__ import annotations

import numpy as np
import pytest

from assurance.adversary.outcomes import not_stopped
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.model.layer import Layer
from deepring_chain.types import TensorBytes


def read_along(ring: SteppedRing, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[TensorBytes]]:
    """What each worker's layers get and give from now on."""
    seen: dict[str, list[TensorBytes]] = {name: [] for name in ring.names[1:]}
    for name in seen:
        run = ring.worker(name)._run_layer

        def spy(layer: Layer, tensor: TensorBytes, name: str = name, run: object = run) -> TensorBytes:
            output: TensorBytes = run(layer, tensor)  # type: ignore[operator]
            seen[name] += [tensor, output]
            return output

        monkeypatch.setattr(ring.worker(name), "_run_layer", spy)
    return seen


@not_stopped("What each hop sees.")
def test_not_stopped_first_worker_reads_the_input_and_the_last_two_the_answer(
    own_ring: SteppedRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = own_ring.model.card
    images = np.random.default_rng(7).integers(0, 256, (2, *card.input_shape)).astype(np.uint8)
    seen = read_along(own_ring, monkeypatch)
    query = own_ring.ask(images)
    own_ring.settle()
    asked, answered = card.quantise_input(images), own_ring.answer(query)
    workers = own_ring.names[1:]
    assert len(workers) == card.layers
    assert [name for name in workers if asked in seen[name]] == workers[:1]
    assert [name for name in workers if answered in seen[name]] == workers[-2:]
