"""Following a node: what is new, what is gone, and what a node does that cannot be trusted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import RPCEndpoint

from deepring_chain.chain.client import LedgerClient
from deepring_chain.errors import ChainError
from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.watcher import RecordReader, Source, Watcher
from deepring_chain.follow.history import HistoryReader, read_history
from deepring_chain.protocol.audit_step import Check
from deepring_chain.types import RingMode
from tests.chain.ring_driver import ScriptedRing
from tests.waiting import wait_until


def source_of(ring: ScriptedRing) -> Source:
    ledger = ring.ledger
    return Source(LedgerClient.open(ledger.url, ledger.address), ledger.first_block, {})


@pytest.fixture
def watcher(ring: ScriptedRing) -> Iterator[Watcher]:
    """Follows a ring in query mode."""
    found = Watcher(source_of(ring), BlobLooker(None))
    found.start()
    yield found
    found.stop()


def remarks(watcher: Watcher) -> list[str]:
    with watcher.reading() as (_, found):
        return list(found)


def test_record_of_a_real_ledger_holds_and_says_what_was_checked(ring: ScriptedRing, querent: LocalAccount) -> None:
    ring.submit(querent).compute().deliver()
    record = RecordReader(source_of(ring)).read_all()
    assert record.failure is None
    assert record.state.mode is RingMode.QUERY
    assert all(item.checks for item in record.items)
    assert all(item.entry.gas > 20_000 for item in record.items)


def test_restore_order_is_checked_with_the_leaves_in_its_transaction(bare_ring: ScriptedRing) -> None:
    ring = bare_ring.make_authentic()
    ring.tamper(2)
    ring.order_restore(2)
    ring.attest(2)
    ring.report(2)
    record = RecordReader(source_of(ring)).read_all()
    assert record.failure is None
    assert record.checks[Check.RESTORE] > 0
    assert record.state.mode is RingMode.QUERY


def test_history_read_in_small_pieces_is_the_same(
    ring: ScriptedRing, querent: LocalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.submit(querent).compute().deliver()
    source = source_of(ring)
    whole = read_history(source.client, source.first_block)
    monkeypatch.setattr("deepring_chain.follow.history.BLOCKS_AT_ONCE", 2)
    pieces = list(HistoryReader(source.client, source.first_block).read())
    assert len(pieces) > 3
    assert [entry for piece in pieces for entry in piece] == whole


def test_new_events_arrive_and_change_the_version(watcher: Watcher, ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    wait_until(lambda: len(watched_queries(watcher)) == 1)
    before = watcher.version
    query.compute().deliver()
    wait_until(lambda: watched_queries(watcher) == ["DELIVERED"])
    assert watcher.version != before


def watched_queries(watcher: Watcher) -> list[str]:
    with watcher.reading() as (record, _):
        return [session.phase.name for session in record.state.sessions.values()]


def test_reorganization_takes_back_what_is_gone(
    watcher: Watcher, ring: ScriptedRing, querent: LocalAccount, web3: Web3
) -> None:
    wait_until(lambda: watched_queries(watcher) == [])
    snapshot = web3.provider.make_request(RPCEndpoint("evm_snapshot"), [])["result"]
    ring.submit(querent)
    wait_until(lambda: len(watched_queries(watcher)) == 1)
    web3.provider.make_request(RPCEndpoint("evm_revert"), [snapshot])
    web3.provider.make_request(RPCEndpoint("evm_mine"), [])
    web3.provider.make_request(RPCEndpoint("evm_mine"), [])
    wait_until(lambda: watched_queries(watcher) == [])


class BrokenClient:
    """A node that answered once and then does what a test wants."""

    def __init__(self, client: LedgerClient, failure: Exception) -> None:
        self._client, self._failure, self.is_broken = client, failure, False

    def head(self) -> object:
        if self.is_broken:
            raise self._failure
        return self._client.head()

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ChainError("http://node: no node answers"), "http://node: no node answers"),
        (KeyError("timestamp"), "The node's answers cannot be used (KeyError)"),
        (RecursionError(), "The node's answers cannot be used (RecursionError)"),
    ],
)
def test_node_that_fails_is_said_and_what_was_read_stays(ring: ScriptedRing, failure: Exception, said: str) -> None:
    source = source_of(ring)
    client = BrokenClient(source.client, failure)
    watcher = Watcher(SimpleNamespace(client=client, first_block=source.first_block, names={}), BlobLooker(None))  # type: ignore[arg-type]
    watcher.start()
    try:
        wait_until(lambda: mode_of(watcher) is RingMode.QUERY)
        client.is_broken = True
        wait_until(lambda: bool(remarks(watcher)))
        assert remarks(watcher)[0].startswith(said)
        assert mode_of(watcher) is RingMode.QUERY
        client.is_broken = False
        wait_until(lambda: remarks(watcher) == [])
    finally:
        watcher.stop()


def mode_of(watcher: Watcher) -> RingMode:
    with watcher.reading() as (record, _):
        return record.state.mode


def test_node_that_hangs_delays_no_reader(ring: ScriptedRing) -> None:
    source, release = source_of(ring), threading.Event()
    hanging = BrokenClient(source.client, ChainError("x"))
    watcher = Watcher(SimpleNamespace(client=hanging, first_block=source.first_block, names={}), BlobLooker(None))  # type: ignore[arg-type]
    hanging.head = lambda: release.wait() and source.client.head()  # type: ignore[method-assign]
    watcher.start()
    assert mode_of(watcher) is RingMode.SETUP
    watcher.stop()
    assert not release.is_set()  # the node still hangs
    release.set()
