"""Leaves on their way to the ledger: collected by the ouroboros, posted by whom is left out, worth their signature."""

from __future__ import annotations

import pytest

from deepring_chain.actors.leaves import message_name
from deepring_chain.errors import StoreError
from deepring_chain.protocol.decide import seat
from deepring_chain.protocol.decide.collecting import COLLECT_SECONDS
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.store.content import MAX_MESSAGE_BYTES
from deepring_chain.types import ArrangementId, Attestation, Digest, Position, RingMode, SealingKey
from tests.unit.actors.fake_ring import FakeRing, client_of


def attest_calls(ring: FakeRing) -> list[int]:
    return [client_of(member).calls.count("attest") for member in ring.members]


def name_of_first_worker(ring: FakeRing) -> str:
    """Where worker 1 leaves its leaf in the first arrangement."""
    current = ring.ledger.state.arrangement
    assert current is not None
    position = current.position_of(ring.members[1].keys.address)
    assert position is not None
    return message_name(client_of(ring.members[0]).domain.ledger, LeafPlace(ArrangementId(1), position, 0))


def arrange_and_hand_in(ring: FakeRing) -> str:
    """The ring is arranged, and all workers have handed in their leaves, but the ouroboros has not looked."""
    ring.step(0)
    name = name_of_first_worker(ring)
    for layer in range(1, len(ring.members)):
        ring.step(layer)
    return name


def test_all_leaves_are_posted_in_one_transaction_of_the_ouroboros(ring: FakeRing) -> None:
    ring.settle()
    assert ring.ledger.state.mode is RingMode.QUERY
    assert attest_calls(ring) == [1, 0, 0, 0]


def test_posted_leaves_are_cleared_away(ring: FakeRing) -> None:
    name = arrange_and_hand_in(ring)
    assert ring.store.pick_up(name) is not None
    ring.settle()
    assert ring.store.pick_up(name) is None


def test_worker_whose_leaf_the_store_does_not_take_posts_it_at_once(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: something unwritable in place of the messages keeps every worker from attesting."""
    ring.step(0)

    def refuse(_name: str, _message: bytes) -> None:
        raise StoreError("message cannot be left")

    monkeypatch.setattr(ring.members[1].store, "leave", refuse)
    ring.step(1)
    assert attest_calls(ring) == [0, 1, 0, 0]
    monkeypatch.undo()
    ring.settle()
    assert attest_calls(ring) == [1, 1, 0, 0]
    assert ring.ledger.state.mode is RingMode.QUERY


def test_worker_that_is_left_out_posts_its_own_leaf(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ouroboros that does not carry a worker's leaf cannot make it look absent."""
    arrange_and_hand_in(ring)
    monkeypatch.setattr(seat, "OWN_SECONDS", -1.0)
    ring.step(1)
    assert attest_calls(ring) == [0, 1, 0, 0]
    ring.settle()
    assert ring.ledger.state.mode is RingMode.QUERY


def test_leaf_is_signed_once_while_it_waits(ring: FakeRing) -> None:
    name = arrange_and_hand_in(ring)
    handed_in = ring.store.pick_up(name)
    ring.step(1)
    assert ring.store.pick_up(name) == handed_in


def test_late_leaf_does_not_hold_up_the_others(ring: FakeRing) -> None:
    ring.step(0)
    ring.step(1)
    ring.step(0)
    assert attest_calls(ring)[0] == 0
    ring.now += COLLECT_SECONDS + 0.1
    ring.step(0)
    assert attest_calls(ring)[0] == 1
    ring.settle()
    assert ring.ledger.state.mode is RingMode.QUERY


@pytest.mark.parametrize("message", [b"", b"garbage", bytes(300)], ids=["empty", "text", "zeros"])
def test_garbage_in_place_of_a_leaf_spoils_nothing(ring: FakeRing, message: bytes) -> None:
    """Anyone who can write to the store puts garbage where a leaf is expected: it must not reach the ledger."""
    name = arrange_and_hand_in(ring)
    ring.store.leave(name, message)
    ring.now += 10
    ring.step(0)
    ring.now += 10
    ring.step(0)
    current = ring.ledger.state.arrangement
    assert current is not None
    assert [ring.members[1].keys.address] == [current.arranged.seats[seat] for seat in current.missing_seats()]


def test_leaf_signed_by_another_is_not_carried(ring: FakeRing) -> None:
    """A worker leaves its own signed leaf under another's name: one bad leaf would have the ledger refuse them all."""
    name = arrange_and_hand_in(ring)
    mine = ring.store.pick_up(name)
    current = ring.ledger.state.arrangement
    assert current is not None
    other = current.position_of(ring.members[2].keys.address)
    theirs = ring.store.pick_up(
        message_name(client_of(ring.members[0]).domain.ledger, LeafPlace(ArrangementId(1), other or Position(0), 0))
    )
    assert mine is not None
    assert theirs is not None
    _, signature = decode_entry(theirs, Attestation)
    ring.store.leave(name, encode_entry(decode_entry(mine, Attestation)[0], signature))
    ring.step(0)
    ring.now += 10
    ring.step(0)
    assert attest_calls(ring)[0] == 1
    after = ring.ledger.state.arrangement
    assert after is not None
    assert len(after.missing_seats()) == 1


def test_leaf_with_a_zero_sealing_key_is_not_carried(ring: FakeRing) -> None:
    name = arrange_and_hand_in(ring)
    found = ring.store.pick_up(name)
    assert found is not None
    leaf, signature = decode_entry(found, Attestation)
    zero = Attestation(leaf.arrangement, leaf.position, leaf.round, leaf.leaf, SealingKey(Digest(bytes(32))))
    ring.store.leave(name, encode_entry(zero, signature))
    ring.step(0)
    assert attest_calls(ring)[0] == 0


def test_message_names_cannot_leave_their_folder(ring: FakeRing) -> None:
    for name in ("../x", "a/b", "", "A", "x" * 201, "-x"):
        with pytest.raises(StoreError, match="cannot be named"):
            ring.store.leave(name, b"")


def test_long_messages_are_refused_both_ways(ring: FakeRing) -> None:
    with pytest.raises(StoreError, match="takes 4096"):
        ring.store.leave("long", bytes(MAX_MESSAGE_BYTES + 1))
    ring.store.leave("long", b"x")
    path = ring.folder / "store" / "messages" / "long"
    path.write_bytes(bytes(MAX_MESSAGE_BYTES + 1))
    assert ring.store.pick_up("long") is None


def test_absent_message_is_none_and_can_be_discarded(ring: FakeRing) -> None:
    assert ring.store.pick_up("none") is None
    ring.store.discard("none")
