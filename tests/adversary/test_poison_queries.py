"""Poisoned queries: inputs made to break, block or exhaust whoever opens them.

Who: anybody; asking costs only gas.
Wants: the ouroboros or an honest worker to crash, to fall silent, to wait for ever; to make the owner pay.
Stopped by: DR-20, DR-21, DR-58 (an input that does not fit is turned down before any route is opened), DR-02.
Outcome: refused. That asking is free but for gas, and that a large batch takes long, is not stopped.
"""

from __future__ import annotations

from typing import Any

import pytest

from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.envelope import query_context, seal_content, seal_output
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Digest, QueryId, RejectReason, SealingKey, TensorBytes
from tests.e2e.live_ring import random_images


def ask_with(ring: SteppedRing, plaintext: bytes | TensorBytes, key: Digest | None = None) -> QueryId:
    """A query whose input is this, properly sealed."""
    querent = ring.querent()
    used = key or querent._keys.sealing_public
    place = query_context(querent._client.domain, querent._keys.address, SealingKey(used))
    owner = ring.state.sealing_keys[querent._client.ouroboros]
    blob = (
        seal_output(owner, plaintext, place)
        if isinstance(plaintext, TensorBytes)
        else seal_content(owner, plaintext, place)
    )
    query, _ = querent._client.submit_query(ring.store().put(blob), SealingKey(used))
    return query


def raw_tensor(dtype: Any, shape: Any, data: Any) -> bytes:
    """A tensor's encoding, as nobody honest would write it."""
    return encode_fields("tensor", [dtype, shape, data])


POISON: dict[str, bytes | TensorBytes] = {
    "nothing": b"",
    "garbage": b"\xff" * 64,
    "deep nesting": b"\x81" * 100_000,
    "promised length": b"\x5b" + b"\xff" * 8,
    "no items": raw_tensor("int8", [0, 4, 4], b""),
    "negative": raw_tensor("int8", [-1, 4, 4], bytes(16)),
    "huge shape": raw_tensor("int8", [2**62, 4, 4], bytes(16)),
    "other item": TensorBytes("int8", (1, 5, 5), bytes(25)),
    "no batch": TensorBytes("int8", (4, 4), bytes(16)),
    "other dtype": TensorBytes("int32", (1, 4, 4), bytes(64)),
    "float": raw_tensor("float32", [1, 4, 4], bytes(64)),
    "text": raw_tensor("int8", "1,4,4", bytes(16)),
}


@refused
@pytest.mark.parametrize("poison", POISON.values(), ids=POISON.keys())
def test_unusable_input_is_turned_down_and_the_next_query_is_answered(
    attacked: SteppedRing, poison: bytes | TensorBytes
) -> None:
    query = ask_with(attacked, poison)
    following = attacked.ask()
    attacked.expect_answered(following)
    session = attacked.session(query)
    assert session.reject_reason in {RejectReason.MALFORMED, RejectReason.WRONG_SHAPE}
    assert session.attempt == 0


@refused
@pytest.mark.parametrize("key", [bytes([1]) + bytes(31), b"\xff" * 32], ids=["low order", "out of range"])
def test_key_to_which_no_answer_can_be_sealed_is_turned_down_or_harms_the_querent_alone(
    attacked: SteppedRing, key: bytes
) -> None:
    try:
        query = ask_with(attacked, attacked.model.card.quantise_input(random_images(1)), Digest(key))
    except ProtocolError:
        return
    following = attacked.ask()
    attacked.expect_answered(following)
    assert not attacked.session(query).is_open


@refused
def test_batch_that_no_envelope_could_hold_is_turned_down_and_no_worker_falls_silent(own_ring: SteppedRing) -> None:
    """Its input fits into a blob; what an honest layer makes of it does not, and so the worker could not answer."""
    owner = own_ring.worker("ouroboros")._owner
    items = 2000
    limit = items * owner.largest_item + 2000
    for name in own_ring.names:
        own_ring.member(name).store.max_bytes = limit
    images = random_images(items)
    query = own_ring.ask(images)
    own_ring.settle()
    session = own_ring.session(query)
    assert (session.reject_reason, session.faults) == (RejectReason.WRONG_SHAPE, ())
    own_ring.expect_answered(own_ring.ask())


@not_stopped("Denial of service.")
def test_not_stopped_batch_that_takes_longer_than_a_hop_may_finds_the_worker_silent(own_ring: SteppedRing) -> None:
    """The deadline knows nothing of the size: the owner chooses it for the largest batch that it wants to serve."""

    class Busy(Worker):
        def _execute(self, *turn: Any) -> Any:
            own_ring.wait(own_ring.client().hop_seconds + 1)
            return super()._execute(*turn)

    with own_ring.bribed("worker-2", Busy):
        query = own_ring.ask()
        own_ring.settle()
        own_ring.wait(own_ring.client().hop_seconds + 1)
        own_ring.settle(until=lambda: bool(own_ring.guilt(query)))
    assert own_ring.guilt(query) == [(2, FaultKind.SILENT)]


@not_stopped("Denial of service.")
def test_not_stopped_queries_cost_the_ring_more_gas_than_the_querent(own_ring: SteppedRing) -> None:
    """A query that is turned down costs its querent more than the owner; one that is served costs the ring far more."""
    web3 = own_ring.client().web3
    accounts = {name: own_ring.member(name).keys.address for name in own_ring.names}

    def spent() -> dict[str, int]:
        return {name: web3.eth.get_balance(address) for name, address in accounts.items()}  # type: ignore[arg-type]

    querent = own_ring.querent()._keys.address
    before, own = spent(), web3.eth.get_balance(querent)  # type: ignore[arg-type]
    ask_with(own_ring, b"garbage")
    own_ring.settle()
    rejected = sum(before.values()) - sum(spent().values())
    assert rejected < own - web3.eth.get_balance(querent)  # type: ignore[arg-type]
    before, own = spent(), web3.eth.get_balance(querent)  # type: ignore[arg-type]
    own_ring.expect_answered(own_ring.ask())
    served = sum(before.values()) - sum(spent().values())
    assert served > own - web3.eth.get_balance(querent)  # type: ignore[arg-type]
