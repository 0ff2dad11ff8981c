"""A node that answers what an input says, and a machine without a network."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import requests
from requests.adapters import HTTPAdapter

URL = "http://node.example:8545"
"""Not on this machine: there, requests are sent in another way."""


@contextmanager
def answering(bodies: Sequence[bytes]) -> Iterator[None]:
    """Every request is answered with the next of the bodies; the last one stays."""
    rest = list(bodies) or [b""]

    def send(_adapter: Any, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.url, response.request = 200, str(request.url), request
        response._content = rest.pop(0) if len(rest) > 1 else rest[0]
        return response

    with patch.object(HTTPAdapter, "send", send):
        yield


@contextmanager
def without_network() -> Iterator[None]:
    """No name is found and no connection is made."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no network here")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise requests.ConnectionError("no network here")

    with (
        patch.object(HTTPAdapter, "send", unreachable),
        patch.object(socket, "getaddrinfo", refuse),
        patch.object(socket.socket, "connect", refuse),
    ):
        yield
