"""The block of a ledger's deployment, found on nodes that forget old states, refuse by chance or go away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from web3 import Web3
from web3.exceptions import BlockNotFound, Web3RPCError

from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.chain.probe import find_first_block
from deepring_chain.types import Address

LEDGER = Address("0x" + "11" * 20)
URL = "http://127.0.0.1:8545"
HEAD = 40
REFUSALS = [
    Web3RPCError("refused", rpc_response=cast(Any, {"error": {"code": -32000, "message": "missing trie node"}})),
    BlockNotFound("no such block"),
]


class Node:
    """A node with a contract from `deployed` on, which answers some blocks with an error.

    Attributes:
        asked: the blocks whose code was asked for.
    """

    def __init__(self, deployed: int, refused: set[int], error: Exception) -> None:
        self._deployed, self._refused, self._error = deployed, refused, error
        self.asked: list[int] = []

    @property
    def web3(self) -> Web3:
        return cast(Web3, SimpleNamespace(eth=SimpleNamespace(get_code=self._code)))

    def find(self) -> int:
        return find_first_block(self.web3, URL, LEDGER, HEAD)

    def _code(self, _address: str, block: int) -> bytes:
        self.asked.append(block)
        if block in self._refused:
            raise self._error
        return b"code" if block >= self._deployed else b""


@pytest.mark.parametrize("error", REFUSALS, ids=["refusal", "no block"])
@pytest.mark.parametrize("forgotten", range(HEAD))
def test_deployment_after_what_was_forgotten_is_found(forgotten: int, error: Exception) -> None:
    for deployed in range(forgotten + 1, HEAD + 1):
        assert Node(deployed, set(range(forgotten)), error).find() == deployed


@pytest.mark.parametrize("error", REFUSALS, ids=["refusal", "no block"])
@pytest.mark.parametrize("forgotten", range(1, HEAD))
def test_deployment_within_what_was_forgotten_is_not_guessed(forgotten: int, error: Exception) -> None:
    for deployed in range(forgotten + 1):
        assert Node(deployed, set(range(forgotten)), error).find() == 0


@pytest.mark.parametrize("deployed", range(HEAD + 1))
def test_no_single_refusal_gives_a_later_block_than_the_right_one(deployed: int) -> None:
    """Events before the block that is found are not read: a block too late would lose some, block 0 loses none."""
    for refused in range(HEAD):
        assert Node(deployed, {refused}, REFUSALS[0]).find() in {0, deployed}


@pytest.mark.parametrize("deployed", [0, 1, 17, HEAD])
def test_search_asks_for_few_blocks(deployed: int) -> None:
    node = Node(deployed, set(), REFUSALS[0])
    assert node.find() == deployed
    assert len(node.asked) <= HEAD.bit_length()


@pytest.mark.parametrize("error", [requests.ConnectionError(), requests.ReadTimeout()])
def test_node_that_goes_away_is_no_node_that_has_forgotten(error: Exception) -> None:
    with pytest.raises(NodeUnreachable, match="no node answers"):
        Node(17, {20}, error).find()
