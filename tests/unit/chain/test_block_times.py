"""A client asks for a block's time once, and again when the block may have become another one."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_utils import function_signature_to_4byte_selector
from web3 import Web3
from web3.providers import BaseProvider

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_times import TIMES_KEPT, BlockTimes
from deepring_chain.chain.client import LedgerClient
from deepring_chain.errors import ChainError
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import (
    Address,
    Attempt,
    Digest,
    Hop,
    OutputCommitment,
    QueryId,
    QueryPhase,
    RouteLink,
    TrailHash,
)

LEDGER = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
OWNER = Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
WORD = Digest(bytes([7]) * 32)
VIEWS = {"ouroboros()": ("address", OWNER), "hopSeconds()": ("uint40", 60), "withdrawSeconds()": ("uint40", 600)}


class Node(BaseProvider):
    """Answers for a ledger and its blocks; `asked` are the numbers of the blocks that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.newest = 100
        self.shift = 0
        self.lies: dict[str, str] = {}

    def make_request(self, method: Any, params: Any) -> Any:
        return {"jsonrpc": "2.0", "id": 1, "result": self._answer(method, params)}

    def _answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return hex(31337)
            case "eth_getCode":
                return "0x" + load_artifact().deployed_bytecode.hex()
            case "eth_call":
                return self._view(bytes.fromhex(params[0]["data"][2:10]))
            case "eth_getBlockByNumber":
                return self._block(params[0])
        raise AssertionError(method)

    def _view(self, selector: bytes) -> str:
        for name, (kind, value) in VIEWS.items():
            if function_signature_to_4byte_selector(name) == selector:
                return "0x" + abi_encode([kind], [value]).hex()
        raise AssertionError(selector)

    def _block(self, which: str) -> dict[str, str] | None:
        number = self.newest if which == "latest" else int(which, 16)
        self.asked.append(which)
        if number > self.newest:
            return None
        return {
            "number": hex(number),
            "hash": "0x" + (1000 * self.shift + number).to_bytes(32, "big").hex(),
            "parentHash": "0x" + (1000 * self.shift + number - 1).to_bytes(32, "big").hex(),
            "timestamp": hex(time_of(number) + self.shift),
            **self.lies,
        }


def time_of(number: int) -> int:
    return 1_700_000_000 + 12 * number


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def client(node: Node) -> LedgerClient:
    found = LedgerClient.over(Web3(node), "http://127.0.0.1:8545", LEDGER)
    assert (found.ouroboros, found.hop_seconds, found.withdraw_seconds) == (OWNER, 60, 600)
    return found


def test_time_is_asked_for_once(client: LedgerClient, node: Node) -> None:
    assert [client.block_time(7) for _ in range(3)] == [time_of(7)] * 3
    assert node.asked == [hex(7)]


def test_times_of_blocks_that_were_looked_at_are_known(client: LedgerClient, node: Node) -> None:
    """A follower looks at the newest block anyway."""
    assert (client.head().number, client.block_at(42).number) == (100, 42)
    node.asked.clear()
    assert (client.block_time(100), client.block_time(42)) == (time_of(100), time_of(42))
    assert node.asked == []


def test_times_are_asked_for_anew_after_a_reorganization(client: LedgerClient, node: Node) -> None:
    before = client.block_time(7)
    node.shift = 1
    assert client.block_time(7) == before
    client.forget_times()
    assert client.block_time(7) == before + 1


def test_block_that_is_looked_at_again_brings_its_new_time(client: LedgerClient, node: Node) -> None:
    client.block_time(7)
    node.shift = 1
    client.block_at(7)
    assert client.block_time(7) == time_of(7) + 1


def test_times_take_no_more_memory_than_they_may() -> None:
    """A follower looks at one block after another for months: the oldest times go first."""
    times = BlockTimes()
    for number in range(TIMES_KEPT + 50):
        times.keep(number, time_of(number))
    kept = [number for number in range(TIMES_KEPT + 50) if times.get(number) is not None]
    assert kept == list(range(50, TIMES_KEPT + 50))
    assert {times.get(number) == time_of(number) for number in kept} == {True}


def test_block_that_does_not_exist_is_one_line(client: LedgerClient) -> None:
    with pytest.raises(ChainError) as caught:
        client.block_time(101)
    assert "\n" not in str(caught.value)


def test_time_that_the_ledger_has_no_room_for_is_one_line(node: Node) -> None:
    """Of a block 34,000 years ahead, which a lying node tells of: the actor that shows it goes on."""
    client = LedgerClient.over(Web3(node), "http://127.0.0.1:8545", LEDGER, Account.from_key(bytes([7]) * 32))
    node.lies = {"timestamp": hex(2**40)}
    state = QueryState(
        QueryPhase.ROUTED,
        Attempt(1),
        Hop(1),
        2,
        1,
        client.block_time(7),
        RouteLink(WORD),
        OutputCommitment(WORD),
        TrailHash(WORD),
    )
    with pytest.raises(ChainError, match="timeOut: the ledger's fields do not hold") as caught:
        client.time_out(QueryId(1), state)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["number", "timestamp"])
@pytest.mark.parametrize("value", ["-0x1", hex(2**64), "0x" + "f" * 5000], ids=["negative", "65 bits", "endless"])
def test_header_with_a_number_that_no_block_has_is_one_line(
    client: LedgerClient, node: Node, name: str, value: str
) -> None:
    """The ledger could not be told such a time, nor a metric hold such a number: neither may end an actor."""
    node.lies = {name: value}
    with pytest.raises(ChainError) as caught:
        client.head()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_another_block_than_the_one_asked_for_is_refused(client: LedgerClient, node: Node) -> None:
    node.lies = {"number": hex(8)}
    for ask in (client.block_at, client.block_time):
        with pytest.raises(ChainError, match="another block"):
            ask(7)
    assert client.head().number == 8


def test_time_is_told_although_another_thread_forgets_all_times_meanwhile(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main loop finds a reorganization between a lane's question and its look at what is remembered."""
    note_times = client.note_times

    def note_and_forget(blocks: Any) -> None:
        note_times(blocks)
        client.forget_times()

    monkeypatch.setattr(client, "note_times", note_and_forget)
    assert client.block_time(7) == time_of(7)
