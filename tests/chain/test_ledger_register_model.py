"""`registerModel`: model versions, and what a new one does to the ring."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import AuthenticityDerived, ModelRegistered
from deepring_chain.types import MAX_LAYERS, NO_BLOB, ZERO, ModelRoot, RingMode
from tests.chain.expect import refused
from tests.chain.ring_driver import ScriptedRing, named


def test_first_version_is_one(bare_ring: ScriptedRing) -> None:
    receipt = bare_ring.owner_client.register_model(named("root"), named("card"), 5)
    assert bare_ring.ledger.events(receipt) == [ModelRegistered(1, named("root"), named("card"), 5)]
    assert tuple(bare_ring.ledger.read("model")) == (named("root"), named("card"), 5, 1)
    assert bare_ring.ledger.mode() is RingMode.SETUP


def test_versions_count_up_also_for_the_same_model(bare_ring: ScriptedRing) -> None:
    bare_ring.register_model()
    receipt = bare_ring.register_model()
    assert bare_ring.ledger.events(receipt) == [ModelRegistered(2, named("model root"), named("model card"), 3)]


def test_card_may_be_missing(bare_ring: ScriptedRing) -> None:
    receipt = bare_ring.owner_client.register_model(named("root"), NO_BLOB, 5)
    assert bare_ring.ledger.events(receipt) == [ModelRegistered(1, named("root"), NO_BLOB, 5)]


@pytest.mark.parametrize("layers", [1, MAX_LAYERS])
def test_least_and_greatest_number_of_layers_are_accepted(bare_ring: ScriptedRing, layers: int) -> None:
    bare_ring.owner_client.register_model(named("root"), named("card"), layers)
    assert bare_ring.ledger.read("model").layers == layers


@pytest.mark.parametrize(
    ("root", "layers"),
    [(ZERO, 3), (named("root"), 0), (named("root"), MAX_LAYERS + 1), (ZERO, 65_535)],
    ids=["no root", "no layer", "one layer too many", "neither"],
)
def test_unusable_model_is_refused(bare_ring: ScriptedRing, root: ModelRoot, layers: int) -> None:
    with refused("InvalidModel", root=root, layers=layers):
        bare_ring.owner_client.register_model(root, named("card"), layers)


def test_others_than_the_owner_are_refused(ring: ScriptedRing, mallory: LocalAccount) -> None:
    for account in (mallory, ring.workers[0]):
        with refused("NotOuroboros", ouroboros=ring.owner.address, caller=account.address):
            ring.ledger.by(account).register_model(named("root"), named("card"), 3)


def test_new_version_ends_query_mode_until_the_ring_is_arranged_anew(ring: ScriptedRing) -> None:
    ring.register_model("better model")
    assert ring.ledger.mode() is RingMode.SETUP
    assert ring.ledger.read("isAuthentic") is False
    ring.arrange()
    assert ring.ledger.mode() is RingMode.ATTESTING
    ring.attest(*range(4))
    assert ring.ledger.mode() is RingMode.QUERY
    assert ring.ledger.read("arrangement").modelVersion == 2


def test_last_leaf_for_the_old_version_does_not_make_the_ring_authentic(ring: ScriptedRing) -> None:
    ring.arrange()
    ring.attest(0, 1, 2)
    ring.register_model("better model")
    last = ring.ledger.events(ring.attest(3))[-1]
    recorded = ring.ledger.read("arrangement").recordedHash
    assert last == AuthenticityDerived(ring.arrangement, False, recorded, recorded)
    assert ring.ledger.mode() is RingMode.SETUP


def test_new_version_with_other_layers_needs_other_seats(ring: ScriptedRing) -> None:
    ring.owner_client.register_model(named("root"), named("card"), 2)
    with refused("UnexpectedSeatCount", expected=3, actual=4):
        ring.arrange()
