"""Connecting to an EVM node over JSON-RPC, with the node's failures as one clear line."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, BadResponseFormat, Web3RPCError, Web3ValueError
from web3.providers.rpc.utils import ExceptionRetryConfiguration

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import NodeSilent, NodeUnreachable, TransactionFailed, WrongChain
from deepring_chain.errors import ChainError

REQUEST_TIMEOUT = 20.0
"""Seconds after which a node that does not answer counts as unreachable."""

UNUSABLE = (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
"""What web3 raises for answers of a form that no node gives."""

ELSEWHERE = "with --rpc, or as rpc_url in deployment.toml"
"""How any command is told of another node; some have no --rpc."""

MAX_CONNECTIONS = 32
"""That are kept open to a node: one for each thread that may be speaking to it."""

NEEDLESS = ("validation", "ens_name_to_address", "gas_price_strategy")
"""Layers of web3 that do nothing for us; the first asks the node for its chain before each estimate and each call."""

SECRET_LENGTH = 20
"""A part of a path that is so long is a provider's key."""


class Heads(Protocol):
    """Announcements of new blocks (`chain.subscription.HeadFeed`)."""

    @property
    def is_live(self) -> bool:
        """Whether new blocks are announced just now."""

    @property
    def count(self) -> int:
        """How many were announced so far."""

    @property
    def newest(self) -> Sequence[BlockPlace]:
        """The last ones without a gap in what was heard, oldest first; empty if what was announced tells no place."""

    def wait(self, seen: int, seconds: float) -> bool:
        """Waits for a block after the first `seen` ones."""

    def suspect(self) -> None:
        """Somebody found a block that was not announced."""


class NoHeads:
    """Nothing is announced: whoever waits for a block has to ask."""

    is_live = False
    count = 0
    newest: Sequence[BlockPlace] = ()

    def wait(self, seen: int, seconds: float) -> bool:
        """Waits in vain."""
        time.sleep(seconds)
        return seen < self.count

    def suspect(self) -> None:
        """There is nothing to suspect."""


class Node(Web3):
    """A connection to a node.

    Attributes:
        heads: the node's announcements of new blocks, if somebody listens to them: they save asking for receipts.
    """

    heads: Heads = NoHeads()


def heads_of(web3: Web3) -> Heads:
    """The announcements that belong to a connection."""
    return web3.heads if isinstance(web3, Node) else NoHeads()


def connect(
    url: str, chain_id: int | None = None, *, timeout: float = REQUEST_TIMEOUT, may_repeat: bool = True
) -> Node:
    """Connects to the node at `url` (http or https).

    Args:
        url: JSON-RPC address.
        chain_id: the chain that the node must be on, if one is expected.
        timeout: seconds for each request.
        may_repeat: send a request that failed again, as web3 does: five times, which takes as many timeouts.

    Raises:
        NodeUnreachable: nothing that speaks JSON-RPC answers there.
        WrongChain: the node is on another chain.
    """
    if not url.startswith(("http://", "https://")):
        raise NodeUnreachable(f"{shown_url(url)}: not an http:// or https:// address of a node")
    repeating = ExceptionRetryConfiguration(errors=(ConnectionError, requests.HTTPError, requests.Timeout))
    web3 = Node(
        Web3.HTTPProvider(
            url,
            request_kwargs={"timeout": timeout},
            session=_session_for(url),
            exception_retry_configuration=repeating if may_repeat else None,
        )
    )
    for needless in NEEDLESS:
        web3.middleware_onion.remove(needless)
    with node_errors(url):
        actual = web3.eth.chain_id
    if chain_id is not None and actual != chain_id:
        raise WrongChain(
            f"{shown_url(url)}: the node is on chain {actual}, the ring on chain {chain_id}; name the right node"
        )
    return web3


def shown_url(url: str) -> str:
    """A node's address as it may be shown and logged: providers put passwords and keys into all parts but the host."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:  # no address at all; what may be a secret in it is hidden all the same
        scheme, mark, rest = url.partition("//")
        return f"{scheme}{mark}{rest.rpartition('@')[2].partition('?')[0]}"
    path = parts.path
    if host:
        path = "/".join("***" if len(part) >= SECRET_LENGTH else part for part in path.split("/"))
    hidden = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, hidden + host, path, "***" if parts.query else "", ""))


def _session_for(url: str) -> requests.Session:
    """A node on this machine is never behind a proxy; looking for one takes a sixth of each request's time."""
    try:
        if is_loopback(url):
            return _LoopbackSession()
    except ValueError as error:
        raise NodeUnreachable(f"{shown_url(url)}: not an address of a node ({error})") from None
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))
    return session


class _LoopbackSession(requests.Session):
    """Posts without what a node on this machine has no use for: proxies, cookies, redirects, authentication.

    That is most of a small request's time. Errors are those of `requests`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pool = urllib3.PoolManager(maxsize=MAX_CONNECTIONS, retries=False)

    def post(self, url: str | bytes, data: Any = None, json: Any = None, **options: Any) -> requests.Response:  # noqa: ARG002
        """Sends `data` as it is."""
        chosen = {"headers": options.get("headers"), "timeout": options.get("timeout", REQUEST_TIMEOUT)}
        try:
            answer = self._pool.request("POST", str(url), body=data, redirect=False, **chosen)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.ReadTimeout(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ConnectionError(error) from None
        response = requests.Response()
        response.status_code, response.reason, response.url = answer.status, answer.reason or "", str(url)
        response.raw = io.BytesIO(answer.data)
        return response


def is_loopback(url: str) -> bool:
    """Whether a node runs on this machine."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


@contextmanager
def node_errors(url: str) -> Iterator[None]:
    """Turns what web3 and requests raise for a bad or absent node into `ChainError`s that name `url`."""
    url = shown_url(url)
    try:
        yield
    except requests.exceptions.ReadTimeout:
        raise NodeSilent(f"{url}: no node answers (ReadTimeout); it hangs; or name another, {ELSEWHERE}") from None
    except requests.exceptions.RequestException as error:
        reason = type(error).__name__
        raise NodeUnreachable(f"{url}: no node answers ({reason}); start it, or name another, {ELSEWHERE}") from None
    except (BadResponseFormat, ValueError) as error:
        if isinstance(error, Web3ValueError | BadFunctionCallOutput):
            raise ChainError(f"{url}: unusable answer from the node ({_one_line(error)})") from None
        raise NodeUnreachable(f"{url}: what answers there is no Ethereum node ({_one_line(error)})") from None
    except Web3RPCError as error:
        raise TransactionFailed(f"{url}: the node refused: {_one_line(_message(error))}") from None
    except UNUSABLE as error:
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise ChainError(f"{url}: unusable answer from the node ({reason})") from None


def _message(error: Web3RPCError) -> str:
    response = error.rpc_response or {}
    detail = response.get("error")
    return str(detail.get("message", detail)) if isinstance(detail, dict) else str(error)


def _one_line(reason: object) -> str:
    """What a node says, or what an error quotes of it, may be long."""
    return " ".join(str(reason).split())[:300]
