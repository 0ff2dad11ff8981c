"""`orderRestore`: no order against an intact block, none on made-up evidence; and no way around the fresh challenge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import recover_signer
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.types import ArrangementId, Leaf, RingMode
from tests.chain.expect import refused
from tests.chain.names import named
from tests.chain.ring_driver import ScriptedRing, leaf_named

Leaves = list[Leaf]
SECOND = ArrangementId(2)


@pytest.fixture
def tampered(ring: ScriptedRing) -> ScriptedRing:
    """In tracking mode: the blocks in seats 1 and 3 attested other parameters."""
    return ring.tamper(1, 3)


def attested(ring: ScriptedRing) -> Leaves:
    """The leaves that the ledger holds."""
    return [ring.ledger.read("seatAt", position).leaf for position in range(4)]


def expect_other_evidence(ring: ScriptedRing, position: int, evidence: Leaves) -> None:
    """The evidence leads elsewhere than to the recorded hash, and nothing changes."""
    before = ring.ledger.read("arrangement")
    recorded = fold_leaves(ring.leaves(2))[-1]
    actual = fold_leaves([*attested(ring)[:position], *evidence])[-1]
    with refused("UnexpectedEvidence", arrangement=2, expected=recorded, actual=actual):
        ring.order_restore(position, evidence)
    assert ring.ledger.read("arrangement") == before
    assert ring.rounds() == [0, 0, 0, 0]


def test_intact_block_before_the_tampered_one_is_refused(tampered: ScriptedRing) -> None:
    """The owner wants to hand new parameters to a worker whose block is as recorded."""
    recorded = fold_leaves(tampered.leaves(2))[0]
    with refused("BlockIntact", arrangement=2, position=0, recorded=recorded):
        tampered.order_restore(0)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_every_intact_block_before_the_tampered_one_is_refused(ring: ScriptedRing, position: int) -> None:
    """The same with the tampered block in the last seat."""
    recorded = fold_leaves(ring.tamper(3).leaves(2))[position]
    with refused("BlockIntact", arrangement=2, position=position, recorded=recorded):
        ring.order_restore(position)


@pytest.mark.parametrize("position", [2, 3])
def test_block_that_is_not_the_first_to_differ_is_refused(tampered: ScriptedRing, position: int) -> None:
    """Seat 2 is intact and seat 3 tampered, but their hashes say nothing before seat 1 is restored."""
    expect_other_evidence(tampered, position, tampered.leaves(2)[position:])


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_attested_leaves_are_no_evidence(tampered: ScriptedRing, position: int) -> None:
    """The owner claims to have expected what was attested."""
    expect_other_evidence(tampered, position, attested(tampered)[position:])


FORGERIES: dict[str, Callable[[Leaves], Leaves]] = {
    "first leaf": lambda leaves: [named("made up"), *leaves[1:]],
    "last leaf": lambda leaves: [*leaves[:-1], named("made up")],
    "other order": lambda leaves: leaves[::-1],
    "of the arrangement before": lambda leaves: [leaf_named(1, 4 - left, 0) for left in range(len(leaves), 0, -1)],
    "of the next round": lambda leaves: [leaf_named(2, 1, 1), *leaves[1:]],
}


@pytest.mark.parametrize("how", FORGERIES)
def test_made_up_evidence_is_refused(tampered: ScriptedRing, how: str) -> None:
    """Leaves that the owner did not record when it arranged the ring."""
    expect_other_evidence(tampered, 1, FORGERIES[how](tampered.leaves(2)[1:]))


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_evidence_for_too_few_or_too_many_seats_is_refused(tampered: ScriptedRing, count: int) -> None:
    """A fold of fewer or more leaves could end in any hash that the ring ever had."""
    with refused("LengthMismatch", expected=3, actual=count):
        tampered.order_restore(1, [*tampered.leaves(2), *tampered.leaves(2)][:count])


@pytest.mark.parametrize("position", [4, 65_535])
def test_seat_outside_of_the_ring_is_refused(tampered: ScriptedRing, position: int) -> None:
    """There is nobody to restore."""
    with refused("UnknownPosition", position=position, seats=4):
        tampered.order_restore(position, [])


@pytest.mark.parametrize("shown", ["recorded", "recomputed"])
def test_hash_that_was_shown_before_is_no_fresh_challenge(tampered: ScriptedRing, shown: str) -> None:
    """The owner repeats the old challenge: the leaf that was attested, or that the evidence gives away, would do."""
    leaves = {"recorded": tampered.leaves(2), "recomputed": attested(tampered)}[shown]
    renewed = fold_leaves(leaves)[1]
    with refused("ChallengeNotFresh", arrangement=2, position=1, renewed=renewed):
        tampered.order_restore(1, renewed_hash=renewed)


def test_others_than_the_owner_are_refused(tampered: ScriptedRing, mallory: LocalAccount) -> None:
    """Somebody else wants to choose a worker's parameters; so does the worker in that seat."""
    for account in (mallory, tampered.seats[1]):
        client = tampered.ledger.by(account)
        with refused("NotOuroboros", ouroboros=tampered.owner.address, caller=account.address):
            client.order_restore(1, tampered.leaves(2)[1:], named("last"), named("parameters"))  # type: ignore[arg-type]


def test_authentic_ring_is_not_restored(ring: ScriptedRing) -> None:
    """The owner wants to take a block out of a ring in which nothing is wrong."""
    with refused("NotTracking", arrangement=1, mode=RingMode.QUERY):
        ring.order_restore(1)


def test_second_order_before_the_block_attested_is_refused(tampered: ScriptedRing) -> None:
    """An order each second would keep a worker from ever being through with it."""
    tampered.order_restore(1)
    with refused("NotTracking", arrangement=2, mode=RingMode.ATTESTING):
        tampered.order_restore(1)


def test_ring_of_an_older_model_is_not_restored(tampered: ScriptedRing) -> None:
    """The evidence would be about parameters that are not in force any more."""
    tampered.register_model("better model")
    with refused("NotTracking", arrangement=2, mode=RingMode.SETUP):
        tampered.order_restore(1)


def test_tampered_blocks_attestation_from_before_the_restore_is_refused(tampered: ScriptedRing) -> None:
    """The worker did not reload, and sends what it had sent before."""
    old = tampered.attestation(1, leaf=named("tampered 1"))
    signature = tampered.sign_attestation(old)
    tampered.order_restore(1)
    with refused("UnexpectedRound", arrangement=2, position=1, expected=1, actual=0):
        tampered.owner_client.attest([old], [signature], 4)


def test_leaf_that_the_evidence_gave_away_is_refused_in_the_old_round(tampered: ScriptedRing) -> None:
    """The order published the leaf that was expected; the worker signs it without having the parameters."""
    tampered.order_restore(1)
    copied = tampered.attestation(1, leaf=leaf_named(2, 1, 0), round=0)
    with refused("UnexpectedRound", arrangement=2, position=1, expected=1, actual=0):
        tampered.post_attestations([copied])


def test_leaf_that_the_evidence_gave_away_leads_to_tracking_in_the_new_round(tampered: ScriptedRing) -> None:
    """The same leaf, signed for the new round: the challenge is another one now."""
    tampered.order_restore(1)
    tampered.post_attestations([tampered.attestation(1, leaf=leaf_named(2, 1, 0))])
    assert tampered.ledger.mode() is RingMode.TRACKING


def test_round_changed_after_signing_is_refused(tampered: ScriptedRing) -> None:
    """Somebody moves the old attestation into the new round."""
    old = tampered.attestation(1)
    signature = tampered.sign_attestation(old)
    tampered.order_restore(1)
    moved = replace(old, round=1)
    signer = recover_signer(tampered.ledger.domain, moved, signature)
    seat = tampered.seat_addresses[1]
    with refused("UnexpectedAttester", arrangement=2, position=1, expected=seat, actual=signer):
        tampered.owner_client.attest([moved], [signature], 4)


def test_attestation_for_a_round_that_was_not_ordered_is_refused(tampered: ScriptedRing) -> None:
    """A worker attests in advance, before it knows the next challenge."""
    with refused("UnexpectedRound", arrangement=2, position=1, expected=0, actual=1):
        tampered.post_attestations([tampered.attestation(1, round=1)])


def test_other_blocks_do_not_attest_again(tampered: ScriptedRing) -> None:
    """A neighbor uses the restore to exchange its own leaf."""
    tampered.order_restore(1)
    with refused("AlreadyAttested", arrangement=2, position=3):
        tampered.attest(3)


def test_restored_block_attests_once(ring: ScriptedRing) -> None:
    """The leaf is exchanged after the flag was derived from it."""
    ring.tamper(1).order_restore(1)
    ring.attest(1)
    with refused("AlreadyAttested", arrangement=2, position=1):
        ring.post_attestations([ring.attestation(1, leaf=named("other"))])
    assert ring.arrangement == SECOND
