"""`admitWorkers`: who may be seated, and the long-term sealing keys."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import WorkerAdmitted
from deepring_chain.types import ZERO, Address
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedRing, named, sealing_key_of


def test_each_account_is_admitted_with_its_key(bare_ring: ScriptedRing) -> None:
    events = bare_ring.ledger.events(bare_ring.admit())
    assert events == [WorkerAdmitted(Address(seat.address), sealing_key_of(seat)) for seat in bare_ring.seats]
    for seat in bare_ring.seats:
        assert bare_ring.ledger.read("sealingKeyOf", seat.address) == sealing_key_of(seat)


def test_key_is_renewed(ring: ScriptedRing) -> None:
    worker = Address(ring.workers[0].address)
    receipt = ring.owner_client.admit_workers([worker], [named("new key")])
    assert ring.ledger.events(receipt) == [WorkerAdmitted(worker, named("new key"))]
    assert ring.ledger.read("sealingKeyOf", worker) == named("new key")


def test_last_of_two_keys_for_one_account_counts(bare_ring: ScriptedRing) -> None:
    worker = Address(bare_ring.workers[0].address)
    bare_ring.owner_client.admit_workers([worker, worker], [named("first"), named("second")])
    assert bare_ring.ledger.read("sealingKeyOf", worker) == named("second")


def test_empty_list_changes_nothing(bare_ring: ScriptedRing) -> None:
    assert bare_ring.ledger.events(bare_ring.owner_client.admit_workers([], [])) == []


def test_admission_does_not_end_query_mode(ring: ScriptedRing, mallory: LocalAccount) -> None:
    ring.owner_client.admit_workers([Address(mallory.address)], [named("key")])
    assert ring.ledger.read("isAuthentic") is True


def test_others_than_the_owner_are_refused(bare_ring: ScriptedRing, mallory: LocalAccount) -> None:
    with refused("NotOuroboros", ouroboros=bare_ring.owner.address, caller=mallory.address):
        bare_ring.ledger.by(mallory).admit_workers([Address(mallory.address)], [named("key")])


@pytest.mark.parametrize(("accounts", "keys"), [(2, 1), (1, 2), (0, 1), (1, 0)])
def test_lists_of_different_length_are_refused(bare_ring: ScriptedRing, accounts: int, keys: int) -> None:
    with refused("LengthMismatch", expected=accounts, actual=keys):
        bare_ring.owner_client.admit_workers(bare_ring.seat_addresses[:accounts], [named("key")] * keys)


def test_zero_key_is_refused_and_nobody_is_admitted(bare_ring: ScriptedRing) -> None:
    first, second = bare_ring.seat_addresses[:2]
    with refused("ZeroSealingKey", worker=second):
        bare_ring.owner_client.admit_workers([first, second], [named("key"), ZERO])
    assert bare_ring.ledger.read("sealingKeyOf", first) == ZERO
