"""One query's trouble is no other's: what is caught, what is logged, and what goes through."""

from __future__ import annotations

import logging

import pytest

from deepring_chain.actors.guard import OVERTAKEN, SessionGuard
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.errors import ChainError, ConfigError, ModelError, ProtocolError, StoreError
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import NO_BLOB, ZERO, Address, QueryId, SealingKey, TrailHash


def session(number: int) -> Session:
    return Session(QueryId(number), Address("0x" + "11" * 20), NO_BLOB, SealingKey(ZERO), TrailHash(ZERO))


def failing(error: Exception) -> bool:
    raise error


@pytest.mark.parametrize("result", [True, False])
def test_result_of_a_step_goes_through(result: bool) -> None:
    assert SessionGuard().run(session(1), lambda _: result) is result


MOVED_ON = ("ModelChanged", "NotAuthentic", "NotTracking", "UnexpectedPhase", "UnexpectedState")
TOO_EARLY_OR_LATE = ("DeadlineAhead", "DeadlinePassed")


def test_refusals_that_are_no_errors_are_these() -> None:
    assert sorted(OVERTAKEN) == sorted((*MOVED_ON, *TOO_EARLY_OR_LATE))


@pytest.mark.parametrize("name", [*MOVED_ON, *TOO_EARLY_OR_LATE])
def test_refusal_because_the_ledger_moved_on_is_not_even_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert SessionGuard().run(session(1), lambda _: failing(LedgerReverted(name, {}))) is False
    assert caplog.text == ""


def test_refusal_for_another_reason_is_an_error_of_the_actor() -> None:
    with pytest.raises(LedgerReverted, match="NotRecipient"):
        SessionGuard().run(session(1), lambda _: failing(LedgerReverted("NotRecipient", {})))


def test_node_that_is_away_is_not_a_querys_trouble() -> None:
    with pytest.raises(ChainError, match="no node"):
        SessionGuard().run(session(1), lambda _: failing(ChainError("no node answers")))


@pytest.mark.parametrize("kind", [ProtocolError, StoreError, ModelError, ConfigError])
def test_error_is_logged_once_until_it_changes(kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    guard = SessionGuard()
    with caplog.at_level(logging.ERROR):
        for text in ("first", "first", "second", "first"):
            assert guard.run(session(1), lambda _, said=text: failing(kind(said))) is False  # type: ignore[misc]
    assert [record.getMessage() for record in caplog.records] == [
        "query 1: first",
        "query 1: second",
        "query 1: first",
    ]


def test_errors_of_two_queries_do_not_hide_each_other(caplog: pytest.LogCaptureFixture) -> None:
    guard = SessionGuard()
    with caplog.at_level(logging.ERROR):
        for number in (1, 2, 1, 2):
            guard.run(session(number), lambda _: failing(StoreError("away")))
    assert [record.getMessage() for record in caplog.records] == ["query 1: away", "query 2: away"]


def test_forgotten_query_is_logged_anew(caplog: pytest.LogCaptureFixture) -> None:
    guard = SessionGuard()
    with caplog.at_level(logging.ERROR):
        guard.run(session(1), lambda _: failing(StoreError("away")))
        guard.forget(QueryId(1))
        guard.forget(QueryId(2))
        guard.run(session(1), lambda _: failing(StoreError("away")))
    assert len(caplog.records) == 2


def test_operator_is_shown_a_querys_trouble_until_it_is_well_again_or_ended() -> None:
    metrics = ActorMetrics()
    guard = SessionGuard(metrics)
    for number in (1, 2):
        guard.run(session(number), lambda _: failing(StoreError("away")))
    assert metrics.troubles == {"query 1": "away", "query 2": "away"}
    guard.run(session(1), lambda _: True)
    assert metrics.troubles == {"query 2": "away"}
    guard.forget(QueryId(2))
    assert metrics.troubles == {}
