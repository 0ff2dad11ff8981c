"""A leaf belongs to one arrangement, seat and round: elsewhere it is not waited for, held or carried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.leaves import (
    COLLECT_SECONDS,
    OWN_SECONDS,
    LeafCollector,
    LeafSender,
    Place,
    SignedLeaf,
    message_name,
    place_of,
)
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import Attestation, Digest, Position, SealingKey
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import FakeRing, client_of, make_keys
from tests.unit.actors.test_refusals import refusing


def seated(ring: FakeRing, layer: int) -> tuple[Member, Position]:
    """A worker in the first arrangement, which has read the ledger and nothing else."""
    ring.step(0)
    member = ring.members[layer]
    member.follower.refresh()
    position = member.seat_due()
    assert position is not None
    return member, position


def signed(ring: FakeRing, member: Member, position: Position) -> SignedLeaf:
    block = ring.blocks[ring.members.index(member) - 1]
    return member.sign_leaf(position, member.read_challenge(position), *block.contents())


def attest_calls(member: Member) -> int:
    return client_of(member).calls.count("attest")


def test_seat_is_due_from_the_arrangement_on_until_its_leaf_is_on_the_ledger(ring: FakeRing) -> None:
    stranger = ring._member(9, make_keys(99))
    assert ring.members[1].seat_due() is None
    member, position = seated(ring, 1)
    assert member.arranged().arranged.seats[position] == member.keys.address
    stranger.follower.refresh()
    assert stranger.seat_due() is None
    ring.settle()
    assert member.seat_due() is None


# ---------------------------------------------------------------- the worker's side


def test_leaf_is_waited_for_at_its_own_place(ring: FakeRing) -> None:
    member, position = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    assert not sender.is_waiting(position)
    sender.hand_in(signed(ring, member, position))
    assert sender.is_waiting(position)
    assert not sender.is_waiting(Position(position + 1))


def test_worker_posts_its_leaf_itself_after_a_while_and_not_before(ring: FakeRing) -> None:
    member, position = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    assert not sender.post_if_left_out()
    sender.hand_in(signed(ring, member, position))
    assert not sender.post_if_left_out()
    assert attest_calls(member) == 0
    ring.now += OWN_SECONDS
    assert sender.post_if_left_out()
    assert attest_calls(member) == 1
    assert not sender.post_if_left_out()


def test_leaf_that_the_ledger_has_is_no_error_for_whoever_posts_it_again(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, position = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    sender.hand_in(signed(ring, member, position))
    monkeypatch.setattr(client_of(member), "attest", refusing("AlreadyAttested"))
    ring.now += OWN_SECONDS
    assert sender.post_if_left_out()


# ---------------------------------------------------------------- the ouroboros's side


def collector(ring: FakeRing) -> LeafCollector:
    ring.members[0].follower.refresh()
    return ring.ouroboros._arranger.leaves


def leave(ring: FakeRing, member: Member, leaf: SignedLeaf, at: Place | None = None) -> str:
    """Leaves a leaf in the store, under its own name or another's."""
    name = message_name(client_of(member).domain.ledger, at or place_of(leaf[0]))
    ring.store.leave(name, encode_entry(*leaf))
    return name


def attested(ring: FakeRing) -> set[int]:
    current = ring.ledger.state.arrangement
    assert current is not None
    return set(current.attestations)


def collect(ring: FakeRing) -> None:
    """The ouroboros waits in vain for more, and posts what is good; its own leaf is not among them."""
    found = collector(ring)
    for _ in range(3):
        found.act()
        ring.members[0].follower.refresh()
        ring.now += COLLECT_SECONDS + 0.1


def test_own_leaf_is_held_for_its_own_place(ring: FakeRing) -> None:
    ring.step(0)
    (found, current) = collector(ring), ring.ledger.state.arrangement
    assert current is not None
    fresh = LeafCollector(ring.members[0], ring._clock)
    assert not fresh.holds((1, 0, 0))
    ring.step(0)
    held = [place for place in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)) if found.holds(place)]
    assert held == [(1, 0, 0)]


def test_good_leaf_is_carried(ring: FakeRing) -> None:
    member, position = seated(ring, 2)
    leave(ring, member, signed(ring, member, position))
    collect(ring)
    assert position in attested(ring)


def test_own_signature_under_another_round_or_arrangement_is_not_carried(ring: FakeRing) -> None:
    """The worker's signature is good: the place alone tells that the leaf is an old one."""
    member, position = seated(ring, 2)
    leaf, _ = signed(ring, member, position)
    for other in (replace(leaf, round=1), replace(leaf, arrangement=2)):  # type: ignore[arg-type]
        signature = sign_message(member.keys.account, DOMAIN, other)
        leave(ring, member, (other, signature), (1, position, 0))
        collect(ring)
        assert position not in attested(ring)


def test_own_signature_over_a_zero_sealing_key_is_not_carried(ring: FakeRing) -> None:
    """Nothing could be sealed to it, and the ledger would refuse all leaves for it."""
    member, position = seated(ring, 2)
    leaf = replace(signed(ring, member, position)[0], sealing_key=SealingKey(Digest(bytes(32))))
    leave(ring, member, (leaf, sign_message(member.keys.account, DOMAIN, leaf)))
    collect(ring)
    assert position not in attested(ring)


def test_leaves_that_the_ledger_refuses_stay_in_the_store(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them was posted meanwhile: the others are carried the next time."""
    member, position = seated(ring, 2)
    name = leave(ring, member, signed(ring, member, position))
    monkeypatch.setattr(client_of(ring.members[0]), "attest", refusing("AlreadyAttested"))
    collect(ring)
    assert ring.store.pick_up(name) is not None
    monkeypatch.undo()
    collect(ring)
    assert ring.store.pick_up(name) is None
    assert position in attested(ring)


def test_nothing_is_posted_when_no_leaf_is_missing(ring: FakeRing) -> None:
    ring.settle()
    before = attest_calls(ring.members[0])
    found = collector(ring)
    for _ in range(3):
        assert not found.act()
        ring.now += 10
    assert attest_calls(ring.members[0]) == before


def test_each_leaf_that_comes_in_begins_the_wait_anew(ring: FakeRing) -> None:
    """Else the slower half of the workers would each cost a transaction."""
    ring.step(0)
    ring.step(0)  # its own leaf is at hand
    for layer in (1, 2):
        ring.now += COLLECT_SECONDS * 0.8
        ring.step(layer)
        ring.step(0)
    assert attest_calls(ring.members[0]) == 0
    ring.now += COLLECT_SECONDS * 1.1
    ring.step(0)
    assert attest_calls(ring.members[0]) == 1


def test_wait_of_the_arrangement_before_does_not_count(ring: FakeRing) -> None:
    ring.step(0)
    ring.step(0)
    ring.step(1)
    ring.step(0)
    ring.settle()
    ring.now += 10 * COLLECT_SECONDS
    before = attest_calls(ring.members[0])
    request_arrangement(ring.folder / "0")
    ring.step(0)
    ring.step(0)
    ring.step(1)
    ring.step(0)
    assert attest_calls(ring.members[0]) == before
    leaf = ring.store.pick_up(message_name(DOMAIN.ledger, place_two(ring)))
    assert leaf is not None
    assert decode_entry(leaf, Attestation)[0].arrangement == 2


def place_two(ring: FakeRing) -> Place:
    """Of worker 1 in the second arrangement."""
    current = ring.ledger.state.arrangement
    assert current is not None
    position = current.position_of(ring.members[1].keys.address)
    assert position is not None
    return (2, position, 0)
