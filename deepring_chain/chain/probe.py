"""Looking at a node and a ledger that may be absent, hung or other than they should be: facts in place of errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import BlockNotFound, Web3Exception

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.connection import connect, node_errors, shown_url
from deepring_chain.chain.errors import NodeSilent, NodeUnreachable
from deepring_chain.errors import ChainError
from deepring_chain.types import Address

NODE_REQUESTS = 4

UNUSABLE = (Web3Exception, KeyError, TypeError, ValueError, AttributeError)
"""What web3 raises for answers of a form that no node gives, where `node_errors` leaves it."""


@dataclass(frozen=True)
class NodeFacts:
    """A node as it answers now.

    Attributes:
        url: its address, without passwords and keys.
        trouble: why nothing more is known, in a sentence; None if it answers.
        is_silent: the trouble is that it takes connections and does not answer.
        chain_id: its chain.
        head, head_time: number and Unix time of its newest block.
        pending_time: Unix time of the block that it would make now, if it says so: its clock.
        seconds: how long an answer took, on average.
    """

    url: str
    trouble: str | None = None
    is_silent: bool = False
    chain_id: int | None = None
    head: int | None = None
    head_time: int | None = None
    pending_time: int | None = None
    seconds: float | None = None

    @property
    def clock(self) -> int | None:
        """The chain's time now, as well as it is known."""
        return self.pending_time if self.pending_time is not None else self.head_time


@dataclass(frozen=True)
class CodeFacts:
    """What lies at the ledger's address.

    Attributes:
        has_code: whether there is a contract at all.
        is_shipped: whether it is the ledger of this release.
        is_same_chain: whether the block that the deployment names has the hash that it names; None if it names none.
    """

    has_code: bool
    is_shipped: bool
    is_same_chain: bool | None


@dataclass(frozen=True)
class AccountFacts:
    """An account: balance in wei, and its next nonce by the newest block and by the node's pool."""

    balance: int
    nonce: int
    pending_nonce: int


def look_at_node(
    url: str, timeout: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[NodeFacts, Web3 | None]:
    """The node's facts, and a connection to it if it answers.

    Args:
        url: JSON-RPC address.
        timeout: seconds for each request; none is repeated.
        clock: seconds.
    """
    started, shown = clock(), shown_url(url)
    try:
        web3 = connect(url, timeout=timeout, may_repeat=False)
        with node_errors(url):
            head, chain = web3.eth.get_block("latest"), web3.eth.chain_id
        number, when = int(head["number"]), int(head["timestamp"])
        pending = _pending_time(web3, url)
    except ChainError as error:
        return NodeFacts(shown, str(error), isinstance(error, NodeSilent)), None
    except UNUSABLE as error:
        return NodeFacts(shown, f"{shown}: unusable answers from the node ({type(error).__name__})"), None
    seconds = (clock() - started) / NODE_REQUESTS
    facts = NodeFacts(shown, None, False, chain, number, when, pending, seconds)
    return facts, web3


def _pending_time(web3: Web3, url: str) -> int | None:
    """Not every node tells of the pending block."""
    try:
        with node_errors(url):
            return int(web3.eth.get_block("pending")["timestamp"])
    except NodeSilent:
        raise
    except (ChainError, BlockNotFound, KeyError, TypeError):
        return None


def look_at_code(web3: Web3, url: str, ledger: Address, first_block: int | None, block_hash: str | None) -> CodeFacts:
    """What lies at a ledger's address, and whether this is the chain that it was deployed on.

    Args:
        web3: connection.
        url: the node's address, for messages.
        ledger: where it should be.
        first_block: the block that it was deployed in, if known.
        block_hash: that block's hash in hex, if known.

    Raises:
        ChainError: the node stopped answering.
    """
    with node_errors(url):
        code = bytes(web3.eth.get_code(cast(ChecksumAddress, ledger)))
        same = None
        if first_block is not None and block_hash is not None:
            same = _hash_of(web3, first_block) == bytes.fromhex(block_hash)
    return CodeFacts(bool(code), load_artifact().is_code(code) if code else False, same)


def _hash_of(web3: Web3, number: int) -> bytes | None:
    try:
        return bytes(web3.eth.get_block(number).get("hash", HexBytes(b"")))
    except BlockNotFound:
        return None


def look_at_account(web3: Web3, url: str, address: Address) -> AccountFacts:
    """Funds and nonces of an account.

    Raises:
        ChainError: the node stopped answering.
    """
    account = cast(ChecksumAddress, address)
    with node_errors(url):
        return AccountFacts(
            web3.eth.get_balance(account),
            web3.eth.get_transaction_count(account),
            web3.eth.get_transaction_count(account, "pending"),
        )


def gas_price(web3: Web3, url: str) -> int:
    """What an actor offers for a unit of gas, in wei (`chain.sender`)."""
    with node_errors(url):
        return 2 * int(web3.eth.get_block("latest").get("baseFeePerGas", 0)) + Web3.to_wei(1, "gwei")


def find_first_block(web3: Web3, url: str, ledger: Address, head: int) -> int:
    """The block that a contract was deployed in, by halving; 0 if the node has forgotten what was then.

    A refusal tells nothing of later blocks: the search goes on there, and is in vain only if it ends at one.

    Args:
        web3: connection.
        url: the node's address, for messages.
        ledger: the contract, which is there now.
        head: the newest block.

    Raises:
        ChainError: the node stopped answering.
    """
    low, high, is_known = 0, head, True
    while low < high:
        middle = (low + high) // 2
        is_there = _has_code_at(web3, url, ledger, middle)
        if is_there:
            high = middle
        else:
            low, is_known = middle + 1, is_there is not None
    return low if is_known else 0


def _has_code_at(web3: Web3, url: str, address: Address, block: int) -> bool | None:
    """Whether there was a contract after a block; None if the node does not say."""
    try:
        with node_errors(url):
            return bool(web3.eth.get_code(cast(ChecksumAddress, address), block))
    except NodeUnreachable:
        raise
    except (ChainError, BlockNotFound):
        return None
