"""A node's announcements of new blocks over WebSocket (`eth_subscribe`), so that nobody has to keep asking.

An announcement says that it is time to look, and where its block stands; what happened in the block is read by HTTP, as
without it. A node that announces nothing, or a connection that is lost, costs nothing but time: whoever waits here then
asks again and again as before.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from web3 import Web3
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from deepring_chain.chain.block_place import BlockPlace, read_header
from deepring_chain.chain.connection import Node, NoHeads, is_loopback, shown_url

LOG = logging.getLogger(__name__)

OPEN_SECONDS = 5.0
"""A node that has not answered by then offers no subscription."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds until a lost connection is tried again."""

BLOCKS_KEPT = 64
"""Announced blocks whose places are remembered: an actor that is further behind asks the node."""

MAX_MESSAGE = 2**20
"""Bytes of an announcement: a block's header has about 2,000."""


class HeadFeed:
    """Announcements of one node, for as long as the `with` block runs.

    Args:
        url: the node's JSON-RPC address (http or https); WebSocket is served at the same place.
        on_news: called, in a thread of its own, for each block, and when the feed begins or ends.

    Attributes:
        count: how many blocks were announced so far.
    """

    def __init__(self, url: str, on_news: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._on_news = on_news
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._connection: Connection | None = None
        self._is_live = False
        self._told = ""
        self._suspected: int | None = None
        self._newest: deque[BlockPlace] = deque(maxlen=BLOCKS_KEPT)
        self.count = 0

    def __enter__(self) -> HeadFeed:
        threading.Thread(target=self._run, name="heads", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._drop()

    @property
    def is_live(self) -> bool:
        """Whether new blocks are announced just now."""
        return self._is_live

    @property
    def newest(self) -> Sequence[BlockPlace]:
        """The blocks that were announced last, oldest first; empty if the last announcement told no block."""
        with self._changed:
            return tuple(self._newest)

    def wait(self, seen: int, seconds: float) -> bool:
        """Waits for a block after the first `seen` ones; returns whether there is one.

        It returns early, too, when the feed begins or ends.
        """
        with self._changed:
            was_live = self._is_live
            self._changed.wait_for(lambda: self.count != seen or self._is_live != was_live, seconds)
            return self.count != seen

    def suspect(self) -> None:
        """Somebody found a block that was not announced. The second time without any announcement, it connects anew."""
        if not self._is_live:
            return
        if self._suspected == self.count:
            self._suspected = None
            LOG.warning("%s: the subscription to new blocks is silent; connecting anew", shown_url(self._url))
            self._drop()
        else:
            self._suspected = self.count

    # ------------------------------------------------------------------ in the feed's own thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._follow()
                reason = "closed"
            except (OSError, WebSocketException, ValueError, TypeError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
            self._ended(reason)
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            self._closed.wait(pause)

    def _follow(self) -> None:
        with _connect(self._url) as socket:
            self._connection = socket
            self._subscribe(socket)
            self._set_live(is_live=True)
            for message in socket:
                told = _read(message)
                if told.get("method") == "eth_subscription":
                    self._announce(told.get("params"))

    def _subscribe(self, socket: Connection) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        socket.send(json.dumps(request))
        answer = _read(socket.recv(OPEN_SECONDS))
        if "result" not in answer:
            raise ValueError(f"the node refused: {answer.get('error')}")

    def _announce(self, told: Any) -> None:
        try:
            place = read_header(told["result"])
        except (KeyError, TypeError, ValueError, AttributeError):
            place = None  # an announcement all the same: who looks will ask
        with self._changed:
            if place is None:
                self._newest.clear()
            else:
                self._newest.append(place)
            self.count += 1
            self._changed.notify_all()
        self._on_news()

    def _set_live(self, *, is_live: bool) -> None:
        with self._changed:
            self._is_live = is_live
            self._changed.notify_all()
        if is_live:
            LOG.info("%s announces its blocks", shown_url(self._url))
            self._told = ""
        self._on_news()

    def _ended(self, reason: str) -> None:
        """Says once what became of the subscription."""
        self._connection = None
        with self._changed:
            self._newest.clear()
        if self._is_live:
            self._set_live(is_live=False)
        if not self._told and not self._closed.is_set():
            self._told = reason
            LOG.warning("%s: no subscription to new blocks (%s); polling until there is", shown_url(self._url), reason)

    def _drop(self) -> None:
        connection = self._connection
        if connection is not None:
            with suppress(OSError, WebSocketException):
                connection.close()


@contextmanager
def follow_heads(web3: Web3, on_news: Callable[[], None] = lambda: None) -> Iterator[HeadFeed]:
    """Listens to the node of a connection; transactions over that connection then know when to look for a receipt."""
    with HeadFeed(str(getattr(web3.provider, "endpoint_uri", "")), on_news) as heads:
        if isinstance(web3, Node):
            web3.heads = heads
        try:
            yield heads
        finally:
            if isinstance(web3, Node):
                web3.heads = NoHeads()


def _connect(url: str) -> Connection:
    address = _websocket_url(url)
    if is_loopback(url):  # never behind a proxy
        return connect(address, open_timeout=OPEN_SECONDS, max_size=MAX_MESSAGE, proxy=None)
    return connect(address, open_timeout=OPEN_SECONDS, max_size=MAX_MESSAGE)


def _read(message: str | bytes) -> dict[str, Any]:
    """A JSON-RPC message; a node may send anything."""
    try:
        read = json.loads(message)
    except RecursionError:
        read = None
    if not isinstance(read, dict):
        raise TypeError("what the node sends is no JSON-RPC")
    return read


def _websocket_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme={"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)))
