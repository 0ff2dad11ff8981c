"""`attest`: what is refused, and that a refused list leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import recover_signer, sign_message
from deepring_chain.types import ZERO, Address, ArrangementId, Attestation, Domain, Position, RingMode, SealingKey
from tests.chain.expect import BREAKS, break_signature, refused
from tests.chain.ring_driver import ScriptedRing, named


@pytest.fixture
def arranged(ring: ScriptedRing) -> ScriptedRing:
    """Arrangement 2 is in force, and no leaf is there."""
    ring.arrange()
    return ring


def post(ring: ScriptedRing, attestation: Attestation, signature: bytes) -> None:
    ring.ledger.by(ring.workers[0]).attest([attestation], [signature], 4)


@pytest.mark.parametrize(("leaves", "signatures"), [(1, 0), (0, 1), (2, 3)])
def test_lists_of_different_length_are_refused(arranged: ScriptedRing, leaves: int, signatures: int) -> None:
    with refused("LengthMismatch", expected=leaves, actual=signatures):
        arranged.owner_client.attest([arranged.attestation(0)] * leaves, [bytes(65)] * signatures, 4)


def test_leaf_for_the_arrangement_before_is_stale(arranged: ScriptedRing) -> None:
    old = arranged.attestation(1)
    signature = arranged.sign_attestation(old)
    arranged.arrange()
    with refused("StaleArrangement", expected=3, actual=2):
        post(arranged, old, signature)


def test_leaf_that_counted_before_is_stale_after_a_new_arrangement(ring: ScriptedRing) -> None:
    old = ring.attestation(1)
    signature = ring.sign_attestation(old)
    ring.arrange()
    with refused("StaleArrangement", expected=2, actual=1):
        post(ring, old, signature)


@pytest.mark.parametrize("arrangement", [0, 1, 3, 2**64 - 1])
def test_leaf_for_another_arrangement_is_refused(arranged: ScriptedRing, arrangement: int) -> None:
    early = replace(arranged.attestation(1), arrangement=ArrangementId(arrangement))
    with refused("StaleArrangement", expected=2, actual=arrangement):
        post(arranged, early, arranged.sign_attestation(early))


def test_leaf_before_any_arrangement_is_refused(bare_ring: ScriptedRing) -> None:
    leaf = Attestation(ArrangementId(1), Position(0), 0, named("leaf"), named("key"))
    with refused("StaleArrangement", expected=0, actual=1):
        post(bare_ring, leaf, bare_ring.sign_attestation(leaf))
    none = replace(leaf, arrangement=ArrangementId(0))
    with refused("UnknownPosition", position=0, seats=0):
        post(bare_ring, none, bare_ring.sign_attestation(none))


@pytest.mark.parametrize("position", [4, 5, 65_535])
def test_seat_outside_of_the_ring_is_refused(arranged: ScriptedRing, position: int) -> None:
    outside = replace(arranged.attestation(1), position=Position(position))
    with refused("UnknownPosition", position=position, seats=4):
        post(arranged, outside, arranged.sign_attestation(outside, arranged.workers[0]))


def test_seat_that_a_larger_ring_had_is_refused(ring: ScriptedRing) -> None:
    ring.owner_client.register_model(named("small"), named("card"), 1)
    ring.owner_client.arrange(ring.seat_addresses[:2], named("recorded"), named("notes"))
    leaf = replace(ring.attestation(1), position=Position(2))
    with refused("UnknownPosition", position=2, seats=2):
        post(ring, leaf, ring.sign_attestation(leaf))


@pytest.mark.parametrize(
    "changes", [{}, {"leaf": named("other")}, {"sealing_key": named("other")}], ids=["same", "other leaf", "other key"]
)
def test_second_leaf_of_a_seat_is_refused(arranged: ScriptedRing, changes: dict[str, Any]) -> None:
    arranged.attest(1)
    again = replace(arranged.attestation(1), **changes)
    with refused("AlreadyAttested", arrangement=2, position=1):
        post(arranged, again, arranged.sign_attestation(again))


def test_leaf_twice_in_one_list_is_refused(arranged: ScriptedRing) -> None:
    with refused("AlreadyAttested", arrangement=2, position=1):
        arranged.attest(1, 1)


def test_leaf_after_the_flag_is_derived_is_refused(ring: ScriptedRing) -> None:
    with refused("AlreadyAttested", arrangement=1, position=3):
        ring.attest(3)


def test_zero_sealing_key_is_refused(arranged: ScriptedRing) -> None:
    without = replace(arranged.attestation(1), sealing_key=SealingKey(ZERO))
    with refused("ZeroSealingKey", worker=arranged.seat_addresses[1]):
        post(arranged, without, arranged.sign_attestation(without))


@pytest.mark.parametrize("round_", [1, 65_535])
def test_leaf_for_another_round_is_refused(arranged: ScriptedRing, round_: int) -> None:
    other = arranged.attestation(1, round=round_)
    with refused("UnexpectedRound", arrangement=2, position=1, expected=0, actual=round_):
        post(arranged, other, arranged.sign_attestation(other))


def expect_stranger(ring: ScriptedRing, leaf: Attestation, signature: bytes, signer: Address) -> None:
    seat = ring.seat_addresses[leaf.position]
    with refused("UnexpectedAttester", arrangement=2, position=leaf.position, expected=seat, actual=signer):
        post(ring, leaf, signature)


def test_signature_of_another_is_refused(arranged: ScriptedRing, mallory: LocalAccount) -> None:
    leaf = arranged.attestation(1)
    for stranger in (mallory, arranged.owner, arranged.seats[2]):
        signature = arranged.sign_attestation(leaf, stranger)
        expect_stranger(arranged, leaf, signature, Address(stranger.address))


@pytest.mark.parametrize(
    "changes", [{"position": 2}, {"leaf": named("other")}, {"sealing_key": named("other")}], ids=lambda c: next(iter(c))
)
def test_field_changed_after_signing_is_refused(arranged: ScriptedRing, changes: dict[str, Any]) -> None:
    leaf = arranged.attestation(1)
    signature = arranged.sign_attestation(leaf)
    changed = replace(leaf, **changes)
    expect_stranger(arranged, changed, signature, recover_signer(arranged.ledger.domain, changed, signature))


def test_arrangement_changed_after_signing_is_refused(arranged: ScriptedRing) -> None:
    leaf = arranged.attestation(1)
    signature = arranged.sign_attestation(replace(leaf, arrangement=ArrangementId(1)))
    expect_stranger(arranged, leaf, signature, recover_signer(arranged.ledger.domain, leaf, signature))


def test_round_changed_after_signing_is_refused(arranged: ScriptedRing) -> None:
    leaf = arranged.attestation(1)
    signature = arranged.sign_attestation(replace(leaf, round=1))
    expect_stranger(arranged, leaf, signature, recover_signer(arranged.ledger.domain, leaf, signature))


def test_leaf_for_another_ledger_is_refused(other_ring: ScriptedRing, ring: ScriptedRing) -> None:
    other_ring.arrange()
    ring.arrange()
    leaf = other_ring.attestation(1)
    signature = other_ring.sign_attestation(leaf)
    expect_stranger(ring, leaf, signature, recover_signer(ring.ledger.domain, leaf, signature))


def test_leaf_for_another_chain_is_refused(arranged: ScriptedRing) -> None:
    leaf = arranged.attestation(1)
    elsewhere = Domain(arranged.ledger.domain.chain_id + 1, arranged.ledger.address)
    signature = sign_message(arranged.seats[1], elsewhere, leaf)
    expect_stranger(arranged, leaf, signature, recover_signer(arranged.ledger.domain, leaf, signature))


@pytest.mark.parametrize("how", BREAKS)
def test_broken_signature_is_refused(arranged: ScriptedRing, how: str) -> None:
    leaf = arranged.attestation(1)
    broken = break_signature(how, arranged.sign_attestation(leaf))
    with refused(broken.error, **broken.arguments):
        post(arranged, leaf, broken.signature)


def test_one_bad_leaf_refuses_the_whole_list(arranged: ScriptedRing, mallory: LocalAccount) -> None:
    leaves = [arranged.attestation(position) for position in range(4)]
    signatures = [arranged.sign_attestation(leaf) for leaf in leaves]
    signatures[3] = arranged.sign_attestation(leaves[3], mallory)
    seat = arranged.seat_addresses[3]
    with refused("UnexpectedAttester", arrangement=2, position=3, expected=seat, actual=mallory.address):
        arranged.owner_client.attest(leaves, signatures, 4)
    assert arranged.ledger.read("seatAt", 0).attestedIn == 1
    assert arranged.ledger.read("arrangement").folded == 0
    assert arranged.ledger.mode() is RingMode.ATTESTING
