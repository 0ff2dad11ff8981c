"""Withheld blobs: what the ledger points to is deleted from the store, or damaged, before its reader comes.

Who: an outsider or a member that can delete from the store; an operator's mistake.
Wants: the ring to stand still, an honest worker to be found silent, a query to be lost.
Stopped by: what members put there for others is kept while it is needed, and put back (DR-27, DR-51, DR-53, DR-55).
Outcome: refused: it goes on as before. An answer that is deleted after delivery is not brought back.
"""

from __future__ import annotations

import os

import pytest

from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.protocol.decide.keeping import LOOK_SECONDS
from deepring_chain.protocol.events import RestoreOrdered
from deepring_chain.store.content import BlobMissing
from deepring_chain.types import Pointer, QueryPhase, RejectReason, RingMode

WAYS = ["deleted", "emptied", "other bytes", "folder", "full folder", "pipe", "loop"]


def withhold(ring: SteppedRing, pointer: Pointer, way: str) -> None:
    """Nobody can read this blob any more."""
    ring.lose(pointer)
    path = ring.path_of(pointer)
    match way:
        case "emptied" | "other bytes":
            path.write_bytes(b"" if way == "emptied" else b"other bytes")
        case "folder" | "full folder":
            (path / "something" if way == "full folder" else path).mkdir(parents=True)
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)


@refused
@pytest.mark.parametrize("way", WAYS)
def test_notes_of_an_arrangement_are_put_back_and_the_ring_goes_on(attacked: SteppedRing, way: str) -> None:
    attacked.arrange()
    current = attacked.state.arrangement
    assert current is not None
    withhold(attacked, current.arranged.notes, way)
    attacked.settle()
    assert attacked.state.mode is RingMode.ATTESTING
    attacked.wait(LOOK_SECONDS)
    attacked.expect_answered(attacked.ask())


@refused
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("restarted", [False, True], ids=["", "and the ouroboros restarted"])
def test_notes_of_a_route_are_put_back_and_nobody_is_found_silent(
    attacked: SteppedRing, way: str, restarted: bool
) -> None:
    query = attacked.ask()
    attacked.settle("worker-1")
    withhold(attacked, attacked.session(query).notes, way)
    attacked.settle()
    assert attacked.session(query).phase is QueryPhase.ROUTED
    if restarted:
        attacked.restart("ouroboros")
        attacked.settle()
    attacked.wait(LOOK_SECONDS)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
@pytest.mark.parametrize("way", ["deleted", "full folder"])
def test_parameters_of_a_restore_are_put_back_and_the_block_is_restored(own_ring: SteppedRing, way: str) -> None:
    layers = own_ring.worker("worker-2")._block.layers
    flip_memory_bits((layers.own,), (("layer.2.weight", 3),))
    own_ring.arrange()
    own_ring.settle("worker-2", until=lambda: own_ring.state.arrangement is not None)
    own_ring.settle("worker-2")
    own_ring.step("worker-2")
    own_ring.settle("worker-2")
    (order,) = [logged.event for logged in own_ring.events() if isinstance(logged.event, RestoreOrdered)]
    withhold(own_ring, order.parameters, way)
    own_ring.settle()
    own_ring.wait(LOOK_SECONDS)
    own_ring.settle()
    own_ring.expect_answered(own_ring.ask())
    own_ring.expect_well()


@refused
def test_input_that_is_gone_after_its_route_was_opened_changes_nothing(attacked: SteppedRing) -> None:
    query = attacked.ask()
    attacked.settle("worker-1")
    pointer = attacked.session(query).sealed_input
    blob = attacked.store().get(pointer)
    attacked.lose(pointer)
    attacked.expect_answered(query)
    attacked.store().put(blob)  # for the audit


@refused
def test_input_that_is_gone_before_anybody_read_it_is_turned_down_with_its_reason(attacked: SteppedRing) -> None:
    query = attacked.ask()
    attacked.lose(attacked.session(query).sealed_input)
    attacked.settle()
    assert attacked.session(query).reject_reason is RejectReason.BLOB_UNAVAILABLE


@not_stopped("Denial of service.")
def test_not_stopped_answer_that_is_deleted_after_its_delivery_stays_lost(own_ring: SteppedRing) -> None:
    """Nobody keeps an answer: the ouroboros has done its part, and the querent asks again."""
    query = own_ring.ask()
    own_ring.settle()
    answer = own_ring.session(query).answer
    assert answer is not None
    own_ring.lose(answer.answer)
    own_ring.wait(LOOK_SECONDS)
    own_ring.settle()
    with pytest.raises(BlobMissing):
        own_ring.answer(query)
    failure = own_ring.audit().failure
    assert failure is not None
    assert "answer" in failure.field
