"""Stale and precomputed attestations: a worker without its parameters answers from memory.

Who: a worker that changed its parameters, and kept hashes, old leaves or midstates; a worker with two copies.
Wants: the flag to stay true.
Stopped by: DR-10 (the challenge is secret, fresh, and hashed before any parameter), DR-14, DR-42, I-4, I-5.
Outcome: recorded, right blame: the flag goes off and its block is restored. A second copy is not stopped.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from assurance.adversary.outcomes import blamed, not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.actors.worker.block import BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.crypto.digest import sha256
from deepring_chain.crypto.signing import sign_message
from deepring_chain.encoding import TAG_LEAF
from deepring_chain.protocol.block_hash import block_leaf
from deepring_chain.protocol.events import AuthenticityDerived, RestoreOrdered
from deepring_chain.types import Attestation, Challenge, Digest, LayerContent, Leaf

LIAR = "worker-2"


def attest_with(ring: SteppedRing, leaf_of: Any, *, once: bool = True) -> None:
    """The liar signs leaves of its own making, in its next attestation or in all."""
    member = ring.member(LIAR)
    honest: Any = type(member).sign_leaf

    def sign_leaf(position: int, challenge: Challenge, *contents: LayerContent) -> tuple[Attestation, bytes]:
        true, _ = honest(member, position, challenge, *contents)
        changed: dict[str, Any] = {**vars(true), "leaf": leaf_of(true, challenge)}
        leaf = Attestation(**changed)
        if once:
            del vars(member)["sign_leaf"]
        return leaf, sign_message(member.keys.account, member.client.domain, leaf)

    vars(member)["sign_leaf"] = sign_leaf


def old_leaf(ring: SteppedRing) -> Leaf:
    """The liar's leaf of the arrangement in force."""
    current = ring.state.arrangement
    assert current is not None
    position = current.position_of(ring.member(LIAR).keys.address)
    assert position is not None
    return current.attestations[position].leaf


def expect_restored_alone(ring: SteppedRing) -> None:
    """The flag went off, and the liar's block, no other, was restored until it was true again."""
    seats = {seat: layer for layer, seat in enumerate(ring.worker("ouroboros")._router._signers())}
    events = [logged.event for logged in ring.events()]
    orders = [event for event in events if isinstance(event, RestoreOrdered)]
    assert {seats[order.worker] for order in orders} == {2}
    assert any(isinstance(event, AuthenticityDerived) and not event.is_authentic for event in events)
    ring.expect_well()


@blamed
@pytest.mark.parametrize("what", ["leaf of the last arrangement", "hash of the parameters", "challenge alone"])
def test_leaf_that_was_not_made_from_the_parameters_now_turns_the_flag_off(own_ring: SteppedRing, what: str) -> None:
    stored = hashlib.sha256()
    layers = own_ring.worker(LIAR)._block.layers
    for layer in (layers.own, layers.following):
        content = layer.content()
        stored.update(content.header + b"".join(bytes(tensor) for tensor in content.tensors))
    before = old_leaf(own_ring)
    leaves = {
        "leaf of the last arrangement": lambda _true, _challenge: before,
        "hash of the parameters": lambda _true, challenge: sha256(TAG_LEAF + challenge + stored.digest()),
        "challenge alone": lambda _true, challenge: sha256(TAG_LEAF + challenge),
    }
    attest_with(own_ring, leaves[what])
    own_ring.arrange()
    own_ring.settle()
    expect_restored_alone(own_ring)


@refused
def test_leaf_of_another_worker_is_of_no_use_to_one_that_serves_another_layer(own_ring: SteppedRing) -> None:
    """Leaves lie in the store and on the ledger for everyone to copy while the ring still attests."""
    contents = [own_ring.worker(f"worker-{number}")._block.contents() for number in range(1, 5)]
    challenge = Digest(bytes(32))
    assert len({block_leaf(Challenge(challenge), own, following) for own, following in contents}) == 4


@refused
def test_leaf_cannot_be_begun_before_the_challenge_is_known(own_ring: SteppedRing) -> None:
    """The challenge comes first: no midstate over the parameters, computed once, finishes a leaf later."""
    own, following = own_ring.worker(LIAR)._block.contents()
    seen: list[bytes] = []

    class Spy:
        def __init__(self, start: bytes) -> None:
            seen.append(start)

        def update(self, data: Any) -> None:
            seen.append(bytes(data))

        def digest(self) -> bytes:
            return bytes(32)

    challenge = sha256(b"challenge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "sha256", Spy)
        block_leaf(Challenge(challenge), own, following)
    assert b"".join(seen).startswith(TAG_LEAF + challenge)
    assert sum(map(len, seen)) > sum(len(tensor) for layer in (own, following) for tensor in layer.tensors)


class TwoCopies(Worker):
    """Attests with a good copy of its parameters, and computes with a changed one."""

    def _answer(self, turn: Any, question: Any, layers: BlockLayers | None) -> Any:
        assert layers is not None
        contents = {name: tensor.clone() for name, tensor in layers.own.tensors.items()}
        flip_memory_bits((layers.own,), (("layer.2.bias", 28),))
        try:
            return super()._answer(turn, question, layers)
        finally:
            for name, tensor in layers.own.tensors.items():
                tensor.copy_(contents[name])


@not_stopped("Two copies of the parameters.")
def test_not_stopped_second_copy_attests_well_and_only_eq_13_finds_the_other(
    own_ring: SteppedRing, few_attempts: int
) -> None:
    """The flag stays true all the while; what is computed with the changed copy is found at the ledger."""
    with own_ring.bribed(LIAR, TwoCopies):
        query = own_ring.ask()
        own_ring.settle()
    flags = [logged.event for logged in own_ring.events() if isinstance(logged.event, AuthenticityDerived)]
    assert all(flag.is_authentic for flag in flags)
    assert own_ring.guilt(query) == convicted(*[2] * few_attempts)
