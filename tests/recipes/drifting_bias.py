"""Drifting bias: one bias of a worker's layer changes in its memory.

Who: an outsider with a worker's memory.
Wants: other answers without touching a weight.
Stopped by: DR-10, DR-43.
Outcome: recorded, right blame: the arrangement names the tensor, and the block is restored.
"""

from __future__ import annotations

from assurance.adversary.outcomes import blamed
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.attacks.overwrite import overwrite_memory
from deepring_chain.protocol.events import RestoreReported


@blamed
def test_bias_that_drifts_in_memory_is_named_and_restored(own_ring: SteppedRing) -> None:
    layers = own_ring.worker("worker-2")._block.layers
    overwrite_memory((layers.own, layers.following), {"layer.2.bias": layers.own.tensors["bias"] + 1})
    own_ring.arrange()
    own_ring.settle()
    found = [logged.event for logged in own_ring.events() if isinstance(logged.event, RestoreReported)]
    assert ["layer.2.bias" in event.changed for event in found] == [True]
    own_ring.expect_well()
