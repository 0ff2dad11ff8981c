"""The relay over HTTP: `POST /updates` hands a signed update in, `GET /updates` waits for news.

Nobody has to log in: an update is taken for its signature, and what is given out will be public on the ledger.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deepring_chain.actors.relay.relay import LARGEST_UPDATE, Relay
from deepring_chain.errors import ConfigError, DeepRingError, ProtocolError
from deepring_chain.host_header import OwnNameOnly, is_loopback
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.update import decode_signed_update
from deepring_chain.ring.options import relay_place
from deepring_chain.types import Address, SignedUpdate

LONGEST_WAIT = 20.0
"""Seconds that a reader without news is kept waiting."""

LATER_SECONDS = 1.0
"""A reader whose turn it is not is told after this, of all that came meanwhile: it may have to settle it one day."""

MOST_CONNECTIONS = 1024
STOP_SECONDS = 3.0


class RelayServer:
    """Serves one relay. It is the ouroboros's own transport as well, without the network.

    Args:
        relay: what is served.
        url: http address to listen at.
        me: the ouroboros's account.
    """

    def __init__(self, relay: Relay, url: str, me: Address) -> None:
        self._relay = relay
        self._url = url
        self._me = me

    def send(self, signed: SignedUpdate) -> str:
        """Takes an update of the ouroboros's own in; why not, empty if it was taken."""
        try:
            self._relay.take(signed)
        except ProtocolError as error:
            return str(error)
        return ""

    def forget_ended(self, state: LedgerState) -> None:
        """Drops what was taken in of queries that have ended."""
        self._relay.forget_ended(state)

    @contextmanager
    def opened(self, wake: Callable[[], None]) -> Iterator[None]:
        """Serves as long as the block runs; the ouroboros is woken when it is its turn.

        Raises:
            ConfigError: the address cannot be listened at.
        """
        listener = _bind(self._url)
        waiting = _Waiting()
        server = uvicorn.Server(_configuration(_Endpoints(self._relay, waiting).app(relay_place(self._url)[0])))
        thread = threading.Thread(target=server.run, args=([listener],), name="relay", daemon=True)

        def wake_owner(due: Address | None) -> None:
            if due in (None, self._me):
                wake()

        with self._relay.listening(wake_owner), self._relay.listening(waiting.tell):
            thread.start()
            try:
                yield
            finally:
                server.should_exit = True
                waiting.end()
                thread.join(STOP_SECONDS)
                listener.close()


@dataclass(frozen=True, eq=False)
class _Reader:
    """Who waits for news: whose turn ends the wait at once; None if it is not said."""

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event
    account: str | None

    def tell(self, *, is_due: bool) -> None:
        """From any thread. Whose turn it is not reads a little later, much in one answer."""
        if self.loop.is_closed():
            return
        if is_due:
            self.loop.call_soon_threadsafe(self.event.set)
        else:
            self.loop.call_soon_threadsafe(self.loop.call_later, LATER_SECONDS, self.event.set)


class _Waiting:
    """Readers that wait for news, in the server's event loop; told from any thread."""

    def __init__(self) -> None:
        self._readers: set[_Reader] = set()
        self._has_ended = False

    @contextmanager
    def reader(self, account: str | None) -> Iterator[asyncio.Event]:
        """An event that is set at the next news, also at those that come before it is waited for."""
        entry = _Reader(asyncio.get_running_loop(), asyncio.Event(), account)
        self._readers.add(entry)
        if self._has_ended:
            entry.event.set()
        try:
            yield entry.event
        finally:
            self._readers.discard(entry)

    def tell(self, due: Address | None) -> None:
        """There are news, after which it is somebody's turn."""
        for reader in list(self._readers):
            reader.tell(is_due=due is None or reader.account in (None, due))

    def end(self) -> None:
        """Nobody waits any more."""
        self._has_ended = True
        self.tell(None)


class _Endpoints:
    def __init__(self, relay: Relay, waiting: _Waiting) -> None:
        self._relay = relay
        self._waiting = waiting

    def app(self, listening: str) -> Starlette:
        # Workers elsewhere use names of which the ouroboros knows nothing; on the loopback interface there is none.
        guarded = [Middleware(OwnNameOnly, listening)] if is_loopback(listening) else []
        return Starlette(
            routes=[
                Route("/updates", self.take, methods=["POST"]),
                Route("/updates", self.give, methods=["GET"]),
            ],
            middleware=guarded,
        )

    async def take(self, request: Request) -> Response:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_UPDATE:
                return PlainTextResponse(f"larger than {LARGEST_UPDATE} bytes", 413)
        try:
            await run_in_threadpool(self._take, data)
        except DeepRingError as error:
            return PlainTextResponse(str(error), 409)
        return Response(status_code=204)

    def _take(self, data: bytes) -> None:
        self._relay.take(decode_signed_update(data))

    async def give(self, request: Request) -> Response:
        try:
            epoch, after = bytes.fromhex(request.query_params["epoch"]), int(request.query_params["after"])
        except (LookupError, ValueError):
            return PlainTextResponse("epoch: hexadecimal, after: a number", 400)
        with self._waiting.reader(request.query_params.get("account")) as told:
            news = self._relay.read(epoch, after)
            if news is None:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(told.wait(), LONGEST_WAIT)
                news = self._relay.read(epoch, after)
        return Response(status_code=204) if news is None else Response(news, media_type="application/cbor")


def _bind(url: str) -> socket.socket:
    host, port = relay_place(url)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sends what is written at once; else an answer's body waits 40 ms behind its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"relay {url}: cannot be served ({error.strerror}); choose another --relay address") from None
    return listener


def _configuration(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
