"""A ledger as it is deployed: it belongs to one owner and holds nothing."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.chain.deployment import Deadlines, deploy_ledger
from deepring_chain.chain.devnet import Devnet
from deepring_chain.types import ZERO, Address, RingMode
from tests.chain.expect import refused
from tests.chain.ring_driver import Ledger, ScriptedRing

NOBODY = Address("0x" + "00" * 20)


def test_owner_is_the_ouroboros(bare_ring: ScriptedRing) -> None:
    assert bare_ring.ledger.read("ouroboros") == bare_ring.owner.address
    assert bare_ring.owner_client.ouroboros == Address(bare_ring.owner.address)


def test_deployer_need_not_be_the_owner(
    chain: Web3, devnet: Devnet, owner: LocalAccount, mallory: LocalAccount
) -> None:
    address, _ = deploy_ledger(chain, devnet.url, mallory, Address(owner.address))
    assert chain.eth.get_code(address)  # type: ignore[arg-type]


def test_zero_owner_is_refused(chain: Web3, devnet: Devnet, owner: LocalAccount) -> None:
    with refused("ZeroOuroboros"):
        deploy_ledger(chain, devnet.url, owner, NOBODY)


def test_deadlines_are_those_of_the_deployment(chain: Web3, devnet: Devnet, owner: LocalAccount) -> None:
    ledger = Ledger.deploy(chain, devnet.url, owner, Deadlines(hop=7, withdraw=8))
    assert (ledger.read("hopSeconds"), ledger.read("withdrawSeconds")) == (7, 8)
    assert ledger.by(owner).hop_seconds == 7


@pytest.mark.parametrize(
    ("hop", "withdraw"),
    [(0, 600), (0, 0), (60, 60), (60, 59), (60, 0), (2**40 - 1, 2**40 - 1)],
    ids=["no hop", "none", "equal", "shorter", "no withdrawal", "equal and greatest"],
)
def test_deadlines_that_leave_a_querent_or_a_hop_no_time_are_refused(
    chain: Web3, devnet: Devnet, owner: LocalAccount, hop: int, withdraw: int
) -> None:
    with refused("InvalidDeadlines", hopSeconds=hop, withdrawSeconds=withdraw):
        deploy_ledger(chain, devnet.url, owner, Address(owner.address), Deadlines(hop, withdraw))


def test_new_ledger_is_empty_and_in_setup(bare_ring: ScriptedRing) -> None:
    ledger = bare_ring.ledger
    assert ledger.mode() is RingMode.SETUP
    assert ledger.read("isAuthentic") is False
    assert tuple(ledger.read("model")) == (ZERO, ZERO, 0, 0)
    assert tuple(ledger.read("arrangement")) == (0, 0, 0, 0, 0, ZERO, ZERO)
    assert tuple(ledger.read("seatAt", 0)) == (NOBODY, 0, 0, 0, ZERO, ZERO)
    assert ledger.read("queryCount") == 0


@pytest.mark.parametrize("query", [0, 1, 2**64 - 1])
def test_unknown_query_has_no_state(bare_ring: ScriptedRing, query: int) -> None:
    assert bare_ring.ledger.word(query) == ZERO


def test_account_that_was_not_admitted_has_no_sealing_key(bare_ring: ScriptedRing, mallory: LocalAccount) -> None:
    assert bare_ring.ledger.read("sealingKeyOf", mallory.address) == ZERO
