"""The settler by its clock: a moment before, at, and after each of its times, sizes and refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.actors.relay import settler
from deepring_chain.actors.relay.settler import (
    BYTES_PER_HOP,
    BYTES_PER_QUERY,
    GATHER_SECONDS,
    RETRY_SECONDS,
    SEEN_SECONDS,
    STALLED_PART,
)
from deepring_chain.chain.errors import LedgerReverted, NodeUnreachable
from deepring_chain.errors import ChainError
from deepring_chain.types import Delivery, QueryId, QueryPhase
from tests.unit.relay.relay_script import HOPS, digest, relayed
from tests.unit.relay.settler_script import HOP_SECONDS, Scene

PER_QUERY = BYTES_PER_QUERY + HOPS * BYTES_PER_HOP
STALLED = HOP_SECONDS / STALLED_PART


def stop(scene: Scene, query: int) -> None:
    """The query waits for the ouroboros, as the ledger has it."""
    scene.sessions[query - 1] = replace(scene.sessions[query - 1], phase=QueryPhase.INTERRUPTED)


# ---------------------------------------------------------------------- others that are still computed


def test_finished_query_waits_for_the_others_until_its_time_is_over() -> None:
    scene = Scene(2)
    scene.finish(1)
    scene.now = GATHER_SECONDS - 0.01
    assert scene.act() == []
    scene.now = GATHER_SECONDS
    assert scene.act() == [1]


def test_oldest_of_the_finished_queries_ends_the_wait() -> None:
    scene = Scene(3)
    scene.finish(1)
    scene.now = GATHER_SECONDS / 2
    scene.finish(2)
    assert scene.act() == []
    scene.now = GATHER_SECONDS
    assert scene.act() == [1, 2]


def test_query_that_waits_for_the_ouroboros_holds_up_no_other() -> None:
    scene = Scene(2)
    stop(scene, 2)
    scene.finish(1)
    assert scene.act() == [1]


def test_computed_query_before_an_interrupted_one_is_waited_for() -> None:
    scene = Scene(3)
    stop(scene, 2)
    scene.finish(3)
    assert scene.act() == []


def test_full_transaction_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "MOST_BYTES", 2 * PER_QUERY)
    scene = Scene(3)
    scene.finish(1)
    assert scene.act() == []
    scene.finish(2)
    assert scene.act() == [1, 2]


# ---------------------------------------------------------------------- hops without progress


def test_hops_are_settled_only_after_their_part_of_the_time() -> None:
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, 2)
    assert scene.act() == []
    scene.now = STALLED
    assert scene.act() == []
    scene.now = STALLED + 0.01
    assert scene.act() == [1]


def test_every_hop_begins_the_time_anew() -> None:
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, 1)
    assert scene.act() == []
    scene.now = STALLED
    relayed(scene.sessions[0], scene.hops, 1)
    assert scene.act() == []
    scene.now = 2 * STALLED
    assert scene.act() == []
    scene.now = 2 * STALLED + 0.01
    assert scene.act() == [1]


def test_query_without_relayed_hops_is_never_settled() -> None:
    scene = Scene(1)
    for scene.now in (0.0, 100.0, 1000.0):
        assert scene.act() == []


def test_computed_query_without_an_answer_is_settled_as_hops_that_stand_still() -> None:
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, HOPS)
    assert scene.act() == []
    scene.now = STALLED + 0.01
    assert scene.act() == [1]
    assert scene.client.parts[0].delivery is None


def test_stalled_hops_are_sent_while_others_are_computed() -> None:
    scene = Scene(2)
    relayed(scene.sessions[0], scene.hops, 2)
    assert scene.act() == []
    scene.now = STALLED + 0.01
    assert scene.act() == [1]


# ---------------------------------------------------------------------- answers that do not fit


def test_answer_over_another_history_is_not_settled() -> None:
    scene = Scene(1)
    view = relayed(scene.sessions[0], scene.hops, HOPS)
    other = replace(view, trail=digest(3))
    scene.settler.hold(other, Delivery(view.query, view.attempt, digest(1), digest(2), other.trail), bytes(65))
    assert not scene.settler.holds(view)
    assert scene.act() == []


def test_answer_of_a_query_that_is_not_computed_is_not_settled() -> None:
    scene = Scene(1)
    scene.finish(1)
    scene.sessions = [replace(scene.hops.view(scene.sessions[0]), phase=QueryPhase.DISPUTED)]
    assert scene.act() == []


def test_query_without_an_answer_is_not_held() -> None:
    scene = Scene(2)
    scene.finish(1)
    assert scene.settler.holds(scene.hops.view(scene.sessions[0]))
    assert not scene.settler.holds(scene.sessions[1])


# ---------------------------------------------------------------------- while one is sent, and after


def test_nothing_is_sent_while_a_settlement_is_under_way() -> None:
    scene = Scene(2)
    scene.client.gate.clear()
    scene.finish(1)
    scene.now = GATHER_SECONDS
    assert scene.settler.act(scene.sessions)
    scene.finish(2)
    assert not scene.settler.act(scene.sessions)
    scene.client.gate.set()
    assert scene.ended.acquire()
    assert scene.act() == [2]
    assert scene.client.settled == [[1], [2]]


def test_settlement_that_does_not_show_is_sent_again_after_its_time() -> None:
    scene = Scene(1)
    scene.finish(1)
    assert scene.act() == [1]
    assert scene.act() == []
    scene.now = SEEN_SECONDS - 0.01
    assert scene.act() == []
    scene.now = SEEN_SECONDS
    assert scene.act() == [1]


def test_next_part_of_a_settled_query_is_settled_at_once() -> None:
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, 2)
    assert scene.act() == []
    scene.now = STALLED + 0.01
    assert scene.act() == [1]
    scene.sessions = [scene.hops.view(scene.sessions[0])]
    view = relayed(scene.sessions[0], scene.hops, HOPS - 2)
    scene.settler.hold(view, Delivery(view.query, view.attempt, digest(1), digest(2), view.trail), bytes(65))
    assert scene.act() == [1]
    assert scene.client.parts[1].delivery is not None


def test_query_that_is_open_again_begins_its_time_anew() -> None:
    """After the chain was reorganized."""
    scene = Scene(1)
    relayed(scene.sessions[0], scene.hops, 2)
    assert scene.act() == []
    assert not scene.settler.act([])
    scene.now = STALLED + 0.01
    assert scene.act() == []


# ---------------------------------------------------------------------- sizes


def test_transaction_is_filled_to_the_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "MOST_BYTES", 2 * PER_QUERY)
    scene = Scene(3)
    scene.finish(1, 2, 3)
    assert (scene.act(), scene.act()) == ([1, 2], [3])


def test_query_that_is_larger_than_a_transaction_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "MOST_BYTES", 1)
    scene = Scene(2)
    scene.finish(1, 2)
    assert (scene.act(), scene.act()) == ([1], [2])


# ---------------------------------------------------------------------- refusals


def test_refused_query_is_tried_again_and_stops_nothing() -> None:
    scene = Scene(1)
    scene.client.refused[QueryId(1)] = LedgerReverted("UnexpectedState", {"query": 1})
    scene.finish(1)
    assert scene.act() == []
    scene.now = RETRY_SECONDS
    assert scene.act() == []
    scene.client.refused.clear()
    scene.now = 2 * RETRY_SECONDS
    assert scene.act() == [1]
    assert scene.client.timed_out == []


def test_refused_query_is_not_tried_again_at_once() -> None:
    """An actor that tries without a pause fills a core."""
    scene = Scene(1)
    scene.client.refused[QueryId(1)] = LedgerReverted("UnexpectedState", {"query": 1})
    scene.finish(1)
    assert scene.settler.act(scene.sessions)
    assert scene.ended.acquire()
    scene.now = RETRY_SECONDS - 0.01
    assert not scene.settler.act(scene.sessions)
    scene.now = 2 * RETRY_SECONDS - 0.02
    assert not scene.settler.act(scene.sessions)
    scene.now = 2 * RETRY_SECONDS
    assert scene.settler.act(scene.sessions)


def test_refused_query_with_another_history_is_tried_at_once() -> None:
    scene = Scene(1)
    scene.client.refused[QueryId(1)] = LedgerReverted("UnexpectedState", {"query": 1})
    scene.finish(1)
    assert scene.act() == []
    scene.client.refused.clear()
    scene.sessions = [replace(scene.sessions[0], trail=digest(77), updates={})]
    scene.finish(1)
    assert scene.act() == [1]


def test_hops_that_come_too_late_are_timed_out_as_the_ledger_has_them() -> None:
    """Relayed in time, and the node was away when they should have been settled: else nobody would end the attempt."""
    scene = Scene(2)
    scene.client.refused[QueryId(2)] = LedgerReverted("DeadlinePassed", {"query": 2})
    scene.finish(1, 2)
    assert scene.act() == [1]
    assert scene.client.timed_out == [(QueryId(2), scene.sessions[1].state(scene.client.block_time))]


@pytest.mark.parametrize("error", [LedgerReverted("DeadlineAhead", {"query": 1}), NodeUnreachable("away")])
def test_timeout_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture, error: ChainError) -> None:
    scene = Scene(1)
    scene.client.refused[QueryId(1)] = LedgerReverted("DeadlinePassed", {"query": 1})
    scene.client.no_timeout = error
    scene.finish(1)
    assert scene.act() == []
    assert "too late, and no timeout yet" in caplog.records[-1].getMessage()
    scene.client.no_timeout = None
    assert scene.act() == []
    scene.now = RETRY_SECONDS
    assert scene.act() == []
    assert [query for query, _ in scene.client.timed_out] == [1]
    assert caplog.records[-1].getMessage() == "query 1: hops from 0 on came to the ledger too late"


@pytest.mark.parametrize(("name", "is_said"), [("UnexpectedState", False), ("WrongSigner", True)])
def test_refusal_is_said_unless_somebody_was_faster(caplog: pytest.LogCaptureFixture, name: str, is_said: bool) -> None:
    scene = Scene(2)
    scene.client.refused[QueryId(2)] = LedgerReverted(name, {"query": 2})
    scene.finish(1, 2)
    assert scene.act() == [1]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [text.partition(":")[0] for text in said] == ["query 2"] * is_said


def test_node_that_is_away_is_said_once_for_all_queries(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(2)
    scene.client.refused[QueryId(1)] = NodeUnreachable("away")
    scene.finish(1, 2)
    assert scene.act() == []
    assert [record.getMessage() for record in caplog.records] == ["2 queries wait to be settled: away"]
