"""How a querent waits: how long between two looks, and what a node or a store that is away changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deepring_chain.actors import querent as module
from deepring_chain.actors.querent import LONGEST_PAUSE, LOOK_SECONDS, POLL_SECONDS, AnswerLate, QueryFailed, _Look
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.types import QueryId
from tests.unit.actors.fake_ring import FakeRing, make_querent

AWAY = NodeUnreachable("no node answers")


class Heads:
    """Announcements that come when a test says so."""

    newest = ()

    def __init__(self, *, is_live: bool) -> None:
        self.is_live, self.count = is_live, 3
        self.waited: list[tuple[int, float]] = []

    def wait(self, seen: int, seconds: float) -> bool:
        self.waited.append((seen, seconds))
        return True

    def suspect(self) -> None: ...


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were slept, on a clock that moves by them alone."""
    pauses: list[float] = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses))
    monkeypatch.setattr(module, "time", clock)
    return pauses


@pytest.mark.parametrize(("is_live", "expected"), [(True, LOOK_SECONDS), (False, 0.25)])
def test_look_is_awaited_at_the_announcements(
    ring: FakeRing, slept: list[float], is_live: bool, expected: float
) -> None:
    heads = Heads(is_live=is_live)
    _Look(ring.members[0].follower, heads).rest(0.25, is_well=True)
    assert (heads.waited, slept) == ([(3, expected)], [])


def test_while_something_is_away_announcements_are_not_waited_for(ring: FakeRing, slept: list[float]) -> None:
    heads = Heads(is_live=True)
    _Look(ring.members[0].follower, heads).rest(0.25, is_well=False)
    assert (heads.waited, slept) == ([], [0.25])


class ScriptedLook:
    """Fails as often as it is told, and rests as the real one does."""

    failures = 0
    calls: list[str]

    def __init__(self, follower: Any, heads: Any) -> None:
        del heads
        self._follower, self.left = follower, type(self).failures

    def refresh(self) -> bool:
        self.calls.append("refresh")
        if self.left:
            self.left -= 1
            raise AWAY
        return bool(self._follower.refresh())

    def again(self) -> None:
        self.calls.append("again")

    def rest(self, seconds: float, *, is_well: bool) -> None:
        del is_well
        module.time.sleep(seconds)  # type: ignore[attr-defined]


def scripted(monkeypatch: pytest.MonkeyPatch, failures: int) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(ScriptedLook, "failures", failures)
    monkeypatch.setattr(ScriptedLook, "calls", calls, raising=False)
    monkeypatch.setattr(module, "_Look", ScriptedLook)
    return calls


def test_pauses_double_up_to_the_longest_while_the_node_is_away(
    ring: FakeRing, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle()
    calls = scripted(monkeypatch, failures=10)
    ring.querent.wait(query, 1000, lambda _session, _mode: None)
    assert slept == [min(POLL_SECONDS * 2**turn, LONGEST_PAUSE) for turn in range(1, 11)]
    assert max(slept) == LONGEST_PAUSE
    assert calls == [*["refresh", "again"] * 10, "refresh"]


def test_last_pause_ends_at_the_deadline(ring: FakeRing, slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle()
    scripted(monkeypatch, failures=4)
    with pytest.raises(AnswerLate, match="no node answers"):
        ring.querent.wait(query, sum([0.04, 0.08, 0.01]), lambda _session, _mode: None)
    assert slept == pytest.approx([0.04, 0.08, 0.01])


def test_no_look_follows_the_deadline(ring: FakeRing, slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """With pauses that a float holds exactly: the third look fails at the very deadline."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.125)
    ring.settle()
    query = ring.ask()
    ring.settle()
    scripted(monkeypatch, failures=3)
    with pytest.raises(AnswerLate):
        ring.querent.wait(query, 0.75, lambda _session, _mode: None)
    assert slept == [0.25, 0.5]


def test_nobody_is_told_of_anothers_query(ring: FakeRing) -> None:
    ring.settle()
    query: QueryId = ring.ask()
    told: list[object] = []
    with pytest.raises(QueryFailed, match="only that account"):
        make_querent(ring.ledger, ring.store, 51).wait(query, 0, lambda session, _mode: told.append(session))
    assert told == []
