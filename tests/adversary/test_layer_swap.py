"""Swap of layers of one shape: layers 2 and 3 take and give the same shapes, and change places.

Who: an outsider with a worker's memory or files; two workers.
Wants: other answers from parameters that are all genuine.
Stopped by: DR-10 (the layer's index is part of its content), DR-04, DR-05, DR-43, DR-26.
Outcome: recorded, right blame: the flag goes off, the swapped blocks are named and restored; or eq. 13 convicts.
"""

from __future__ import annotations

import shutil
from typing import Any

import torch

from assurance.adversary.liars import once
from assurance.adversary.outcomes import blamed
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.actors.worker.block import BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.overwrite import overwrite_memory
from deepring_chain.protocol.events import RestoreReported
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import SignedUpdate, TensorBytes


def reports(ring: SteppedRing) -> dict[str, str]:
    """Who was restored, and what it says had changed."""
    names = {entry.address: entry.name for entry in ring.folder.load_config().workers}
    found = [logged.event for logged in ring.events() if isinstance(logged.event, RestoreReported)]
    return {names[event.worker]: event.changed for event in found}


def tensors_of(ring: SteppedRing, name: str, as_layer: int) -> dict[str, torch.Tensor]:
    """A worker's own tensors, named as another layer's."""
    own = ring.worker(name)._block.layers.own
    return {f"layer.{as_layer}.{tensor}": value.clone() for tensor, value in own.tensors.items()}


@blamed
def test_layers_that_changed_places_in_memory_are_named_and_restored(own_ring: SteppedRing) -> None:
    second, third = tensors_of(own_ring, "worker-2", 3), tensors_of(own_ring, "worker-3", 2)
    for name, tensors in (("worker-2", third), ("worker-3", second)):
        layers = own_ring.worker(name)._block.layers
        overwrite_memory((layers.own, layers.following), tensors)
    own_ring.arrange()
    own_ring.settle()
    found = reports(own_ring)
    assert {"worker-2", "worker-3"} == set(found)
    assert "layer.2.weight" in found["worker-2"]
    assert "layer.3.weight" in found["worker-3"]
    own_ring.expect_answered(own_ring.ask())
    own_ring.expect_well()


@blamed
def test_parameter_files_that_changed_places_are_found_and_restored(own_ring: SteppedRing) -> None:
    """Whole files: their indices are right, and each lies in the other's folder."""
    paths = [own_ring.folder.path / name / PARAMS_FILE for name in ("worker-2", "worker-3")]
    spare = paths[0].with_suffix(".spare")
    for source, target in ((paths[0], spare), (paths[1], paths[0]), (spare, paths[1])):
        shutil.move(source, target)
    own_ring.restart("worker-2", "worker-3")
    own_ring.arrange()
    own_ring.settle()
    assert set(reports(own_ring)) == {"worker-2", "worker-3"}
    own_ring.expect_answered(own_ring.ask())
    own_ring.expect_well()


class ComputesWithNext(Worker):
    """Attests its own layer, and computes with the next one, which has the same shape."""

    def _execute(self, session: Session, note: RouteNote, received: TensorBytes, layers: BlockLayers) -> SignedUpdate:
        swapped: Any = BlockLayers(layers.following, layers.own)
        return super()._execute(session, note, received, swapped)


@blamed
def test_worker_that_attests_one_layer_and_computes_with_the_other_is_convicted(attacked: SteppedRing) -> None:
    with attacked.bribed("worker-2", once(ComputesWithNext)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)
