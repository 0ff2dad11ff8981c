"""When the ledger is read: for each announcement, after own deeds, and now and then in any case."""

from __future__ import annotations

from typing import cast

import pytest

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.subscription import HeadFeed
from deepring_chain.follow.watch import LOOK_SECONDS, Watch
from deepring_chain.types import ZERO


class Heads:
    """A node's announcements, as a script has them."""

    def __init__(self) -> None:
        self.is_live = True
        self.count = 0
        self.suspected = 0
        self.newest = (BlockPlace(7, ZERO),)

    def suspect(self) -> None:
        self.suspected += 1


class Loop:
    def __init__(self) -> None:
        self.heads = Heads()
        self.now = 100.0
        self.watch = Watch(cast("HeadFeed", self.heads), lambda: self.now)

    def turn(self, *, moved: bool = False) -> bool:
        """Whether it looked."""
        if not self.watch.is_due():
            return False
        self.watch.looked(moved=moved)
        return True


@pytest.fixture
def loop() -> Loop:
    found = Loop()
    assert found.turn(moved=True)
    return found


def test_nothing_announced_is_nothing_read(loop: Loop) -> None:
    assert not any(loop.turn() for _ in range(10))


def test_each_announcement_is_followed_by_a_look(loop: Loop) -> None:
    for _ in range(3):
        loop.heads.count += 1
        assert loop.turn(moved=True)
        assert not loop.turn()


def test_announcement_during_a_look_is_not_lost(loop: Loop) -> None:
    loop.heads.count += 1
    assert loop.watch.is_due()
    loop.heads.count += 1
    loop.watch.looked(moved=True)
    assert loop.turn()


def test_own_deed_is_followed_by_a_look(loop: Loop) -> None:
    loop.watch.look_again()
    assert loop.turn(moved=True)
    assert loop.heads.suspected == 0


def test_look_that_failed_is_made_again(loop: Loop) -> None:
    loop.heads.count += 1
    assert loop.watch.is_due()
    loop.watch.look_again()
    assert loop.watch.is_due()


def test_without_announcements_every_turn_is_a_look(loop: Loop) -> None:
    loop.heads.is_live = False
    assert all(loop.turn() for _ in range(5))
    assert loop.heads.suspected == 0


def test_silence_is_not_trusted_for_long(loop: Loop) -> None:
    loop.now += LOOK_SECONDS
    assert loop.turn()
    assert loop.heads.suspected == 0
    loop.now += LOOK_SECONDS
    assert loop.turn(moved=True)
    assert loop.heads.suspected == 1


def test_look_at_an_announcement_goes_by_it(loop: Loop) -> None:
    loop.heads.count += 1
    assert loop.watch.is_due()
    assert loop.watch.announced() == loop.heads.newest


def test_after_an_own_deed_the_node_is_asked(loop: Loop) -> None:
    """What was sent may not be announced yet, and what is due next depends on it."""
    loop.watch.look_again()
    loop.heads.count += 1
    assert loop.watch.is_due()
    assert loop.watch.announced() == ()
    loop.watch.looked(moved=True)
    loop.heads.count += 1
    assert loop.watch.is_due()
    assert loop.watch.announced() == loop.heads.newest


def test_overdue_look_asks_the_node(loop: Loop) -> None:
    loop.heads.count += 1
    loop.now += LOOK_SECONDS
    assert loop.watch.is_due()
    assert loop.watch.announced() == ()


def test_without_announcements_the_node_is_asked(loop: Loop) -> None:
    loop.heads.is_live = False
    assert loop.watch.is_due()
    assert loop.watch.announced() == ()
