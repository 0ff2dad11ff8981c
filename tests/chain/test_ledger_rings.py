"""Rings of other sizes: one layer, and forty."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.chain.devnet import Devnet
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.types import QueryPhase, RingMode
from tests.chain.clock import Clock
from tests.chain.expect import refused_state
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, fund


def ring_of(web3: Web3, devnet: Devnet, owner: LocalAccount, layers: int) -> ScriptedRing:
    workers = tuple(account_named(f"one of {layers}, layer {layer}") for layer in range(1, layers + 1))
    fund(web3, workers)
    return ScriptedRing(Ledger.deploy(web3, devnet.url, owner), owner, workers)


@pytest.mark.parametrize("layers", [1, 2, 40])
def test_ring_of_any_size_delivers_an_answer(
    chain: Web3, devnet: Devnet, owner: LocalAccount, querent: LocalAccount, layers: int
) -> None:
    ring = ring_of(chain, devnet, owner, layers).make_authentic()
    query = ring.submit(querent).compute()
    assert query.state.hop == layers + 1
    query.deliver()
    assert query.state.phase == QueryPhase.DELIVERED
    assert query.state.trail == query.trail


@pytest.mark.parametrize("layers", [1, 40])
def test_last_leaf_folds_the_whole_ring(chain: Web3, devnet: Devnet, owner: LocalAccount, layers: int) -> None:
    ring = ring_of(chain, devnet, owner, layers)
    ring.register_model()
    ring.admit()
    ring.arrange()
    ring.attest(*range(layers, 0, -1))
    assert ring.ledger.read("arrangement").folded == 0
    ring.attest(0)
    assert ring.ledger.read("arrangement").currentHash == fold_leaves(ring.leaves(1))[-1]
    assert ring.ledger.mode() is RingMode.QUERY


def test_query_has_other_hops_when_the_next_model_has(ring: ScriptedRing, querent: LocalAccount, clock: Clock) -> None:
    query = ring.submit(querent).open_route().advance(1)
    smaller = ScriptedRing(ring.ledger, ring.owner, ring.workers[:1])
    smaller.register_model("smaller")
    smaller.arrange()
    smaller.attest(0, 1)
    with refused_state(query):
        query.post()
    query.let_time_out()
    query.ring, query.signers = smaller, query.signers[:2]
    query.reopen()
    assert query.advance(2).state.phase == QueryPhase.COMPUTED
    later = smaller.submit(querent).compute()
    assert later.state.hop == 2
