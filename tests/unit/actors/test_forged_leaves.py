"""Anybody who may write to the store can leave anything where a leaf is expected: only good leaves reach the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.actors.leaves import message_name
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.decide.collecting import COLLECT_SECONDS
from deepring_chain.protocol.decide.seat import OWN_SECONDS, LeafPlace
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import Attestation, RingMode
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import FakeRing, make_keys

MALLORY = make_keys(66)


def place_of_layer(ring: FakeRing, layer: int) -> str:
    """Where the leaf of a layer's worker is left."""
    current = ring.ledger.state.arrangement
    assert current is not None
    position = current.position_of(ring.members[layer].keys.address)
    assert position is not None
    return message_name(DOMAIN.ledger, LeafPlace(current.arranged.arrangement, position, 0))


def missing_layers(ring: FakeRing) -> list[int]:
    """The layers whose leaves are not on the ledger."""
    current = ring.ledger.state.arrangement
    assert current is not None
    missing = {current.arranged.seats[seat] for seat in current.missing_seats()}
    return [layer for layer, member in enumerate(ring.members) if member.keys.address in missing]


def collect(ring: FakeRing) -> None:
    """The ouroboros waits for more leaves in vain, and posts those that are good."""
    for _ in range(3):
        ring.step(0)
        ring.now += COLLECT_SECONDS + 0.1


def altered(**changes: Any) -> Callable[[Attestation], bytes]:
    """A well-formed message with other fields and a signature of nobody's."""
    return lambda leaf: encode_entry(replace(leaf, **changes), bytes(31) + b"\1" + bytes(31) + b"\1" + bytes([27]))


def signed_by_mallory(leaf: Attestation) -> bytes:
    own = replace(leaf, sealing_key=MALLORY.sealing_public)
    return encode_entry(own, sign_message(MALLORY.account, DOMAIN, own))


FORGERIES: dict[str, Callable[[Attestation], bytes]] = {
    "no entry": lambda _: b"leaf",
    "negative seat": altered(position=-1),
    "huge seat": altered(position=2**32),
    "huge arrangement": altered(arrangement=2**64 - 1),
    "negative round": altered(round=-1),
    "unsigned": altered(),
    "Mallory's": signed_by_mallory,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_leaf_is_not_posted_and_stops_nobody(ring: FakeRing, forge: Callable[[Attestation], bytes]) -> None:
    """Mallory overwrites a worker's leaf: one bad leaf would have the ledger refuse them all."""
    for index in range(4):
        ring.step(index)
    name = place_of_layer(ring, 2)
    message = ring.store.pick_up(name)
    assert message is not None
    ring.store.leave(name, forge(decode_entry(message, Attestation)[0]))
    collect(ring)
    assert missing_layers(ring) == [2]
    ring.now += OWN_SECONDS
    ring.settle()
    assert ring.ledger.state.mode is RingMode.QUERY


def test_leaf_of_another_seat_is_not_taken(ring: FakeRing) -> None:
    """A worker's good leaf is copied to the place of another's."""
    ring.step(0)
    ring.step(1)
    message = ring.store.pick_up(place_of_layer(ring, 1))
    assert message is not None
    ring.store.leave(place_of_layer(ring, 2), message)
    collect(ring)
    assert missing_layers(ring) == [2, 3]
