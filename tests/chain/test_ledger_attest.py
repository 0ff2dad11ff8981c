"""`attest`: signed leaves, their fold into block hashes (eq. 1-2), and the flag that follows from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import AuthenticityDerived, BlockAttested, BlockHashed, Event
from deepring_chain.types import Position, RingMode
from tests.chain.ring_driver import ScriptedRing, named

ORDERS = [list(order) for order in permutations(range(4))]


@pytest.fixture
def arranged(ring: ScriptedRing) -> ScriptedRing:
    """Arrangement 2 is in force, and no leaf is there."""
    ring.arrange()
    return ring


def attested(ring: ScriptedRing, *positions: int) -> list[Event]:
    found: list[Event] = []
    for position in positions:
        leaf = ring.attestation(position)
        found.append(BlockAttested(leaf, ring.seat_addresses[position], ring.sign_attestation(leaf)))
    return found


def hashed(ring: ScriptedRing, *positions: int) -> list[Event]:
    hashes = fold_leaves(ring.leaves(2))
    return [BlockHashed(ring.arrangement, Position(position), hashes[position]) for position in positions]


def derived(ring: ScriptedRing) -> Event:
    last = fold_leaves(ring.leaves(2))[-1]
    return AuthenticityDerived(ring.arrangement, True, last, last)


def test_all_leaves_in_one_transaction_make_the_ring_authentic(arranged: ScriptedRing) -> None:
    events = arranged.ledger.events(arranged.attest(0, 1, 2, 3))
    assert events == [*attested(arranged, 0, 1, 2, 3), *hashed(arranged, 0, 1, 2, 3), derived(arranged)]
    assert arranged.ledger.mode() is RingMode.QUERY
    assert arranged.ledger.read("isAuthentic") is True


def test_state_holds_leaves_and_hashes(arranged: ScriptedRing) -> None:
    mined = arranged.ledger.time_of(arranged.attest(0, 1, 2, 3))
    leaves, hashes = arranged.leaves(2), fold_leaves(arranged.leaves(2))
    assert tuple(arranged.ledger.read("arrangement")) == (2, 1, 4, 4, mined, hashes[-1], hashes[-1])
    for position, seat in enumerate(arranged.seat_addresses):
        assert tuple(arranged.ledger.read("seatAt", position)) == (seat, 2, 0, 0, leaves[position], hashes[position])


def test_leaves_one_by_one_fold_as_they_come(arranged: ScriptedRing) -> None:
    for position in range(3):
        events = arranged.ledger.events(arranged.attest(position))
        assert events == [*attested(arranged, position), *hashed(arranged, position)]
        assert arranged.ledger.read("arrangement").folded == position + 1
        assert arranged.ledger.mode() is RingMode.ATTESTING
    events = arranged.ledger.events(arranged.attest(3))
    assert events == [*attested(arranged, 3), *hashed(arranged, 3), derived(arranged)]


def test_leaf_waits_for_the_seats_before_it(arranged: ScriptedRing) -> None:
    assert arranged.ledger.events(arranged.attest(3)) == attested(arranged, 3)
    assert arranged.ledger.events(arranged.attest(1)) == attested(arranged, 1)
    assert arranged.ledger.read("arrangement").folded == 0
    assert arranged.ledger.events(arranged.attest(0)) == [*attested(arranged, 0), *hashed(arranged, 0, 1)]
    assert arranged.ledger.read("arrangement").folded == 2
    last = arranged.ledger.events(arranged.attest(2))
    assert last == [*attested(arranged, 2), *hashed(arranged, 2, 3), derived(arranged)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_any_order_in_one_transaction_gives_the_same_hashes(arranged: ScriptedRing, order: list[int]) -> None:
    events = arranged.ledger.events(arranged.attest(*order))
    assert events == [*attested(arranged, *order), *hashed(arranged, 0, 1, 2, 3), derived(arranged)]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_any_order_in_two_transactions_gives_the_same_hashes(arranged: ScriptedRing, order: list[int]) -> None:
    first = arranged.ledger.events(arranged.attest(*order[:2]))
    second = arranged.ledger.events(arranged.attest(*order[2:]))
    found = [event for event in first + second if not isinstance(event, BlockAttested)]
    assert found == [*hashed(arranged, 0, 1, 2, 3), derived(arranged)]


def test_anyone_may_carry_others_leaves(arranged: ScriptedRing, mallory: LocalAccount) -> None:
    leaves = [arranged.attestation(position) for position in range(4)]
    signatures = [arranged.sign_attestation(leaf) for leaf in leaves]
    events = arranged.ledger.events(arranged.ledger.by(mallory).attest(leaves, signatures, 4))
    assert events[:4] == attested(arranged, 0, 1, 2, 3)
    assert arranged.ledger.mode() is RingMode.QUERY


def test_empty_list_changes_nothing(arranged: ScriptedRing, mallory: LocalAccount) -> None:
    assert arranged.ledger.events(arranged.ledger.by(mallory).attest([], [], 4)) == []
    arranged.attest(0, 1, 2, 3)
    assert arranged.ledger.events(arranged.ledger.by(mallory).attest([], [], 4)) == []


@pytest.mark.parametrize("wrong", range(4))
def test_one_wrong_leaf_leads_to_tracking(arranged: ScriptedRing, wrong: int) -> None:
    leaves = [arranged.attestation(position) for position in range(4)]
    leaves[wrong] = replace(leaves[wrong], leaf=named("tampered"))
    events = arranged.ledger.events(arranged.post_attestations(leaves))
    actual = fold_leaves([leaf.leaf for leaf in leaves])
    recorded = fold_leaves(arranged.leaves(2))[-1]
    assert events[4:8] == [BlockHashed(arranged.arrangement, Position(p), actual[p]) for p in range(4)]
    assert events[8:] == [AuthenticityDerived(arranged.arrangement, False, recorded, actual[-1])]
    assert arranged.ledger.mode() is RingMode.TRACKING
    assert arranged.ledger.read("isAuthentic") is False


def test_two_swapped_leaves_lead_to_tracking(arranged: ScriptedRing) -> None:
    leaves = [arranged.attestation(position) for position in range(4)]
    leaves[1], leaves[2] = replace(leaves[1], leaf=leaves[2].leaf), replace(leaves[2], leaf=leaves[1].leaf)
    arranged.post_attestations(leaves)
    assert arranged.ledger.mode() is RingMode.TRACKING


def test_arranging_again_leads_out_of_tracking(arranged: ScriptedRing) -> None:
    arranged.arrange(recorded_hash=named("not what the leaves give"))
    arranged.attest(0, 1, 2, 3)
    assert arranged.ledger.mode() is RingMode.TRACKING
    arranged.arrange()
    arranged.attest(0, 1, 2, 3)
    assert arranged.ledger.mode() is RingMode.QUERY


def test_leaves_of_the_arrangement_before_do_not_count(arranged: ScriptedRing) -> None:
    arranged.attest(0, 1, 2)
    assert arranged.ledger.read("arrangement").folded == 3
    arranged.attest(3)
    arranged.arrange()
    events = arranged.ledger.events(arranged.attest(0))
    assert [type(event) for event in events] == [BlockAttested, BlockHashed]
    assert arranged.ledger.read("arrangement").folded == 1


def test_sealing_key_of_the_arrangement_is_recorded(arranged: ScriptedRing) -> None:
    leaf = replace(arranged.attestation(1), sealing_key=named("fresh key"))
    (event, *_) = arranged.ledger.events(arranged.post_attestations([leaf]))
    assert event == BlockAttested(leaf, arranged.seat_addresses[1], arranged.sign_attestation(leaf))
