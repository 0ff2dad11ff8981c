"""Following the ledger: each event once, in order, and everything anew when the chain was another one."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.errors import ChainError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.events import ModelRegistered, WorkerAdmitted
from deepring_chain.types import Address, Digest, ModelRoot, Pointer, SealingKey
from tests.unit.actors.fake_client import FakeClient
from tests.unit.actors.fake_ledger import FakeLedger
from tests.unit.actors.fake_ring import make_keys

KEY = Digest(bytes([7]) * 32)
MEMBERS = [make_keys(number).address for number in range(1, 8)]


@pytest.fixture
def ledger() -> FakeLedger:
    found = FakeLedger(MEMBERS[0])
    found.emit(ModelRegistered(1, ModelRoot(KEY), Pointer(KEY), 2))
    found.emit(WorkerAdmitted(MEMBERS[0], SealingKey(KEY)))
    return found


def follow(ledger: FakeLedger, first_block: int = 1) -> tuple[LedgerFollower, FakeClient]:
    client: Any = FakeClient(ledger, MEMBERS[0])
    return LedgerFollower(client, first_block), client


def admit(ledger: FakeLedger, *numbers: int) -> None:
    for number in numbers:
        ledger.emit(WorkerAdmitted(MEMBERS[number], SealingKey(KEY)))


def known(follower: LedgerFollower) -> list[Address]:
    return list(follower.state.sealing_keys)


def test_first_refresh_reads_from_the_first_block(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    assert follower.refresh()
    assert follower.state.model is not None
    assert known(follower) == MEMBERS[:1]
    assert client.ranges == [(1, 2)]


def test_first_block_is_where_the_ledger_begins(ledger: FakeLedger) -> None:
    follower, client = follow(ledger, first_block=2)
    follower.refresh()
    assert client.ranges == [(2, 2)]
    assert follower.state.model is None


def test_each_event_is_taken_in_once(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2)
    assert follower.refresh()
    admit(ledger, 3)
    assert follower.refresh()
    assert known(follower) == MEMBERS[:4]
    assert client.ranges == [(1, 2), (3, 4), (5, 5)]


def test_nothing_new_is_nothing_read(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    assert not follower.refresh()
    assert len(client.ranges) == 1


def test_chain_set_back_is_read_anew(ledger: FakeLedger, caplog: pytest.LogCaptureFixture) -> None:
    """A node is restarted from an older state: what it does not tell any more did not happen."""
    admit(ledger, 1, 2, 3)
    follower, client = follow(ledger)
    follower.refresh()
    ledger.set_back(3)
    with caplog.at_level(logging.WARNING):
        assert follower.refresh()
    assert known(follower) == MEMBERS[:2]
    assert client.ranges[-1] == (1, 3)
    assert "reorganized below block 5" in caplog.text


def test_other_block_at_the_same_height_is_read_anew(ledger: FakeLedger) -> None:
    """A reorganization exchanges the newest block for another one: same number, other hash, other events."""
    admit(ledger, 1)
    follower, client = follow(ledger)
    follower.refresh()
    ledger.set_back(2)
    admit(ledger, 4)
    assert follower.refresh()
    assert known(follower) == [MEMBERS[0], MEMBERS[4]]
    assert client.ranges[-1] == (1, 3)


def test_longer_chain_with_another_past_is_read_anew(ledger: FakeLedger) -> None:
    """A reorganization replaces blocks that were taken in, and the new chain is longer already."""
    admit(ledger, 1)
    follower, client = follow(ledger)
    follower.refresh()
    ledger.set_back(2)
    admit(ledger, 4, 5, 6)
    assert follower.refresh()
    assert known(follower) == [MEMBERS[0], *MEMBERS[4:7]]
    assert client.ranges[-1] == (1, 5)


def test_after_a_reorganization_it_goes_on_from_there(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    ledger.set_back(1)
    admit(ledger, 1, 2)
    follower.refresh()
    admit(ledger, 3)
    assert follower.refresh()
    assert not follower.refresh()
    assert client.ranges[-1] == (4, 4)
    assert known(follower) == MEMBERS[1:4]


def test_next_block_says_itself_what_it_follows(ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node tells each block's parent: where that is the last block that was read, no other need be asked for."""
    follower, client = follow(ledger)
    follower.refresh()
    before = client.head()
    admit(ledger, 1)
    asked = heads_with_parent(client, monkeypatch, before.block_hash)
    assert follower.refresh()
    assert asked == []
    assert known(follower) == MEMBERS[:2]


def test_next_block_with_another_parent_is_a_reorganization(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    ledger.set_back(1)
    admit(ledger, 1, 2)
    heads_with_parent(client, monkeypatch, client.block_at(2).block_hash)
    assert follower.refresh()
    assert known(follower) == MEMBERS[1:3]


def heads_with_parent(client: FakeClient, patch: pytest.MonkeyPatch, parent: Digest) -> list[int]:
    """Has the newest block name its parent; returns the numbers of the other blocks that are asked for."""
    asked: list[int] = []
    head, block_at = client.head(), client.block_at

    def ask(number: int) -> BlockPlace:
        asked.append(number)
        return block_at(number)

    patch.setattr(client, "head", lambda: replace(head, parent=parent))
    patch.setattr(client, "block_at", ask)
    return asked


def test_node_that_fails_midway_loses_no_event(ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1)

    def fail(first_block: int, last_block: int) -> Any:
        raise ChainError("away")

    with monkeypatch.context() as patch:
        patch.setattr(client, "events", fail)
        with pytest.raises(ChainError, match="away"):
            follower.refresh()
    assert known(follower) == MEMBERS[:1]
    assert follower.refresh()
    assert known(follower) == MEMBERS[:2]


# ---------------------------------------------------------------- announced blocks


def announced(ledger: FakeLedger, first: int, last: int) -> list[BlockPlace]:
    return [ledger.announcement(number) for number in range(first, last + 1)]


@pytest.fixture
def heads_asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks that the node is asked for."""
    asked: list[int] = []
    block_at = FakeClient.block_at

    def ask(client: FakeClient, number: int) -> BlockPlace:
        asked.append(number)
        return block_at(client, number)

    monkeypatch.setattr(FakeClient, "block_at", ask)
    return asked


def test_announced_blocks_are_read_one_by_one_and_no_head_is_asked_for(
    ledger: FakeLedger, heads_asked: list[int]
) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2)
    heads_asked.clear()
    assert follower.refresh(announced(ledger, 1, 4))
    assert known(follower) == MEMBERS[:3]
    assert (client.singles, heads_asked) == ([3, 4], [])
    assert client.block_time(4) == ledger.times[4]


def test_announced_block_that_is_known_already_needs_no_request(ledger: FakeLedger, heads_asked: list[int]) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    heads_asked.clear()
    assert not follower.refresh(announced(ledger, 1, 2))
    assert (client.singles, heads_asked) == ([], [])


def test_first_refresh_does_not_begin_with_an_announced_block(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    assert follower.refresh(announced(ledger, 2, 2))
    assert client.ranges == [(1, 2)]


def test_gap_before_the_announced_blocks_is_read_from_the_node(ledger: FakeLedger) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2, 3)
    assert follower.refresh(announced(ledger, 4, 5))
    assert known(follower) == MEMBERS[:4]
    assert client.singles == []


def test_announcements_that_lag_behind_do_not_hide_what_the_node_has(ledger: FakeLedger) -> None:
    follower, _ = follow(ledger)
    admit(ledger, 1)
    follower.refresh()
    admit(ledger, 2)
    assert follower.refresh(announced(ledger, 1, 2))
    assert known(follower) == MEMBERS[:3]


def test_announced_reorganization_makes_it_start_anew(ledger: FakeLedger) -> None:
    follower, _ = follow(ledger)
    admit(ledger, 1)
    heard = announced(ledger, 1, 3)
    follower.refresh(heard)
    ledger.set_back(2)
    admit(ledger, 2, 3)
    assert follower.refresh([*heard, *announced(ledger, 3, 4)])
    assert known(follower) == [MEMBERS[0], *MEMBERS[2:4]]


def test_announced_block_of_another_fork_is_not_taken_for_the_next_one(ledger: FakeLedger) -> None:
    """Mallory's node announces a block that does not follow: the chain is asked, and has none of it."""
    follower, client = follow(ledger)
    follower.refresh()
    false = BlockPlace(3, KEY, KEY, 7)
    assert not follower.refresh([false])
    assert client.singles == []
    admit(ledger, 1)
    assert follower.refresh([false, *announced(ledger, 3, 3)])
    assert known(follower) == MEMBERS[:2]


def test_node_that_fails_between_announced_blocks_loses_no_event(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2)
    events_of = client.events_of

    def fail_at_4(block: BlockPlace) -> Any:
        if block.number == 4:
            raise ChainError("away")
        return events_of(block)

    with monkeypatch.context() as patch:
        patch.setattr(client, "events_of", fail_at_4)
        with pytest.raises(ChainError, match="away"):
            follower.refresh(announced(ledger, 1, 4))
    assert known(follower) == MEMBERS[:2]
    assert follower.refresh(announced(ledger, 1, 4))
    assert known(follower) == MEMBERS[:3]


def test_announced_block_that_is_gone_when_it_is_read_has_the_node_asked_what_there_is(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A querent who waits for an answer would else be told that the node refused, and hear no more of it."""
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2)
    heard = announced(ledger, 1, 4)
    ledger.set_back(2)
    admit(ledger, 3)
    refuse_blocks_that_are_gone(ledger, client, monkeypatch)
    assert follower.refresh(heard)
    assert known(follower) == [MEMBERS[0], MEMBERS[3]]
    assert client.block_time(3) == ledger.times[3]


def test_announced_block_is_news_although_the_next_one_is_gone(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, client = follow(ledger)
    follower.refresh()
    admit(ledger, 1, 2)
    heard = announced(ledger, 1, 4)
    ledger.set_back(3)
    refuse_blocks_that_are_gone(ledger, client, monkeypatch)
    assert follower.refresh(heard)
    assert known(follower) == MEMBERS[:2]


def refuse_blocks_that_are_gone(ledger: FakeLedger, client: FakeClient, patch: pytest.MonkeyPatch) -> None:
    """As geth does when it is asked for a block's logs by hash."""
    events_of = client.events_of

    def refuse(block: BlockPlace) -> Any:
        if block.block_hash not in ledger.hashes:
            raise TransactionFailed("the node refused: unknown block")
        return events_of(block)

    patch.setattr(client, "events_of", refuse)
