"""The record: what was checked at each event, and what a wrong one does to the rest."""

from __future__ import annotations

from dataclasses import replace

from deepring_chain.explorer.record import Record
from deepring_chain.protocol.audit_step import Check
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.types import Address, QueryId, QueryPhase, RingMode
from tests.explorer.scripted import QUERENT, TERMS, record_of, ring


def test_checks_of_an_update_are_those_made_at_it() -> None:
    script = ring()
    script.submit().open_route().post().post()
    record = record_of(script)
    last = record.items[-1]
    assert isinstance(last.entry.event, UpdatePosted)
    assert last.checks[Check.SIGNATURE] == 1
    assert last.checks[Check.ROUTE] == 2
    assert last.checks[Check.VALIDATION] == 1
    assert Check.BLOCK_HASH not in last.checks
    assert sum(sum(item.checks.values()) for item in record.items) == sum(record.checks.values())
    assert record.failure is None


def test_forged_entry_is_named_once_and_nothing_after_it_counts_as_checked() -> None:
    script = ring()
    script.submit().open_route().post().post().post()
    sent, event = script.calls[-2]
    assert isinstance(event, UpdatePosted)
    script.calls[-2] = (sent, replace(event, signer=Address(QUERENT.address)))
    script.submit()
    record = record_of(script)
    assert record.failure is not None
    assert "signature" in str(record.failure)
    assert [item.failure is record.failure for item in record.items].count(True) == 1
    assert record.items[-1].checks == {}
    # What is shown goes on: a reader sees the events that came after it.
    assert record.state.sessions[QueryId(1)].next_hop == 3


def test_event_of_a_query_that_nobody_asked_stops_nothing_but_is_said() -> None:
    script = ring()
    query = script.submit()
    del script.calls[-1]
    query.open_route()
    script.arrange()
    record = record_of(script)
    assert record.failure is not None
    assert record.state.mode is RingMode.ATTESTING


def test_empty_record_has_no_query() -> None:
    record = Record(TERMS)
    assert record.queries == []
    assert record.of_query(QueryId(1)) == []
    assert record.state.mode is RingMode.SETUP


def test_events_of_a_query_are_its_own() -> None:
    script = ring()
    first, second = script.submit(), script.submit()
    first.open_route().post()
    second.open_route().post().post()
    first.post()
    record = record_of(script)
    assert record.queries == [1, 2]
    assert [len(record.of_query(QueryId(query))) for query in (1, 2)] == [4, 4]
    assert record.state.sessions[QueryId(2)].phase is QueryPhase.ROUTED
