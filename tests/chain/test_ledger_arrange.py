"""`arrange`: the ring is seated anew, and is not authentic until it attests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import RingArranged
from deepring_chain.types import ZERO, Address, ArrangementId, BlockHash, RingMode
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedRing, named


@pytest.fixture
def admitted(bare_ring: ScriptedRing) -> ScriptedRing:
    bare_ring.register_model()
    bare_ring.admit()
    return bare_ring


def test_ring_is_seated_and_waits_for_leaves(admitted: ScriptedRing) -> None:
    receipt = admitted.arrange()
    recorded = fold_leaves(admitted.leaves(1))[-1]
    seated = RingArranged(ArrangementId(1), 1, admitted.seat_addresses, recorded, named("arrangement notes 1"))
    assert admitted.ledger.events(receipt) == [seated]
    assert tuple(admitted.ledger.read("arrangement")) == (1, 1, 4, 0, 0, recorded, ZERO)
    for position, seat in enumerate(admitted.seat_addresses):
        assert tuple(admitted.ledger.read("seatAt", position)) == (seat, 0, 0, 0, ZERO, ZERO)
    assert admitted.ledger.mode() is RingMode.ATTESTING


def test_new_arrangement_in_another_order_ends_query_mode(ring: ScriptedRing) -> None:
    seats = [ring.seat_addresses[0], *reversed(ring.seat_addresses[1:])]
    receipt = ring.owner_client.arrange(seats, named("recorded"), named("notes"))
    seated = RingArranged(ArrangementId(2), 1, tuple(seats), named("recorded"), named("notes"))
    assert ring.ledger.events(receipt) == [seated]
    assert tuple(ring.ledger.read("arrangement")) == (2, 1, 4, 0, 0, named("recorded"), ZERO)
    assert [ring.ledger.read("seatAt", position).worker for position in range(4)] == seats
    assert ring.ledger.mode() is RingMode.ATTESTING


def test_ring_may_be_arranged_again_before_it_attested(admitted: ScriptedRing) -> None:
    admitted.arrange()
    admitted.attest(0, 2)
    admitted.arrange()
    assert admitted.ledger.read("arrangement").id == 2
    assert admitted.ledger.read("arrangement").folded == 0
    admitted.attest(0, 1, 2, 3)
    assert admitted.ledger.mode() is RingMode.QUERY


def test_recorded_hash_of_zero_never_makes_an_unattested_ring_authentic(admitted: ScriptedRing) -> None:
    admitted.owner_client.arrange(admitted.seat_addresses, BlockHash(ZERO), named("notes"))
    assert admitted.ledger.mode() is RingMode.ATTESTING
    admitted.attest(0, 1, 2, 3)
    assert admitted.ledger.mode() is RingMode.TRACKING


def test_others_than_the_owner_are_refused(ring: ScriptedRing, mallory: LocalAccount) -> None:
    for account in (mallory, ring.workers[0]):
        with refused("NotOuroboros", ouroboros=ring.owner.address, caller=account.address):
            ring.ledger.by(account).arrange(ring.seat_addresses, named("recorded"), named("notes"))


def test_ring_without_model_is_refused(bare_ring: ScriptedRing) -> None:
    bare_ring.admit()
    with refused("ModelMissing"):
        bare_ring.arrange()


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_other_number_of_seats_is_refused(admitted: ScriptedRing, mallory: LocalAccount, count: int) -> None:
    seats = [*admitted.seat_addresses, Address(mallory.address)][:count]
    with refused("UnexpectedSeatCount", expected=4, actual=count):
        admitted.owner_client.arrange(seats, named("recorded"), named("notes"))


def test_worker_in_the_owners_seat_is_refused(admitted: ScriptedRing) -> None:
    seats = admitted.seat_addresses
    with refused("OuroborosNotFirst", expected=seats[0], actual=seats[1]):
        admitted.owner_client.arrange([seats[1], seats[0], *seats[2:]], named("recorded"), named("notes"))


@pytest.mark.parametrize("position", [1, 2, 3])
def test_account_that_was_not_admitted_is_refused(admitted: ScriptedRing, mallory: LocalAccount, position: int) -> None:
    seats = list(admitted.seat_addresses)
    seats[position] = Address(mallory.address)
    with refused("WorkerNotAdmitted", worker=mallory.address):
        admitted.owner_client.arrange(seats, named("recorded"), named("notes"))


def test_owner_without_a_sealing_key_is_refused(bare_ring: ScriptedRing) -> None:
    bare_ring.register_model()
    bare_ring.owner_client.admit_workers(bare_ring.seat_addresses[1:], [named("key")] * 3)
    with refused("WorkerNotAdmitted", worker=bare_ring.owner.address):
        bare_ring.arrange()


Seating = Callable[[tuple[Address, ...]], list[Address]]


@pytest.mark.parametrize(
    ("seating", "twice"),
    [(lambda s: [s[0], s[1], s[2], s[1]], 1), (lambda s: [s[0], s[2], s[2], s[1]], 2), (lambda s: [*s[:3], s[0]], 0)],
    ids=["worker again", "worker beside itself", "owner again"],
)
def test_account_seated_twice_is_refused(ring: ScriptedRing, seating: Seating, twice: int) -> None:
    with refused("WorkerSeatedTwice", worker=ring.seat_addresses[twice]):
        ring.owner_client.arrange(seating(ring.seat_addresses), named("recorded"), named("notes"))
    assert ring.ledger.read("isAuthentic") is True
