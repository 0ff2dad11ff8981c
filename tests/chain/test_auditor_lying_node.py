"""What a node leaves out, adds or changes is found by the auditor on a real chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.actors.audit_formats import BlobKind
from deepring_chain.chain.client import LedgerClient
from deepring_chain.protocol.events import LoggedEvent, ModelRegistered, WorkerAdmitted
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, failure_of, open_client


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
