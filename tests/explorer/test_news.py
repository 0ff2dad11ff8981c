"""`deepring up` tells what goes wrong on the ledger, each once, and nothing of a ring that is well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.cli.news import RingNews
from deepring_chain.types import Digest, OutputCommitment
from tests.explorer.scripted import NAMES, ScriptedTrail, entries_of, ring
from tests.explorer.test_hostile import tampered

LIE = OutputCommitment(Digest(bytes(range(32))))


class FakeNode:
    """A ledger whose events a test lets happen."""

    def __init__(self) -> None:
        self.logged: list[Any] = []
        self.is_away = False

    def head(self) -> Any:
        if self.is_away:
            raise NodeUnreachable("http://node: no node answers")
        return SimpleNamespace(number=max((logged.block_number for logged in self.logged), default=0))

    def events(self, first: int, last: int) -> list[Any]:
        return [logged for logged in self.logged if first <= logged.block_number <= last]


def told_of(script: ScriptedTrail) -> list[str]:
    """What is told of a trail, which happens after `up` has begun to look."""
    node, told = FakeNode(), list[str]()
    news = RingNews(node, NAMES, told.append)  # type: ignore[arg-type]
    node.logged = [entry.logged for entry, _ in entries_of(script.calls)]
    news.look()
    news.look()
    return told


def test_ring_that_is_well_is_not_spoken_of() -> None:
    script = ring()
    script.submit().open_route().post_run(4).deliver()
    assert told_of(script) == []


def test_changed_block_is_told_from_the_flag_to_its_restore() -> None:
    told = told_of(tampered("layer.2.weight"))
    assert told[0].startswith("authenticity OFF in arrangement ")
    assert any(line.startswith("restore ordered for seat ") for line in told)
    assert any(line.endswith("restored; had changed: layer.2.weight") for line in told)
    assert sum(line.startswith("authenticity ON again in arrangement ") for line in told) == 1


def test_dispute_verdict_and_timeout_are_told() -> None:
    script = ring()
    script.submit().open_route().post().post().contradict(LIE).judge(receiver=True)
    script.submit().open_route().post_run(2).time_out()
    assert told_of(script) == [
        "query 1: dispute at hop 2: its output is not what hop 1 expected",
        "query 1: verdict: hop 1 acquitted, hop 2 guilty",
        "query 2: timeout: hop 2 did not act before its deadline",
    ]


def test_node_that_is_away_is_said_once_and_what_happened_meanwhile_is_told() -> None:
    script = ring()
    script.submit().open_route().post_run(2).time_out()
    node, told = FakeNode(), list[str]()
    news = RingNews(node, NAMES, told.append)  # type: ignore[arg-type]
    node.is_away = True
    news.look()
    news.look()
    node.is_away, node.logged = False, [entry.logged for entry, _ in entries_of(script.calls)]
    news.look()
    assert told == [
        "the node is away: http://node: no node answers",
        "the node answers again",
        "query 1: timeout: hop 2 did not act before its deadline",
    ]
