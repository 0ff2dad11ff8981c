"""A node's announcements: heard, missed, refused, lost and found again."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.connection import Connection
from websockets.sync.server import Server, ServerConnection, serve

from deepring_chain.chain import subscription as module
from deepring_chain.chain.connection import Node, NoHeads, heads_of
from deepring_chain.chain.subscription import HeadFeed, follow_heads
from tests.waiting import FOREVER, wait_until

HEAD = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {"number": "0x1"}}}


class ScriptedNode:
    """A WebSocket server that does as it is told."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer or {"result": "0x1"}
        self.asked: list[dict[str, Any]] = []
        self._sockets: list[ServerConnection] = []
        self._server: Server | None = None
        self.port = 0

    def start(self) -> None:
        self._server = serve(self._serve, "127.0.0.1", self.port)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
        self.hang_up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def announce(self, message: object = HEAD) -> None:
        for listener in self._sockets:
            with suppress(ConnectionClosed):  # an earlier one
                listener.send(json.dumps(message))

    def hang_up(self) -> None:
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()

    def _serve(self, listener: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            self.asked.append(json.loads(listener.recv(FOREVER)))
            self._sockets.append(listener)
            listener.send(json.dumps({"jsonrpc": "2.0", "id": 1, **self.answer}))
            for _ in listener:
                pass


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where feeds tried to connect to, each time that they did."""
    found, connect = list[str](), module._connect

    def noted(url: str) -> Connection:
        found.append(url)
        return connect(url)

    monkeypatch.setattr(module, "_connect", noted)
    return found


@pytest.fixture
def node() -> Iterator[ScriptedNode]:
    found = ScriptedNode()
    found.start()
    yield found
    found.stop()


def told_of(url: str, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Levels and texts; the feed of an earlier test may still have a last word to say of its own node."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if url in record.getMessage()]


@contextmanager
def live(node: ScriptedNode, on_news: Callable[[], None] = lambda: None) -> Iterator[HeadFeed]:
    with HeadFeed(node.url, on_news) as feed:
        wait_until(lambda: feed.is_live)
        yield feed


def test_each_block_is_news(node: ScriptedNode) -> None:
    heard: list[int] = []
    with live(node, lambda: heard.append(1)) as feed:
        before = len(heard)
        for number in range(3):
            node.announce()
            assert feed.wait(number, FOREVER)
        wait_until(lambda: len(heard) == before + 3)
        assert feed.count == 3
    assert [asked["params"] for asked in node.asked] == [["newHeads"]]


def announcement(number: int) -> dict[str, Any]:
    header = {"number": hex(number), "timestamp": hex(1000 + number), "hash": block_hash(number)}
    params = {"subscription": "0x1", "result": {**header, "parentHash": block_hash(number - 1)}}
    return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}


def block_hash(number: int) -> str:
    return "0x" + number.to_bytes(32, "big").hex()


def hear(node: ScriptedNode, feed: HeadFeed, *messages: dict[str, Any]) -> None:
    before = feed.count
    for message in messages:
        node.announce(message)
    wait_until(lambda: feed.count == before + len(messages))


def test_announced_blocks_are_told_with_their_places(node: ScriptedNode) -> None:
    with live(node) as feed:
        hear(node, feed, *(announcement(number) for number in (7, 8)))
        first, second = feed.newest
    assert (first.number, first.time, second.number, second.time) == (7, 1007, 8, 1008)
    assert second.follows(first)
    assert first.block_hash.hex() == block_hash(7)[2:]


def test_so_many_blocks_are_kept(node: ScriptedNode) -> None:
    with live(node) as feed:
        hear(node, feed, *(announcement(number) for number in range(1, module.BLOCKS_KEPT + 3)))
        assert [place.number for place in feed.newest] == list(range(3, module.BLOCKS_KEPT + 3))


@pytest.mark.parametrize("name", ["number", "timestamp", "hash", "parentHash"])
@pytest.mark.parametrize("value", [None, 7, "", "0x", "0xzz", "0x1ff"[:4] * 30])
def test_announcement_that_is_no_header_counts_and_tells_no_block(node: ScriptedNode, name: str, value: object) -> None:
    with live(node) as feed:
        strange = announcement(8)
        strange["params"]["result"][name] = value
        hear(node, feed, announcement(7), strange)
        assert feed.newest == ()


def test_lost_connection_leaves_a_gap_in_what_was_heard(node: ScriptedNode) -> None:
    with live(node) as feed:
        hear(node, feed, announcement(7))
        node.hang_up()
        wait_until(lambda: not feed.newest)


def test_wait_without_a_block_ends_in_time(node: ScriptedNode) -> None:
    with live(node) as feed:
        assert not feed.wait(0, 0.01)


def test_block_announced_before_the_wait_ends_it(node: ScriptedNode) -> None:
    with live(node) as feed:
        node.announce()
        wait_until(lambda: feed.count == 1)
        assert feed.wait(0, FOREVER)


def test_other_messages_are_no_blocks(node: ScriptedNode) -> None:
    with live(node) as feed:
        node.announce({"jsonrpc": "2.0", "id": 7, "result": True})
        node.announce()
        assert feed.wait(0, FOREVER)
        assert feed.count == 1


@pytest.mark.parametrize("message", ["no object", 7, None, ["list"]])
def test_message_of_another_form_ends_the_connection_not_the_feed(node: ScriptedNode, message: object) -> None:
    with live(node) as feed:
        node.announce(message)
        wait_until(lambda: len(node.asked) > 1 and feed.is_live)
        node.announce()
        assert feed.wait(0, FOREVER)


def test_lost_connection_is_told_once_and_found_again(
    node: ScriptedNode, caplog: pytest.LogCaptureFixture, attempts: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    with live(node) as feed:
        node.stop()
        wait_until(lambda: not feed.is_live)
        before = len(attempts)
        wait_until(lambda: len(attempts) > before + 3)
        node.start()
        wait_until(lambda: feed.is_live)
        node.announce()
        assert feed.wait(0, FOREVER)
    assert [level for level, _ in told_of(node.url, caplog)] == ["INFO", "WARNING", "INFO"]


def test_end_of_the_feed_ends_a_wait(node: ScriptedNode) -> None:
    """Who waits for a receipt goes on by asking."""
    with live(node) as feed:
        threading.Timer(0.05, node.hang_up).start()
        assert not feed.wait(0, FOREVER)


def test_node_that_offers_no_subscription_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    refusing = ScriptedNode({"error": {"code": -32601, "message": "method not found"}})
    refusing.start()
    with HeadFeed(refusing.url) as feed:
        wait_until(lambda: len(refusing.asked) > 2)
        assert not feed.is_live
    refusing.stop()
    assert [text for _, text in told_of(refusing.url, caplog)] == [
        f"{refusing.url}: no subscription to new blocks (the node refused: "
        "{'code': -32601, 'message': 'method not found'}); polling until there is"
    ]


def test_absent_node_is_told_once(caplog: pytest.LogCaptureFixture, attempts: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with HeadFeed(url):
        wait_until(lambda: bool(told_of(url, caplog)))
        wait_until(lambda: attempts.count(url) > 3)
    ((level, text),) = told_of(url, caplog)
    assert level == "WARNING"
    assert "polling until there is" in text


def test_silent_subscription_is_renewed(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are found, and none is announced: the first time it may be on its way, the second time it is not."""
    with live(node) as feed, monkeypatch.context() as patched:
        patched.setattr(feed, "_drop", lambda: pytest.fail("dropped at the first suspicion"))
        feed.suspect()
        patched.undo()
        feed.suspect()
        wait_until(lambda: len(node.asked) == 2 and feed.is_live)


def test_announcement_clears_the_suspicion(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with live(node) as feed, monkeypatch.context() as patched:
        patched.setattr(feed, "_drop", lambda: pytest.fail("dropped at the first suspicion"))
        feed.suspect()
        node.announce()
        assert feed.wait(0, FOREVER)
        feed.suspect()


def test_connection_knows_its_announcements_while_they_are_followed(node: ScriptedNode) -> None:
    web3 = Node(Node.HTTPProvider(node.url))
    with follow_heads(web3) as feed:
        assert heads_of(web3) is feed
    assert isinstance(heads_of(web3), NoHeads)
    assert not heads_of(web3).wait(0, 0.0)
