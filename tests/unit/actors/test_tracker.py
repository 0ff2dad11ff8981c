"""Tracking mode: the first false block first, each by an order that is drawn once, the ouroboros's own included."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.attacks.bit_flip import flip_file_bit, flip_memory_bit
from deepring_chain.errors import ChainError, ModelError
from deepring_chain.model.dense import DenseLayer
from deepring_chain.protocol.events import RestoreOrdered, RestoreReported
from deepring_chain.protocol.restore import RestoreNote
from deepring_chain.ring.folder import MODEL_FILE
from deepring_chain.types import Challenge, QueryPhase, RingMode
from tests.unit.actors.fake_ring import MAX_ROUNDS, FakeRing, client_of, session_of


def flip(ring: FakeRing, layer: int, tensor: str | None = None) -> None:
    """Flips a bit in the memory of a layer's worker."""
    layers = ring.blocks[layer - 1].layers
    assert layers is not None
    flip_memory_bit((layers.own, layers.following), tensor or f"layer.{layer}.weight", 1)


def orders(ring: FakeRing) -> list[RestoreOrdered]:
    return [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RestoreOrdered)]


def reports(ring: FakeRing) -> list[str]:
    return [entry.event.changed for entry in ring.ledger.logged if isinstance(entry.event, RestoreReported)]


@pytest.mark.parametrize("layers", [(1, 2), (2, 3), (1, 2, 3)])
def test_false_blocks_are_restored_in_the_order_of_their_seats(ring: FakeRing, layers: tuple[int, ...]) -> None:
    for layer in layers:
        flip(ring, layer)
    ring.settle()
    found = [order.position for order in orders(ring)]
    assert found == sorted(found)
    assert {order.worker for order in orders(ring)} == {ring.members[layer].keys.address for layer in layers}
    assert ring.ledger.state.mode is RingMode.QUERY


def test_order_tells_both_hashes(ring: FakeRing) -> None:
    flip(ring, 2)
    ring.settle()
    (order,) = orders(ring)
    assert order.recorded_hash != order.recomputed_hash


def test_ring_that_is_not_arranged_gets_no_orders(ring: FakeRing) -> None:
    assert ring.members[0].state.arrangement is None
    assert not ring.ouroboros._tracker.act()


def test_honest_ring_gets_no_orders(ring: FakeRing) -> None:
    for _ in range(3):
        ring.ask()
        ring.settle()
    assert orders(ring) == []


def test_worker_that_is_tampered_with_again_is_restored_again_in_the_same_arrangement(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(ring, 2)
    restore, times = ring.blocks[1].restore, 2

    def undo(parameters: bytes) -> list[str]:
        nonlocal times
        changed = restore(parameters)
        times -= 1
        if times:
            flip(ring, 2, "layer.3.bias")
        return changed

    monkeypatch.setattr(ring.blocks[1], "restore", undo)
    ring.settle()
    assert [order.round for order in orders(ring)] == [1, 2]
    assert ring.ledger.state.mode is RingMode.QUERY
    assert reports(ring)[0] == "layer.2.weight"


def test_every_order_has_a_challenge_of_its_own(ring: FakeRing) -> None:
    for layer in (1, 2, 3):
        flip(ring, layer)
    ring.settle()
    keys = ring.members[0].journal.keys("restore/")
    drawn = {ring.members[0].journal.read(key) for key in keys}
    assert len(keys) == len(drawn) == 3


def test_order_that_was_drawn_before_a_kill_is_the_one_that_is_given(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two challenges for one restore: the worker's leaf would fit neither or the wrong one."""
    flip(ring, 2)
    told: list[Any] = []

    def die(*arguments: Any) -> None:
        told.append(arguments)
        raise ChainError("killed")

    monkeypatch.setattr(client_of(ring.members[0]), "order_restore", die)
    with pytest.raises(ChainError, match="killed"):
        ring.settle()
    ring.restart(0)
    query = ring.ask()
    ring.settle()
    (order,) = orders(ring)
    assert (order.position, order.renewed_hash, order.parameters) == (told[0][0], told[0][2], told[0][3])
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_worker_killed_after_the_restore_still_names_what_had_changed(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(ring, 2, "layer.3.bias")

    def die(*_: Any) -> None:
        raise ChainError("killed")

    monkeypatch.setattr(client_of(ring.members[2]), "report_restore", die)
    with pytest.raises(ChainError, match="killed"):
        ring.settle()
    ring.restart(2)
    ring.settle()
    assert reports(ring) == ["layer.3.bias"]


def test_report_on_names_that_are_not_ascii_fits_the_ledger(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names come from a damaged file, and the ledger counts bytes."""
    flip(ring, 2)
    monkeypatch.setattr(ring.blocks[1], "changed_tensors", lambda: ["\u00e9" * 200, "\ud800"])
    ring.settle()
    (report,) = reports(ring)
    assert report == "\u00e9" * 128
    assert ring.ledger.state.mode is RingMode.QUERY


def test_parameters_for_one_worker_cannot_be_read_by_another(ring: FakeRing) -> None:
    flip(ring, 2)
    ring.settle()
    (order,) = orders(ring)
    blob = ring.store.get(order.parameters)
    weights = ring.ouroboros._owner.parameters_of(2)
    assert weights not in blob
    assert RestoreNote(Challenge(order.recorded_hash), weights).encode() not in blob


# ---------------------------------------------------------------- the ouroboros itself


def flip_in_ouroboros(ring: FakeRing) -> None:
    layer = ring.ouroboros._owner._model.layer(1)
    assert isinstance(layer, DenseLayer)
    flip_memory_bit((layer,), "layer.1.weight", 1)


def settle_until_ordered(ring: FakeRing) -> None:
    """Up to the moment at which the first restore is ordered."""
    for _ in range(MAX_ROUNDS):
        for index in range(len(ring.members)):
            if not orders(ring):
                ring.step(index)
    assert len(orders(ring)) == 1


def test_ouroboros_changed_in_memory_before_it_arranges_loads_its_file_again(ring: FakeRing) -> None:
    flip_in_ouroboros(ring)
    ring.settle()
    assert orders(ring) == []
    assert ring.ledger.state.mode is RingMode.QUERY


def test_ouroboros_changed_in_memory_when_it_attests_restores_itself(ring: FakeRing) -> None:
    ring.members[0].follower.refresh()
    ring.ouroboros.act()  # arranged, not attested
    flip_in_ouroboros(ring)
    query = ring.ask()
    ring.settle()
    ring.settle()  # its own new leaf is posted when it looks the next time
    assert [order.position for order in orders(ring)] == [0]
    assert ring.ledger.state.mode is RingMode.QUERY
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_ouroboros_changed_again_before_its_restored_seat_attests_loads_its_file(ring: FakeRing) -> None:
    ring.members[0].follower.refresh()
    ring.ouroboros.act()  # arranged, not attested
    flip_in_ouroboros(ring)
    settle_until_ordered(ring)
    flip_in_ouroboros(ring)
    ring.settle()
    ring.settle()  # its own new leaf is posted when it looks the next time
    assert [order.position for order in orders(ring)] == [0]
    assert ring.ledger.state.mode is RingMode.QUERY


def test_ouroboros_changed_in_memory_and_file_accuses_nobody(ring: FakeRing) -> None:
    flip_in_ouroboros(ring)
    flip_file_bit(ring.folder / "0" / MODEL_FILE, "layer.2.weight", 1)
    with pytest.raises(ModelError) as refusal:
        ring.settle()
    assert len(str(refusal.value).splitlines()) == 1
    assert MODEL_FILE in str(refusal.value)
    assert orders(ring) == []
