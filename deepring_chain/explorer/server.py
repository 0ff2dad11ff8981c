"""The explorer's web server: loopback only, reads only, no script or style but its own."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepring_chain.errors import ConfigError
from deepring_chain.explorer.pages import Context, environment, error_page, query_page, ring_page, static_text
from deepring_chain.explorer.watcher import Watcher
from deepring_chain.host_header import OwnNameOnly
from deepring_chain.types import QueryId

HOST = "127.0.0.1"
STOP_SECONDS = 3.0
LARGEST_REQUEST = 16_384
MOST_CONNECTIONS = 64
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

STATIC: Final = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


class SafeHeaders:
    """Puts the same headers on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Explorer:
    """The pages over one watcher."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._templates = environment()
        self._token = secrets.token_hex(4)

    def app(self) -> Starlette:
        """The application."""
        return Starlette(
            routes=[
                Route("/", self.ring),
                Route("/query/{query}", self.query),
                Route("/static/{name}", self.static),
            ],
            middleware=[
                Middleware(SafeHeaders),
                Middleware(OwnNameOnly, HOST),
            ],
            exception_handlers={HTTPException: self.refuse},
        )

    def ring(self, request: Request) -> Response:
        """The ring's page."""
        before = _positive(request.query_params.get("before"))
        return self._answer(request, lambda context: ring_page(self._templates, context, before))

    def query(self, request: Request) -> Response:
        """A query's page."""
        query = QueryId(_positive(request.path_params["query"]) or 0)
        return self._answer(request, lambda context: query_page(self._templates, context, query))

    def static(self, request: Request) -> Response:
        """One of three files; no name is ever looked up on the disk."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404, "There is no such file.")
        return Response(static_text(name), media_type=STATIC[name])

    def refuse(self, _request: Request, error: Exception) -> Response:
        """An error as a page."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else "The explorer failed."
        return HTMLResponse(error_page(self._templates, status, detail), status)

    def _answer(self, request: Request, render: Callable[[Context], str | None]) -> Response:
        """The page, or an empty answer if the reader has it already."""
        version = f'"{self._token}.{self._watcher.version}"'
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"ETag": version})
        source, blobs = self._watcher.source, self._watcher.blobs
        with self._watcher.reading() as (record, remarks):
            page = render(Context(record, source.names, blobs, remarks, source.where, version))
        if page is None:
            raise HTTPException(404, "The ledger has no such query, or it is not read yet.")
        return HTMLResponse(page, headers={"ETag": version})


def _positive(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def bind(port: int) -> socket.socket:
    """A socket on the loopback interface, and on no other.

    Args:
        port: 0 for a free one.

    Raises:
        ConfigError: the port is taken.
    """
    # With the protocol named asyncio sends what is written at once; else an answer's body waits 40 ms behind its head.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # whoever comes before the server runs waits a moment
    except OSError as error:
        listener.close()
        raise ConfigError(f"port {port}: {error.strerror}; name another one with --port") from None
    return listener


@contextmanager
def serving(watcher: Watcher, port: int) -> Iterator[str]:
    """Follows the ledger and serves the pages for as long as the block lasts.

    Args:
        watcher: not started yet.
        port: 0 for a free one.

    Yields:
        The address to open.
    """
    listener = bind(port)
    server = make_server(watcher)
    thread = threading.Thread(target=server.run, args=([listener],), name="explorer", daemon=True)
    watcher.start()
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        watcher.stop()
        listener.close()


def make_server(watcher: Watcher) -> uvicorn.Server:
    """A server that is not started yet. It trusts no proxy, says nothing of itself and bounds what it takes in."""
    config = uvicorn.Config(
        Explorer(watcher).app(),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        h11_max_incomplete_event_size=LARGEST_REQUEST,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
