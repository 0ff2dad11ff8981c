"""Framing forward: hop i - 1, alone or with its own predecessor, has an honest hop i blamed.

Who: a sender; two neighbors who agree; a member that gives out another's public key as its own.
Wants: an honest worker found guilty, or silent, and replaced.
Stopped by: DR-26 with DR-53 (both sides are held against the truth), DR-27, DR-51; DR-22 (a worker knows its turn by
the route's link, not by what it can open).
Outcome: recorded, right blame.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from assurance.adversary.liars import BogusNext, expecting, once, sending
from assurance.adversary.outcomes import blamed, not_stopped
from assurance.adversary.stepped_ring import LAYERS, SteppedRing, convicted
from deepring_chain.actors.worker.block import BlockLayers
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.crypto.digest import commit_output, sha256
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.crypto.signing import sign_message
from deepring_chain.model.layer import run_layer
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.protocol.update import next_update, sign_update
from deepring_chain.types import Attestation, Digest, OutputCommitment, QueryId, SignedUpdate, TensorBytes

MALFORMED = {
    "item shape": TensorBytes("int8", (2, 7), bytes(14)),
    "dtype": TensorBytes("int32", (2, 8), bytes(64)),
    "unsigned": TensorBytes("uint8", (2, 8), bytes(16)),
    "rank": TensorBytes("int8", (2, 2, 4), bytes(16)),
}


@blamed
@pytest.mark.parametrize("hop", range(1, LAYERS + 1))
def test_bogus_expectation_convicts_who_expects_it(attacked: SteppedRing, hop: int) -> None:
    with attacked.bribed(f"worker-{hop}", once(BogusNext)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(hop)


@blamed
@pytest.mark.parametrize("pointer", ["nothing", "zero"])
def test_pointer_to_nothing_convicts_its_author(attacked: SteppedRing, pointer: str) -> None:
    where = {"nothing": sha256(os.urandom(8)), "zero": Digest(bytes(32))}[pointer]
    with attacked.bribed("worker-2", once(sending(lambda _session: where))):
        query = attacked.ask()
        attacked.settle()
        attacked.wait(2)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


def agreeing_on(value: TensorBytes) -> tuple[type[Worker], type[Worker]]:
    """Two neighbors: the first expects `value` of the second, and the second delivers it."""

    class Second(Worker):
        def _execute(
            self, session: Session, note: RouteNote, _received: TensorBytes, _layers: BlockLayers
        ) -> SignedUpdate:
            pointer = self._send_output(session, note, value)
            update = next_update(
                session, pointer, commit_output(note.own_key, value), OutputCommitment(Digest(os.urandom(32)))
            )
            member = self._member
            return sign_update(member.keys.account, member.client.domain, update, note.salt, note.next_route)

    return expecting(value), Second


@blamed
@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_tensor_that_no_layer_can_take_convicts_the_colluder_who_sent_it(
    attacked: SteppedRing, value: TensorBytes
) -> None:
    """Eq. 13 holds between the two, and the third cannot compute: it must not be found silent for that."""
    first, second = agreeing_on(value)
    with attacked.bribed("worker-1", once(first)), attacked.bribed("worker-2", once(second)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@blamed
def test_malformed_last_output_of_two_colluders_does_not_reach_the_querent(attacked: SteppedRing) -> None:
    first, second = agreeing_on(TensorBytes("int32", (2, 3), bytes(24)))
    with attacked.bribed("worker-3", once(first)), attacked.bribed("worker-4", once(second)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(4)


def give_out_key_of(ring: SteppedRing, thief: str, victim: str) -> None:
    """From now on `thief` attests the key of `victim`, which everybody can see, as its own."""
    member, other = ring.member(thief), ring.member(victim)
    honest: Any = type(member).sign_leaf

    def sign_leaf(*arguments: Any) -> tuple[Attestation, bytes]:
        leaf, _ = honest(member, *arguments)
        leaf = replace(leaf, sealing_key=public_bytes(other.sealing_key(leaf.arrangement)))
        return leaf, sign_message(member.keys.account, member.client.domain, leaf)

    vars(member)["sign_leaf"] = sign_leaf


def _is_named(ring: SteppedRing, query: QueryId) -> bool:
    return bool(ring.guilt(query))


@blamed
def test_member_that_attests_anothers_key_falls_silent_itself_and_the_other_does_not(own_ring: SteppedRing) -> None:
    """Worker 2 can open two notes of each bundle, its own and worker 4's; the order is random, so it is tried often."""
    give_out_key_of(own_ring, "worker-4", "worker-2")
    own_ring.arrange()
    for _ in range(4):
        query = own_ring.ask()
        own_ring.settle()
        assert own_ring.session(query).next_hop == 4
        own_ring.wait(own_ring.client().hop_seconds + 1)
        own_ring.settle(until=partial(_is_named, own_ring, query))
        assert own_ring.guilt(query) == [(4, FaultKind.SILENT)]
        own_ring.give_up(query)


@not_stopped("Colluding neighbors.")
def test_not_stopped_two_neighbors_pass_a_wrong_value_and_an_honest_hop_continues_with_it(
    own_ring: SteppedRing,
) -> None:
    """The well-formed kind of collusion: all signatures and eq. 13 hold, and the answer is wrong."""
    value = TensorBytes("int8", (2, 8), bytes(range(16)))

    class First(agreeing_on(value)[0]):  # type: ignore[misc]
        pass

    class Second(Worker):
        def _execute(
            self, session: Session, note: RouteNote, _received: TensorBytes, layers: BlockLayers
        ) -> SignedUpdate:
            pointer = self._send_output(session, note, value)
            following = run_layer(layers.following, value, self._device)
            commitments = commit_output(note.own_key, value), commit_output(note.next_key, following)
            update = next_update(session, pointer, *commitments)
            member = self._member
            return sign_update(member.keys.account, member.client.domain, update, note.salt, note.next_route)

    with own_ring.bribed("worker-1", First), own_ring.bribed("worker-2", Second):
        query: QueryId = own_ring.ask()
        own_ring.settle()
    assert own_ring.guilt(query) == []
    assert own_ring.answer(query) != own_ring.plain()
    own_ring.expect_well()
