"""Connecting to an EVM node over JSON-RPC, with the node's failures as one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, BadResponseFormat, Web3RPCError, Web3ValueError

from deepring_chain.chain.errors import NodeUnreachable, TransactionFailed, WrongChain
from deepring_chain.errors import ChainError

REQUEST_TIMEOUT = 20.0
"""Seconds after which a node that does not answer counts as unreachable."""


def connect(url: str, chain_id: int | None = None) -> Web3:
    """Connects to the node at `url` (http or https).

    Args:
        url: JSON-RPC address.
        chain_id: the chain that the node must be on, if one is expected.

    Raises:
        NodeUnreachable: nothing that speaks JSON-RPC answers there.
        WrongChain: the node is on another chain.
    """
    if not url.startswith(("http://", "https://")):
        raise NodeUnreachable(f"{url}: not an http:// or https:// address of a node")
    web3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": REQUEST_TIMEOUT}, session=_session_for(url)))
    with node_errors(url):
        actual = web3.eth.chain_id
    if chain_id is not None and actual != chain_id:
        raise WrongChain(f"{url}: the node is on chain {actual}, the ring on chain {chain_id}; name the right node")
    return web3


def _session_for(url: str) -> requests.Session:
    """A node on this machine is never behind a proxy; looking for one takes a sixth of each request's time."""
    session = requests.Session()
    session.trust_env = urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}
    return session


@contextmanager
def node_errors(url: str) -> Iterator[None]:
    """Turns what web3 and requests raise for a bad or absent node into `ChainError`s that name `url`."""
    try:
        yield
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
