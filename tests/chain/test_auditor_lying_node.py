"""What a node leaves out, adds or changes is found by the auditor on a real chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_utils import function_signature_to_4byte_selector
from hexbytes import HexBytes

from deepring_chain.actors.audit_formats import BlobKind
from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    LoggedEvent,
    ModelRegistered,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    WorkerAdmitted,
)
from deepring_chain.types import Position
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, failure_of, open_client

WITHDRAW_1 = function_signature_to_4byte_selector("withdrawQuery(uint64)") + (1).to_bytes(32, "big")


class LyingClient(LedgerClient):
    """A client of a node that changes what it shows."""

    lie: Callable[[list[LoggedEvent]], list[LoggedEvent]]

    def events(self, first_block: int, last_block: int) -> list[LoggedEvent]:
        return self.lie(super().events(first_block, last_block))


def lying(stored: StoredRing, lie: Callable[[list[LoggedEvent]], list[LoggedEvent]]) -> LedgerClient:
    ledger = stored.ring.ledger
    client = LyingClient.open(ledger.url, ledger.address)
    assert isinstance(client, LyingClient)
    client.lie = lie
    return client


def kinds(events: Sequence[LoggedEvent]) -> list[str]:
    return [type(logged.event).__name__ for logged in events]


def changed(kind: type, **changes: Any) -> Callable[[list[LoggedEvent]], list[LoggedEvent]]:
    """Changes the last event of a kind."""

    def lie(events: list[LoggedEvent]) -> list[LoggedEvent]:
        index = max(place for place, name in enumerate(kinds(events)) if name == kind.__name__)
        logged = events[index]
        events[index] = replace(logged, event=replace(logged.event, **changes))
        return events

    return lie


@pytest.mark.parametrize(
    ("made", "member"),
    [("submitted", "queryCount"), ("routed", "queryAt(1).phase"), ("answered", "queryAt(1).phase")],
)
def test_last_event_that_is_left_out_is_found_in_the_storage(stored: StoredRing, made: str, member: str) -> None:
    query = stored.submit()
    if made != "submitted":
        query.open_route()
    if made == "answered":
        query.advance(4).deliver()
    failure = failure_of(stored, lying(stored, lambda events: events[:-1]))
    assert (failure.subject, failure.field) == ("the ledger's storage", member)


@pytest.mark.parametrize(
    ("kind", "change", "member"),
    [
        (ModelRegistered, {"root": named("other")}, "model.root"),
        (WorkerAdmitted, {"sealing_key": named("other")}, "sealingKeyOf("),
    ],
)
def test_changed_field_that_no_event_binds_is_found_in_the_storage(
    stored: StoredRing, kind: type, change: dict[str, Any], member: str
) -> None:
    failure = failure_of(stored, lying(stored, changed(kind, **change)))
    assert failure.subject == "the ledger's storage"
    assert failure.field.startswith(member)


def without(kind: type) -> Callable[[list[LoggedEvent]], list[LoggedEvent]]:
    """Leaves out the last event of a kind."""

    def lie(events: list[LoggedEvent]) -> list[LoggedEvent]:
        index = max(place for place, name in enumerate(kinds(events)) if name == kind.__name__)
        return [*events[:index], *events[index + 1 :]]

    return lie


@pytest.mark.parametrize(
    ("kind", "member"), [(EnvelopeDisputed, "queryAt(1).trail"), (QueryWithdrawn, "queryAt(1).phase")]
)
def test_event_of_a_withdrawn_query_that_is_left_out_is_found_in_the_storage(
    stored: StoredRing, kind: type, member: str
) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain()
    query.wait_and_withdraw()
    assert audit_of(stored).passed
    assert failure_of(stored, lying(stored, without(kind))).field == member


def test_report_on_a_restore_that_is_left_out_is_found_in_the_storage(stored: StoredRing) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    stored.ring.report(2)
    assert failure_of(stored, lying(stored, without(RestoreReported))).field == "seatAt(2).reported"


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (RestoreOrdered, {"parameters": named("other")}, "RestoreOrdered.parameters"),
        (RestoreOrdered, {"recorded_last": named("other")}, "RestoreOrdered.recordedLast"),
        (RestoreOrdered, {"position": Position(1)}, "RestoreOrdered.position"),
        (RestoreOrdered, {"recorded_hash": named("other")}, "RestoreOrdered.recorded_hash"),
        (RestoreOrdered, {"recomputed_hash": named("other")}, "RestoreOrdered.recomputed_hash"),
        (RestoreReported, {"changed": "nothing"}, "RestoreReported.changed"),
        (RestoreReported, {"position": Position(1)}, "RestoreReported.position"),
    ],
)
def test_changed_field_of_a_restore_is_found_in_the_input(
    stored: StoredRing, kind: type, change: dict[str, Any], field: str
) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    stored.ring.report(2)
    assert failure_of(stored, lying(stored, changed(kind, **change))).field == field


def changed_input(stored: StoredRing, change: Callable[[dict[str, Any]], dict[str, Any]]) -> LedgerClient:
    """A client of a node that changes transactions."""
    client = open_client(stored)
    real = client.web3.eth.get_transaction
    client.web3.eth.get_transaction = lambda hash_: change(dict(real(hash_)))  # type: ignore[method-assign,assignment,return-value]
    return client


def with_other_leaf(transaction: dict[str, Any]) -> dict[str, Any]:
    data = bytearray(transaction["input"])
    data[-1] ^= 1
    return {**transaction, "input": HexBytes(bytes(data))}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda transaction: {**transaction, "to": None}, "a transaction to None"),
        (
            lambda transaction: {**transaction, "input": HexBytes("0xdeadbeef")},
            "a call of another function, 0xdeadbeef",
        ),
        (lambda transaction: {**transaction, "input": transaction["input"][:-32]}, "malformed values"),
        (lambda transaction: {**transaction, "input": HexBytes(WITHDRAW_1)}, "a call of another function"),
        (with_other_leaf, "0x"),
    ],
    ids=["another contract", "no function", "cut", "another function", "another leaf"],
)
def test_restore_whose_transaction_holds_no_evidence_is_found(
    stored: StoredRing, change: Callable[[dict[str, Any]], dict[str, Any]], found: str
) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    failure = failure_of(stored, changed_input(stored, change))
    assert failure.subject == "arrangement 2, seat 2"
    assert failure.found.startswith(found)


def test_block_times_before_a_deadline_make_its_timeout_wrong(
    stored: StoredRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.submit().open_route().let_time_out()
    client = open_client(stored)
    real, last = client.web3.eth.get_block, client.head().number
    early = real(last - 2)["timestamp"] + 1

    def get_block(number: Any) -> Any:
        header = dict(real(number))
        return {**header, "timestamp": min(header["timestamp"], early)}

    monkeypatch.setattr(client.web3.eth, "get_block", get_block)
    assert failure_of(stored, client).field == "HopTimedOut.event (its time)"


def test_first_wrong_event_ends_the_audit(stored: StoredRing) -> None:
    answer_one(stored)
    report = audit_of(stored, lying(stored, lambda events: [*events[:5], *events[6:]]))
    assert report.failure is not None
    assert report.stored_values == 0
    assert report.trail.events == {"ModelRegistered": 1, "WorkerAdmitted": 4}
    assert report.blobs == {BlobKind.CARD: 1}


def test_event_that_names_another_block_is_found(stored: StoredRing) -> None:
    client = lying(stored, lambda events: [*events[:-1], replace(events[-1], block_hash=named("another block"))])
    assert failure_of(stored, client).field == "AuthenticityDerived's block hash"


def test_event_from_outside_of_the_range_is_found(stored: StoredRing) -> None:
    client = lying(stored, lambda events: [*events[:-1], replace(events[-1], block_number=10**6)])
    assert failure_of(stored, client).field == "blockNumber"


def test_blocks_that_are_not_one_chain_are_found(stored: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_client(stored)
    real = client.web3.eth.get_block
    cut = stored.ring.ledger.first_block + 2

    def get_block(number: Any) -> Any:
        header = dict(real(number))
        return {**header, "parentHash": bytes(32)} if header["number"] == cut else header

    monkeypatch.setattr(client.web3.eth, "get_block", get_block)
    failure = failure_of(stored, client)
    assert (failure.subject, failure.field) == (f"block {cut}", "parentHash")
