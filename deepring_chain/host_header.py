"""Whether an HTTP request means this server, by its Host header; a defense against DNS rebinding.

A page elsewhere can have its own name point to this machine, and then reads what a server here answers, as if that came
from the page's own server. Its requests carry that name. An address in digits cannot be pointed elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

REFUSAL = b"this server is not called so: use its address in digits, or the name that it was started with\n"

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:,\s]+))(?::\d{1,5})?", re.ASCII)


def is_loopback(host: str) -> bool:
    """Whether a server that listens at `host` is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_server(header: str | None, listening: str) -> bool:
    """Whether a Host header names the server.

    Args:
        header: the header's value; None if the request has none.
        listening: the address or name that the server listens at. Beyond the loopback interface every address in
            digits is a name of the server, since it may have several, and so is the machine's name.
    """
    match = _HOST.fullmatch(header.strip()) if header is not None else None
    if match is None:
        return False
    host = (match[1] or match[2]).lower()
    if host in {listening.lower(), "localhost"}:
        return True
    return not is_loopback(listening) and (_is_address(host) or host == socket.gethostname().lower())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class OwnNameOnly:
    """Refuses requests that mean another server (ASGI middleware).

    Args:
        app: the application.
        listening: where the server listens.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], listening: str) -> None:
        self._app = app
        self._listening = listening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        named = [value.decode("latin-1") for name, value in scope.get("headers", []) if name.lower() == b"host"]
        if scope["type"] != "http" or (len(named) == 1 and names_server(named[0], self._listening)):
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(REFUSAL)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSAL})
