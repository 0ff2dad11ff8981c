"""A leaf belongs to one arrangement, seat and round: elsewhere it is not waited for, held or carried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.leaves import (
    LeafCollector,
    LeafSender,
    SignedLeaf,
    message_name,
)
from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.decide.collecting import COLLECT_SECONDS, place_of
from deepring_chain.protocol.decide.seat import LeafPlace
from deepring_chain.protocol.update import decode_entry, encode_entry
from deepring_chain.types import ArrangementId, Attestation, Digest, Position, SealingKey
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import FakeRing, client_of, make_keys
from tests.unit.actors.test_refusals import refusing


def seated(ring: FakeRing, layer: int) -> tuple[Member, LeafPlace]:
    """A worker in the first arrangement, which has read the ledger and nothing else."""
    ring.step(0)
    member = ring.members[layer]
    member.follower.refresh()
    place = member.seat_due()
    assert place is not None
    return member, place


def signed(ring: FakeRing, member: Member, place: LeafPlace) -> SignedLeaf:
    block = ring.blocks[ring.members.index(member) - 1]
    return member.sign_leaf(place, member.read_challenge(place), *block.contents())


def attest_calls(member: Member) -> int:
    return client_of(member).calls.count("attest")


def test_seat_is_due_from_the_arrangement_on_until_its_leaf_is_on_the_ledger(ring: FakeRing) -> None:
    stranger = ring._member(9, make_keys(99))
    assert ring.members[1].seat_due() is None
    member, place = seated(ring, 1)
    assert member.arranged().arranged.seats[place.position] == member.keys.address
    stranger.follower.refresh()
    assert stranger.seat_due() is None
    ring.settle()
    assert member.seat_due() is None


# ---------------------------------------------------------------- the worker's side


def test_leaf_is_waited_for_at_its_own_place(ring: FakeRing) -> None:
    member, place = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    assert (sender.handed_in, sender.waited) == (None, 0.0)
    sender.hand_in(signed(ring, member, place))
    ring.now += 3
    assert (sender.handed_in, sender.waited) == (place, 3.0)


def test_worker_that_posts_its_leaf_itself_begins_its_wait_anew(ring: FakeRing) -> None:
    member, place = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    sender.post_again()
    assert attest_calls(member) == 0
    sender.hand_in(signed(ring, member, place))
    assert attest_calls(member) == 0
    ring.now += 3
    sender.post_again()
    assert attest_calls(member) == 1
    assert (sender.handed_in, sender.waited) == (place, 0.0)


def test_leaf_that_the_ledger_has_is_no_error_for_whoever_posts_it_again(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, place = seated(ring, 1)
    sender = LeafSender(member, ring._clock)
    sender.hand_in(signed(ring, member, place))
    monkeypatch.setattr(client_of(member), "attest", refusing("AlreadyAttested"))
    sender.post_again()
    assert attest_calls(member) == 0


# ---------------------------------------------------------------- the ouroboros's side


def collector(ring: FakeRing) -> LeafCollector:
    ring.members[0].follower.refresh()
    return ring.ouroboros._arranger.leaves


def leave(ring: FakeRing, member: Member, leaf: SignedLeaf, at: LeafPlace | None = None) -> str:
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
    own = LeafPlace(ArrangementId(1), Position(0), 0)
    others = [replace(own, arrangement=ArrangementId(2)), replace(own, position=Position(1)), replace(own, round=1)]
    assert not fresh.holds(own)
    ring.step(0)
    assert [place for place in (own, *others) if found.holds(place)] == [own]


def test_good_leaf_is_carried(ring: FakeRing) -> None:
    member, place = seated(ring, 2)
    leave(ring, member, signed(ring, member, place))
    collect(ring)
    assert place.position in attested(ring)


def test_own_signature_under_another_round_or_arrangement_is_not_carried(ring: FakeRing) -> None:
    """The worker's signature is good: the place alone tells that the leaf is an old one."""
    member, place = seated(ring, 2)
    leaf, _ = signed(ring, member, place)
    for other in (replace(leaf, round=1), replace(leaf, arrangement=2)):  # type: ignore[arg-type]
        signature = sign_message(member.keys.account, DOMAIN, other)
        leave(ring, member, (other, signature), place)
        collect(ring)
        assert place.position not in attested(ring)


def test_own_signature_over_a_zero_sealing_key_is_not_carried(ring: FakeRing) -> None:
    """Nothing could be sealed to it, and the ledger would refuse all leaves for it."""
    member, place = seated(ring, 2)
    leaf = replace(signed(ring, member, place)[0], sealing_key=SealingKey(Digest(bytes(32))))
    leave(ring, member, (leaf, sign_message(member.keys.account, DOMAIN, leaf)))
    collect(ring)
    assert place.position not in attested(ring)


def test_leaves_that_the_ledger_refuses_stay_in_the_store(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them was posted meanwhile: the others are carried the next time."""
    member, place = seated(ring, 2)
    name = leave(ring, member, signed(ring, member, place))
    monkeypatch.setattr(client_of(ring.members[0]), "attest", refusing("AlreadyAttested"))
    collect(ring)
    assert ring.store.pick_up(name) is not None
    monkeypatch.undo()
    collect(ring)
    assert ring.store.pick_up(name) is None
    assert place.position in attested(ring)


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


def place_two(ring: FakeRing) -> LeafPlace:
    """Of worker 1 in the second arrangement."""
    current = ring.ledger.state.arrangement
    assert current is not None
    position = current.position_of(ring.members[1].keys.address)
    assert position is not None
    return LeafPlace(ArrangementId(2), position, 0)
