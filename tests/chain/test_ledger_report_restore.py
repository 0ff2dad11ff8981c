"""`reportRestore`: a restored worker names the tensors that had changed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils import function_signature_to_4byte_selector

from deepring_chain.protocol.events import RestoreReported
from deepring_chain.types import ArrangementId, Position, RingMode
from tests.chain.expect import refused
from tests.chain.names import named
from tests.chain.ring_driver import ScriptedRing
from tests.waiting import FOREVER

LIMIT = 256


@pytest.fixture
def ordered(ring: ScriptedRing) -> ScriptedRing:
    """The block in seat 2 is to be restored."""
    ring.tamper(2).order_restore(2)
    return ring


def reported(ring: ScriptedRing, round_: int, changed: str) -> RestoreReported:
    return RestoreReported(ArrangementId(2), Position(2), ring.seat_addresses[2], round_, changed)


def test_report_is_recorded(ordered: ScriptedRing) -> None:
    before = ordered.ledger.read("seatAt", 2)
    events = ordered.ledger.events(ordered.report(2, "layer 2: weight, bias"))
    assert events == [reported(ordered, 1, "layer 2: weight, bias")]
    assert ordered.ledger.read("seatAt", 2) == before._replace(reported=1)


def test_report_may_follow_the_attestation(ordered: ScriptedRing) -> None:
    ordered.attest(2)
    assert ordered.ledger.mode() is RingMode.QUERY
    assert ordered.ledger.events(ordered.report(2)) == [reported(ordered, 1, "layer1.weight")]
    assert ordered.ledger.mode() is RingMode.QUERY


@pytest.mark.parametrize("changed", ["", "x" * LIMIT, "ü" * (LIMIT // 2)], ids=["empty", "longest", "longest in UTF-8"])
def test_shortest_and_longest_report_are_recorded(ordered: ScriptedRing, changed: str) -> None:
    assert ordered.ledger.events(ordered.report(2, changed)) == [reported(ordered, 1, changed)]


def test_each_order_is_reported_on(ordered: ScriptedRing) -> None:
    ordered.report(2)
    ordered.post_attestations([ordered.attestation(2, leaf=named("still tampered"))])
    ordered.order_restore(2)
    assert ordered.ledger.events(ordered.report(2, "again")) == [reported(ordered, 2, "again")]


def test_order_that_was_not_reported_on_does_not_block_the_next(ordered: ScriptedRing) -> None:
    ordered.post_attestations([ordered.attestation(2, leaf=named("still tampered"))])
    ordered.order_restore(2)
    assert ordered.ledger.events(ordered.report(2)) == [reported(ordered, 2, "layer1.weight")]


@pytest.mark.parametrize("length", [LIMIT + 1, 10_000])
def test_report_that_is_too_long_is_refused(ordered: ScriptedRing, length: int) -> None:
    """A worker fills the ledger."""
    with refused("ReportTooLong", limit=LIMIT, actual=length):
        ordered.report(2, "x" * length)


def test_length_is_counted_in_bytes(ordered: ScriptedRing) -> None:
    """The same with fewer, longer characters."""
    with refused("ReportTooLong", limit=LIMIT, actual=LIMIT + 2):
        ordered.report(2, "ü" * (LIMIT // 2 + 1))


def test_others_than_the_seats_worker_are_refused(ordered: ScriptedRing, mallory: LocalAccount) -> None:
    """The owner, a neighbor or a stranger puts a cause into the worker's mouth."""
    seat = ordered.seat_addresses[2]
    for account in (mallory, ordered.owner, ordered.seats[1]):
        with refused("NotSeated", arrangement=2, position=2, expected=seat, caller=account.address):
            ordered.ledger.by(account).report_restore(Position(2), "made up")


def test_second_report_is_refused(ordered: ScriptedRing) -> None:
    """A worker takes back what it said."""
    ordered.report(2)
    with refused("NothingToReport", arrangement=2, position=2):
        ordered.report(2, "something else")


def test_report_of_a_worker_that_was_not_restored_is_refused(ordered: ScriptedRing) -> None:
    """A neighbor reports on its own seat."""
    for position in (0, 1, 3):
        with refused("NothingToReport", arrangement=2, position=position):
            ordered.report(position)


def test_report_without_any_order_is_refused(ring: ScriptedRing) -> None:
    """Nothing was tampered."""
    with refused("NothingToReport", arrangement=1, position=1):
        ring.report(1)


def test_report_on_an_order_of_the_arrangement_before_is_refused(ordered: ScriptedRing) -> None:
    """It would stand in the trail as if it were about the new one."""
    ordered.arrange()
    with refused("NothingToReport", arrangement=3, position=2):
        ordered.report(2)


@pytest.mark.parametrize("position", [4, 65_535])
def test_seat_outside_of_the_ring_is_refused(ordered: ScriptedRing, mallory: LocalAccount, position: int) -> None:
    """There is no such worker."""
    with refused("UnknownPosition", position=position, seats=4):
        ordered.ledger.by(mallory).report_restore(Position(position), "made up")


def test_report_from_a_seat_that_only_a_larger_ring_had_is_refused(ring: ScriptedRing) -> None:
    """Its worker was never reported on; the report would stand in the trail of a ring that it is not in."""
    ring.tamper(3).order_restore(3)
    ring.owner_client.register_model(named("small"), named("card"), 1)
    ring.owner_client.arrange(ring.seat_addresses[:2], named("recorded"), named("notes"))
    with refused("UnknownPosition", position=3, seats=2):
        ring.report(3)


def test_report_that_is_no_text_keeps_nobody_from_reading_the_events(ordered: ScriptedRing) -> None:
    """Mallory's worker reports two bytes that are no UTF-8: all readers of these blocks would stop at them."""
    web3, worker = ordered.ledger.web3, ordered.seats[2]
    data = function_signature_to_4byte_selector("reportRestore(uint16,string)") + encode(
        ["uint16", "bytes"], [2, b"\xff\xfe"]
    )
    transaction: dict[str, Any] = {
        "to": ordered.ledger.address,
        "data": data,
        "gas": 200_000,
        "nonce": web3.eth.get_transaction_count(worker.address),
        "chainId": web3.eth.chain_id,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
    }
    sent = web3.eth.send_raw_transaction(worker.sign_transaction(transaction).raw_transaction)
    receipt = web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)
    assert ordered.ledger.events(receipt) == [reported(ordered, 1, "\ufffd\ufffd")]
