"""A node that answers one actor's requests as it likes, at the level of JSON-RPC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deepring_chain.chain.ports import Ledger

Lie = Callable[[str, list[Any], Any], Any]
"""(method, parameters, true result) -> what the node says."""


@contextmanager
def lying(client: Ledger, lie: Lie) -> Iterator[None]:
    """The client's node lies for a while."""
    opened: Any = client
    provider = opened.web3.provider
    honest = provider._make_request

    def answer(method: str, request: bytes) -> bytes:
        response = json.loads(honest(method, request))
        if "result" in response:
            response["result"] = lie(method, json.loads(request)["params"], response["result"])
        return json.dumps(response).encode()

    provider._make_request = answer
    try:
        yield
    finally:
        del provider._make_request


def about_logs(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Lie:
    """A lie about what happened."""
    return lambda method, _params, result: change(result) if method == "eth_getLogs" else result
