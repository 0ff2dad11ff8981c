"""The trail's rows: hops that were posted together show their gas once, and every sum counts a transaction once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deepring_chain.cli.tables import print_sheet
from deepring_chain.cli.trail import query_sheet
from deepring_chain.explorer.query_view import view_line, view_query
from deepring_chain.explorer.rows import QueryRow, gas_summary, query_rows, shared_gas, total_gas
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.protocol.events import query_of
from deepring_chain.types import Digest, OutputCommitment, QueryId
from tests.explorer.scripted import GAS, NAMES, ScriptedTrail, entries_of, record_of, ring

LIE = OutputCommitment(Digest(bytes(range(32))))


def entries(script: ScriptedTrail, query: int = 1) -> list[HistoryEntry]:
    return [entry for entry, _ in entries_of(script.calls) if query_of(entry.event) == query]


def rows(script: ScriptedTrail, query: int = 1) -> list[QueryRow]:
    return [row for row in query_rows(entries(script, query), NAMES) if row is not None]


def gas_by_place(found: Sequence[QueryRow]) -> dict[str, int | None]:
    return {row.place: row.gas for row in found}


def settle_two() -> ScriptedTrail:
    """One transaction posts two queries' hops and the first one's answer."""
    script = ring()
    first, second = script.submit().open_route(), script.submit().open_route()
    hops = [*(first.posted() for _ in range(4)), *(second.posted() for _ in range(4))]
    script.emit(*hops, first.delivered(), is_run=True)
    second.deliver()
    return script


def test_hops_one_by_one_have_each_their_gas() -> None:
    script = ring()
    script.submit().open_route().post().post().post().post().deliver()
    assert set(gas_by_place(rows(script)).values()) == {GAS}
    assert total_gas(entries(script)) == 7 * GAS


def test_hops_of_a_run_show_their_gas_once() -> None:
    script = ring()
    script.submit().open_route().post_run(4).deliver()
    found = gas_by_place(rows(script))
    assert found == {"query": GAS, "route 1": GAS, "0": GAS, "1": None, "2": None, "3": None, "answer": GAS}
    assert sum(gas or 0 for gas in found.values()) == total_gas(entries(script)) == 4 * GAS


def test_rows_of_several_queries_in_one_transaction_count_it_for_each_and_say_so() -> None:
    script = settle_two()
    first, second = gas_by_place(rows(script, 1)), gas_by_place(rows(script, 2))
    assert first == {"query": GAS, "route 1": GAS, "0": GAS, "1": None, "2": None, "3": None, "answer": None}
    assert [second[place] for place in ("0", "1", "answer")] == [GAS, None, GAS]
    assert [total_gas(entries(script, query)) for query in (1, 2)] == [3 * GAS, 4 * GAS]
    assert [shared_gas(entries(script, query)) for query in (1, 2)] == [GAS, GAS]
    both = [entry for entry, _ in entries_of(script.calls) if query_of(entry.event)]
    assert total_gas(both) == 6 * GAS


def test_gas_is_said_to_be_shared_only_where_it_is() -> None:
    assert gas_summary(1_234_567, 0) == "gas in all 1,234,567"
    assert gas_summary(1_234_567, 1_000) == (
        "gas in all 1,234,567, 1,000 of it in transactions that serve other queries too"
    )


def test_contradiction_shows_the_gas_at_the_entry_that_was_recorded() -> None:
    script = ring()
    script.submit().open_route().post().post().contradict(LIE).judge(receiver=True)
    found = gas_by_place(rows(script))
    assert (found["2"], found["dispute 2"], found["verdict 2"]) == (GAS, None, GAS)
    assert total_gas(entries(script)) == 6 * GAS


def test_contradicted_answer_and_its_record_are_one_transaction() -> None:
    script = ring()
    script.submit().open_route().post_run(4).contradict_delivery(LIE)
    found = gas_by_place(rows(script))
    assert (found["answer"], found["dispute 4"]) == (GAS, None)
    assert total_gas(entries(script)) == 4 * GAS


def test_withdrawal_is_a_row_with_its_gas() -> None:
    script = ring()
    script.submit().open_route().post_run(2).withdraw()
    assert gas_by_place(rows(script)) == {"query": GAS, "route 1": GAS, "0": GAS, "1": None, "withdrawn": GAS}


def test_resumed_attempt_shows_the_gas_of_its_route_once() -> None:
    """The event that says where it goes on from is no row, and takes no gas from the one before."""
    script = ring()
    script.submit().open_route().post_run(2).time_out().reopen(2).post_run(2)
    found = gas_by_place(rows(script))
    assert (found["route 2"], found["timeout 2"], found["2"], found["3"]) == (GAS, GAS, GAS, None)
    assert total_gas(entries(script)) == 6 * GAS


def test_table_of_the_command_line_shows_a_run_s_gas_once(capsys: pytest.CaptureFixture[str]) -> None:
    script = ring()
    script.submit().open_route().post_run(4).deliver()
    print_sheet(query_sheet(QueryId(1), entries(script), NAMES))
    told = capsys.readouterr().out
    assert told.count(f"{GAS:,}") == 4
    assert f"gas in all {4 * GAS:,}\n" in told


def test_table_of_a_query_that_was_settled_with_another_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_sheet(query_sheet(QueryId(1), entries(settle_two(), 1), NAMES))
    told = capsys.readouterr().out
    assert f"gas in all {3 * GAS:,}, {GAS:,} of it in transactions that serve other queries too" in told


def test_pages_show_the_same_gas_as_the_command_line() -> None:
    record = record_of(settle_two())
    for query, gas in ((1, 3 * GAS), (2, 4 * GAS)):
        line = view_line(record, QueryId(query), NAMES)
        assert (line.gas, line.shared, line.gas_in_words) == (gas, GAS, gas_summary(gas, GAS))
        shown = view_query(record, QueryId(query), NAMES)
        assert shown is not None
        assert sum(moment.row.gas or 0 for moment in shown.moments if moment.row) == gas
    assert record.failure is None


def test_page_says_of_every_hop_of_a_run_what_it_did() -> None:
    script = ring()
    script.submit().open_route().post_run(4)
    shown = view_query(record_of(script), QueryId(1), NAMES)
    assert shown is not None
    sentences = [moment.telling.sentence for moment in shown.moments]
    assert [sum(f"ran layer {layer}," in sentence for sentence in sentences) for layer in (1, 2, 3)] == [1, 1, 1]
    assert [mark.state.value for mark in shown.hops] == ["done"] * 4 + ["now"]
