"""One Anvil for the whole run, and roles and rings on it; every test finds the chain as the one before found it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.types import RPCEndpoint

from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.crypto import keys
from deepring_chain.runtime import processes as runtime
from tests.chain.clock import Clock
from tests.chain.ring_driver import Ledger, ScriptedQuery, ScriptedRing, account_named, fund
from tests.explorer.chromium import BrowserTests, find_chromium
from tests.waiting import FOREVER

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Tests in a browser are left out, and said to be, where there is none.

    A shell starts what runs in its background with SIGINT ignored, and so would be all processes that the tests start
    and interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _be_patient()
    keys.SCRYPT_N = (
        2  # a ring makes and opens a dozen key files; those of `deepring init` as a process are as users' are
    )
    config.pluginmanager.register(BrowserTests(find_chromium()), "browser-tests")


def _be_patient() -> None:
    """No node and no ring is given up because the machine is busy: the hang guard alone ends what hangs."""
    Devnet.__init__.__kwdefaults__["timeout"] = FOREVER  # type: ignore[index]
    runtime.READY_SECONDS = FOREVER


LONG = ("e2e", "faults", "mutants", "chain", "adversary", "explorer")
"""Folders whose modules take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules begin first, so that short ones are left to share out when the run ends. A module stays whole.

    One process alone takes them as they are named: `make mutants` names the quickest first.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    folders = [HERE / name for name in LONG]

    def turn(item: pytest.Item) -> int:
        return next((folders.index(up) for up in item.path.parents if up in folders), len(folders))

    items.sort(key=turn)


def _open_keys_cheaply() -> None:
    """A ring makes and opens a dozen key files, 50 ms each. `deepring init` as a process does as for its users."""
    keys.SCRYPT_N = 2


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long bytes do not name a test: an archive holds the time at which it was made, and the names must agree."""
    del config
    return argname if isinstance(val, bytes) and len(val) > 12 else None


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command that a test runs in this process opens a log; its handlers write to streams that end with the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def devnet() -> Iterator[Devnet]:
    """A node that lives as long as the run."""
    with Devnet() as node:
        yield node


@pytest.fixture(scope="session")
def web3(devnet: Devnet) -> Web3:
    """Connection to the node."""
    return connect(devnet.url)


@pytest.fixture(scope="session")
def owner() -> LocalAccount:
    """The ouroboros."""
    return account_named("owner")


@pytest.fixture(scope="session")
def workers() -> tuple[LocalAccount, ...]:
    """Serve layers 1, 2 and 3."""
    return tuple(account_named(f"worker {layer}") for layer in (1, 2, 3))


@pytest.fixture(scope="session")
def querent() -> LocalAccount:
    """Asks."""
    return account_named("querent")


@pytest.fixture(scope="session")
def standby() -> LocalAccount:
    """Would serve a layer when its worker fails."""
    return account_named("standby")


@pytest.fixture(scope="session")
def mallory() -> LocalAccount:
    """Has no part in the ring."""
    return account_named("mallory")


@pytest.fixture(scope="session")
def _funded(
    web3: Web3,
    owner: LocalAccount,
    workers: tuple[LocalAccount, ...],
    standby: LocalAccount,
    querent: LocalAccount,
    mallory: LocalAccount,
) -> None:
    fund(web3, [owner, *workers, standby, querent, mallory])


@pytest.fixture(scope="session")
def _bare(
    web3: Web3, devnet: Devnet, owner: LocalAccount, workers: tuple[LocalAccount, ...], _funded: None
) -> ScriptedRing:
    return ScriptedRing(Ledger.deploy(web3, devnet.url, owner), owner, workers)


@pytest.fixture(scope="session")
def _ready(
    web3: Web3, devnet: Devnet, owner: LocalAccount, workers: tuple[LocalAccount, ...], _funded: None
) -> ScriptedRing:
    return ScriptedRing(Ledger.deploy(web3, devnet.url, owner), owner, workers).make_authentic()


@pytest.fixture
def chain(web3: Web3, _funded: None) -> Iterator[Web3]:
    """The node; what a test does to the chain is undone after it."""
    snapshot = web3.provider.make_request(RPCEndpoint("evm_snapshot"), [])["result"]
    yield web3
    assert web3.provider.make_request(RPCEndpoint("evm_revert"), [snapshot])["result"] is True


@pytest.fixture
def clock(chain: Web3) -> Iterator[Clock]:
    """The node's clock, stopped."""
    clock = Clock(chain)
    clock.stop()
    yield clock
    clock.go_on()


@pytest.fixture
def bare_ring(_bare: ScriptedRing, chain: Web3) -> ScriptedRing:
    """A ring whose ledger is deployed, and no more."""
    return _bare


@pytest.fixture
def ring(_ready: ScriptedRing, chain: Web3) -> ScriptedRing:
    """A ring of three layers in query mode."""
    return _ready


@pytest.fixture
def other_ring(_bare: ScriptedRing, ring: ScriptedRing) -> ScriptedRing:
    """The same people in query mode on another ledger of the same chain."""
    return _bare.make_authentic()


@pytest.fixture
def query(ring: ScriptedRing, querent: LocalAccount) -> ScriptedQuery:
    """A query of `ring` that is routed: hop 0 is due."""
    return ring.submit(querent).open_route()
