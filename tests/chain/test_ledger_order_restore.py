"""`orderRestore`: in tracking mode, the first block whose hash differs is restored (paper 3.4.4)."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import AuthenticityDerived, BlockAttested, BlockHashed, RestoreOrdered
from deepring_chain.types import ZERO, ArrangementId, Leaf, Position, QueryPhase, RingMode
from tests.chain.names import named
from tests.chain.ring_driver import ScriptedRing, leaf_named

SECOND = ArrangementId(2)


def attested_leaves(*tampered: int) -> list[Leaf]:
    """What the ledger holds after the blocks in these seats attested other parameters."""
    return [named(f"tampered {p}") if p in tampered else leaf_named(2, p, 0) for p in range(4)]


def restored_leaves(*restored: int) -> list[Leaf]:
    """What the owner expects once these seats are in round 1."""
    return [leaf_named(2, p, int(p in restored)) for p in range(4)]


@pytest.mark.parametrize("position", range(4))
def test_tampered_block_is_ordered_to_be_restored(ring: ScriptedRing, position: int) -> None:
    ring.tamper(position)
    worker, parameters = ring.seat_addresses[position], named(f"parameters 2/{position}")
    recorded = fold_leaves(ring.leaves(2))[position]
    recomputed = fold_leaves(attested_leaves(position))[position]
    renewed, last = (fold_leaves(restored_leaves(position))[seat] for seat in (position, -1))
    hashes = (recorded, recomputed, renewed, last)
    events = ring.ledger.events(ring.order_restore(position))
    assert events == [RestoreOrdered(SECOND, Position(position), worker, 1, *hashes, parameters)]
    before = fold_leaves(ring.leaves(2))[position - 1] if position else ZERO
    assert tuple(ring.ledger.read("arrangement")) == (2, 1, 4, position, 0, last, before)
    seat = (worker, 0, 1, 0, named(f"tampered {position}"), recomputed)
    assert tuple(ring.ledger.read("seatAt", position)) == seat
    assert ring.ledger.mode() is RingMode.ATTESTING


@pytest.mark.parametrize("position", range(4))
def test_restored_block_attests_again_and_all_from_it_on_are_folded_again(ring: ScriptedRing, position: int) -> None:
    ring.tamper(position).order_restore(position)
    leaf = ring.attestation(position)
    receipt = ring.attest(position)
    hashes = fold_leaves(restored_leaves(position))
    attested = BlockAttested(leaf, ring.seat_addresses[position], ring.sign_attestation(leaf))
    hashed = [BlockHashed(SECOND, Position(p), hashes[p]) for p in range(position, 4)]
    derived = AuthenticityDerived(SECOND, True, hashes[-1], hashes[-1])
    assert ring.ledger.events(receipt) == [attested, *hashed, derived]
    arrangement = (2, 1, 4, 4, ring.ledger.time_of(receipt), hashes[-1], hashes[-1])
    assert tuple(ring.ledger.read("arrangement")) == arrangement
    seats = [ring.ledger.read("seatAt", p) for p in range(4)]
    assert [seat.blockHash for seat in seats] == hashes
    assert [seat.round for seat in seats] == [int(p == position) for p in range(4)]
    assert ring.ledger.mode() is RingMode.QUERY


def test_several_tampered_blocks_are_restored_one_after_the_other(ring: ScriptedRing) -> None:
    ring.tamper(1, 2, 3)
    for position in (1, 2, 3):
        assert ring.ledger.mode() is RingMode.TRACKING
        (ordered,) = ring.ledger.events(ring.order_restore(position))
        assert isinstance(ordered, RestoreOrdered)
        done = list(range(1, position))
        assert ordered.recorded_hash == fold_leaves(restored_leaves(*done))[position]
        ring.attest(position)
    assert ring.ledger.mode() is RingMode.QUERY
    assert ring.ledger.read("arrangement").recordedHash == fold_leaves(restored_leaves(1, 2, 3))[-1]


def test_block_that_is_still_tampered_after_its_restore_is_restored_again(ring: ScriptedRing) -> None:
    ring.tamper(2).order_restore(2)
    ring.post_attestations([ring.attestation(2, leaf=named("still tampered"))])
    assert ring.ledger.mode() is RingMode.TRACKING
    (ordered,) = ring.ledger.events(ring.order_restore(2))
    assert isinstance(ordered, RestoreOrdered)
    assert ordered.round == 2
    ring.attest(2)
    assert ring.ledger.mode() is RingMode.QUERY


def test_anyone_may_carry_the_restored_blocks_leaf(ring: ScriptedRing, mallory: LocalAccount) -> None:
    ring.tamper(2).order_restore(2)
    leaf = ring.attestation(2)
    ring.ledger.by(mallory).attest([leaf], [ring.sign_attestation(leaf)], 4)
    assert ring.ledger.mode() is RingMode.QUERY


def test_no_query_is_lost_while_blocks_are_restored(ring: ScriptedRing, querent: LocalAccount) -> None:
    waiting, routed, computed = (ring.submit(querent) for _ in range(3))
    routed.open_route().advance(2)
    computed.compute()
    ring.tamper(1, 3)
    for position in (1, 3):
        ring.order_restore(position)
        ring.attest(position)
    waiting.compute().deliver()
    routed.advance(4).deliver()
    computed.deliver()
    assert [query.state.phase for query in (waiting, routed, computed)] == [QueryPhase.DELIVERED] * 3


def test_ring_arranged_during_a_restore_begins_in_round_zero(ring: ScriptedRing) -> None:
    ring.tamper(1).order_restore(1)
    ring.arrange()
    assert ring.rounds() == [0, 0, 0, 0]
    ring.attest(0, 1, 2, 3)
    assert ring.ledger.mode() is RingMode.QUERY


def test_record_that_the_restored_leaves_do_not_give_leads_to_tracking_again(ring: ScriptedRing) -> None:
    other = named("another record")
    (ordered,) = ring.tamper(1).ledger.events(ring.order_restore(1, renewed_hash=other))
    (*_, derived) = ring.ledger.events(ring.attest(1))
    recorded = fold_leaves(ring.leaves(2)[2:], other)[-1]
    assert isinstance(ordered, RestoreOrdered)
    assert (ordered.renewed_hash, ordered.recorded_last) == (other, recorded)
    assert derived == AuthenticityDerived(SECOND, False, recorded, fold_leaves(restored_leaves(1))[-1])
    assert ring.ledger.mode() is RingMode.TRACKING


@pytest.mark.parametrize("decoy", [0, 1, 2])
def test_owner_cannot_take_over_what_was_attested_with_the_order_for_a_decoy(ring: ScriptedRing, decoy: int) -> None:
    """Attack S7: the owner has a false leaf attested in a seat of its choice, and orders that block's restore.

    The record that it then makes has the tampered leaf of seat 3 in it, as it was attested; the ledger folds its own
    evidence instead, in which seat 3 is intact.
    """
    ring.tamper(decoy, 3)
    renewed = fold_leaves([*attested_leaves(decoy, 3)[:decoy], leaf_named(2, decoy, 1)])[-1]
    wanted = fold_leaves(attested_leaves(decoy, 3)[decoy + 1 :], renewed)[-1]
    (ordered,) = ring.ledger.events(ring.order_restore(decoy, renewed_hash=renewed))
    ring.attest(decoy)
    assert isinstance(ordered, RestoreOrdered)
    assert ordered.recorded_last != wanted
    assert ring.ledger.read("arrangement").currentHash == wanted
    assert ring.ledger.mode() is RingMode.TRACKING
    ring.order_restore(3)
    ring.attest(3)
    assert ring.ledger.mode() is RingMode.QUERY
