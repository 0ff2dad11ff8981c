"""Connecting to an EVM node over JSON-RPC, with the node's failures as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import requests
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, BadResponseFormat, Web3RPCError, Web3ValueError
from web3.providers.rpc.utils import ExceptionRetryConfiguration

from deepring_chain.chain.errors import NodeSilent, NodeUnreachable, TransactionFailed, WrongChain
from deepring_chain.errors import ChainError

REQUEST_TIMEOUT = 20.0
"""Seconds after which a node that does not answer counts as unreachable."""

SECRET_LENGTH = 20
"""A part of a path that is so long is a provider's key."""


def connect(
    url: str, chain_id: int | None = None, *, timeout: float = REQUEST_TIMEOUT, may_repeat: bool = True
) -> Web3:
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
    web3 = Web3(
        Web3.HTTPProvider(
            url,
            request_kwargs={"timeout": timeout},
            session=_session_for(url),
            exception_retry_configuration=repeating if may_repeat else None,
        )
    )
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
    except ValueError:
        return url
    path = parts.path
    if host:
        path = "/".join("***" if len(part) >= SECRET_LENGTH else part for part in path.split("/"))
    hidden = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, hidden + host, path, "***" if parts.query else "", ""))


def _session_for(url: str) -> requests.Session:
    """A node on this machine is never behind a proxy; looking for one takes a sixth of each request's time."""
    session = requests.Session()
    session.trust_env = urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}
    return session


@contextmanager
def node_errors(url: str) -> Iterator[None]:
    """Turns what web3 and requests raise for a bad or absent node into `ChainError`s that name `url`."""
    url = shown_url(url)
    try:
        yield
    except requests.exceptions.ReadTimeout:
        raise NodeSilent(f"{url}: no node answers (ReadTimeout); it hangs, or name another with --rpc") from None
    except requests.exceptions.RequestException as error:
        reason = type(error).__name__
        raise NodeUnreachable(f"{url}: no node answers ({reason}); start one, or name another with --rpc") from None
    except (BadResponseFormat, ValueError) as error:
        if isinstance(error, Web3ValueError | BadFunctionCallOutput):
            raise ChainError(f"{url}: unusable answer from the node ({error})") from None
        raise NodeUnreachable(f"{url}: what answers there is no Ethereum node ({error})") from None
    except Web3RPCError as error:
        raise TransactionFailed(f"{url}: the node refused: {_message(error)}") from None


def _message(error: Web3RPCError) -> str:
    response = error.rpc_response or {}
    detail = response.get("error")
    return str(detail.get("message", detail)) if isinstance(detail, dict) else str(error)
