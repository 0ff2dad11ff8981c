"""Looking at nodes and ledgers that are well, absent, or not what they should be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.chain.connection import connect, shown_url
from deepring_chain.chain.deployment import deploy_ledger
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.probe import find_first_block, look_at_account, look_at_code, look_at_node
from deepring_chain.health.collect import Collector, TookTooLong, within
from deepring_chain.health.snapshot import Target
from deepring_chain.types import Address, RingMode
from tests.chain.ring_driver import ScriptedRing, address_of
from tests.waiting import FOREVER

NOBODY = Address("0x" + "11" * 20)


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """Something that answers every request with the same bytes, and is no node."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_all, args=(server, content), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _answer_all(server: socket.socket, content: bytes) -> None:
    with suppress(OSError):
        while True:
            reader, _ = server.accept()
            with reader, suppress(OSError):
                reader.recv(65536)
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
                reader.sendall(head.encode() + content)


def test_node_that_is_well_tells_chain_head_and_both_clocks(chain: Web3, devnet: Devnet) -> None:
    facts, connection = look_at_node(devnet.url, FOREVER)
    assert connection is not None
    assert facts.trouble is None
    assert (facts.chain_id, facts.head) == (chain.eth.chain_id, chain.eth.block_number)
    assert facts.pending_time is not None
    assert facts.head_time is not None
    assert facts.pending_time >= facts.head_time
    assert facts.clock == facts.pending_time


@pytest.mark.ganache
def test_ganache_is_looked_at_as_well() -> None:
    with Devnet(kind="ganache") as node:
        facts, _ = look_at_node(node.url, FOREVER)
    assert (facts.trouble, facts.head) == (None, 0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"[]",
        b'{"jsonrpc":"2.0","id":0,"result":null}',
        b'{"jsonrpc":"2.0","id":0,"result":{}}',
        b'{"jsonrpc":"2.0","id":0,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"\\u001b[31mno"}}',
    ],
)
def test_answers_that_no_node_gives_are_told_as_trouble(content: bytes) -> None:
    with answering(content) as url:
        facts, connection = look_at_node(url, FOREVER)
        snapshot = Collector(Target(rpc_url=url, ledger=NOBODY), FOREVER).collect()
    assert connection is None
    assert facts.trouble is not None
    assert url in facts.trouble
    assert snapshot.node is not None
    assert snapshot.node.trouble is not None


def test_absent_node_is_told_as_trouble_and_not_as_silent() -> None:
    facts, connection = look_at_node("http://127.0.0.1:1", FOREVER)
    assert (connection, facts.is_silent) == (None, False)
    assert "no node answers" in str(facts.trouble)


def test_code_tells_the_ledger_from_nothing_and_from_another_chain(ring: ScriptedRing, web3: Web3) -> None:
    url, ledger = ring.ledger.url, ring.ledger.address
    right = bytes(web3.eth.get_block(1)["hash"]).hex()
    assert look_at_code(web3, url, ledger, 1, right).is_same_chain is True
    assert look_at_code(web3, url, ledger, 1, "00" * 32).is_same_chain is False
    assert look_at_code(web3, url, ledger, 10**9, right).is_same_chain is False
    assert look_at_code(web3, url, ledger, None, None).is_same_chain is None
    assert look_at_code(web3, url, ledger, None, None).is_shipped
    assert not look_at_code(web3, url, NOBODY, None, None).has_code


def test_first_block_of_a_ledger_is_found(chain: Web3, devnet: Devnet, owner: LocalAccount) -> None:
    for _ in range(3):
        chain.provider.make_request("evm_mine", [])  # type: ignore[arg-type]
    ledger, block = deploy_ledger(chain, devnet.url, owner, address_of(owner))
    for _ in range(5):
        chain.provider.make_request("evm_mine", [])  # type: ignore[arg-type]
    assert find_first_block(chain, devnet.url, ledger, chain.eth.block_number) == block


def test_account_has_balance_and_both_nonces(ring: ScriptedRing, web3: Web3, owner: LocalAccount) -> None:
    facts = look_at_account(web3, ring.ledger.url, address_of(owner))
    assert facts.balance == web3.eth.get_balance(owner.address)
    assert facts.nonce == facts.pending_nonce == web3.eth.get_transaction_count(owner.address)


def test_ledger_is_read_through_addresses_alone(ring: ScriptedRing, querent: LocalAccount) -> None:
    ring.submit(querent)
    snapshot = Collector(Target(rpc_url=ring.ledger.url, ledger=ring.ledger.address), FOREVER, FOREVER).collect()
    assert snapshot.ring is not None
    assert (snapshot.ring.mode, len(snapshot.ring.seats)) == (RingMode.QUERY, 4)
    (waiting,) = snapshot.ring.waiting
    assert waiting.whom == (snapshot.ring.ouroboros,)
    assert [actor.role.value for actor in snapshot.actors] == ["ouroboros", "worker", "worker", "worker"]
    assert all(actor.account is not None and actor.account.balance > 0 for actor in snapshot.actors)


def test_connection_is_given_up_without_repeating_when_asked_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        facts, _ = look_at_node(url, 0.3)
    assert facts.is_silent
    assert "no node answers (ReadTimeout)" in str(facts.trouble)


def test_work_that_takes_too_long_is_left_alone() -> None:
    never = threading.Event()
    with pytest.raises(TookTooLong, match=r"the store: not within 0\.1 s"):
        within(0.1, "the store", never.wait)
    assert within(FOREVER, "a sum", lambda: 2 + 2) == 4
    with pytest.raises(ZeroDivisionError):
        within(FOREVER, "a quotient", lambda: 1 // 0)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("https://me:secret@node.example/rpc", "https://***@node.example/rpc"),
        ("https://node.example/v3/0123456789abcdef0123", "https://node.example/v3/***"),
        ("https://node.example/?key=secret#part", "https://node.example/?***"),
        ("file:///tmp/a-very-long-name-of-a-folder", "file:///tmp/a-very-long-name-of-a-folder"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_address_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_refused_connection_names_no_secret() -> None:
    with pytest.raises(Exception, match=r"http://\*\*\*@127\.0\.0\.1:1/v3/\*\*\*: no node answers") as refusal:
        connect("http://me:secret@127.0.0.1:1/v3/0123456789abcdef0123")
    assert "secret" not in str(refusal.value)
    assert "0123456789" not in str(refusal.value)
