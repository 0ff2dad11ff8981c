"""The ouroboros turns useless queries down, opens each route once, and says the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assurance.adversary.liars import colluders
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.crypto.digest import commit_output
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ChainError
from deepring_chain.protocol.envelope import query_context, seal_content, seal_output
from deepring_chain.protocol.events import QuerySubmitted
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.session import FaultKind
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import (
    Digest,
    Hop,
    Pointer,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    RingMode,
    SignedUpdate,
    TensorBytes,
)
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import IMAGES, FakeRing, client_of, make_keys, make_querent, session_of

MALLORY = make_keys(66)


def submit(ring: FakeRing, pointer: Pointer) -> QueryId:
    """Mallory's query with any blob."""
    query = QueryId(len(ring.ledger.state.sessions) + 1)
    trail = start_trail(query, MALLORY.address, Question(pointer, MALLORY.sealing_public, ring.ledger.now + 1))
    ring.ledger.emit(QuerySubmitted(query, MALLORY.address, pointer, MALLORY.sealing_public, trail))
    return query


def sealed(ring: FakeRing, plaintext: bytes) -> Pointer:
    place = query_context(DOMAIN, MALLORY.address, MALLORY.sealing_public)
    return ring.store.put(seal_content(ring.members[0].keys.sealing_public, plaintext, place))


def sealed_tensor(ring: FakeRing, tensor: TensorBytes) -> Pointer:
    place = query_context(DOMAIN, MALLORY.address, MALLORY.sealing_public)
    return ring.store.put(seal_output(ring.members[0].keys.sealing_public, tensor, place))


def rejected_for(ring: FakeRing, pointer: Pointer) -> RejectReason | None:
    """What becomes of the query; a good one submitted after it must be answered all the same."""
    query = submit(ring, pointer)
    good = ring.ask()
    ring.settle()
    assert session_of(ring, good).phase is QueryPhase.DELIVERED
    return session_of(ring, query).reject_reason


# ---------------------------------------------------------------- rejections


@pytest.mark.parametrize(
    "tensor",
    [
        TensorBytes("int8", (1, 4, 3), bytes(12)),
        TensorBytes("int8", (12,), bytes(12)),
        TensorBytes("int8", (1, 12), bytes(12)),
        TensorBytes("int8", (1, 1, 3, 4), bytes(12)),
        TensorBytes("int8", (3, 4), bytes(12)),
        TensorBytes("int8", (), bytes(1)),
        TensorBytes("uint8", (1, 3, 4), bytes(12)),
        TensorBytes("int32", (1, 3, 4), bytes(48)),
    ],
)
def test_input_of_another_shape_is_rejected(ring: FakeRing, tensor: TensorBytes) -> None:
    ring.settle()
    assert rejected_for(ring, sealed_tensor(ring, tensor)) is RejectReason.WRONG_SHAPE


@pytest.mark.parametrize("plaintext", [b"", b"image", encode_fields("tensor", ["int8", [1, 3, 4], bytes(11)])])
def test_input_that_is_no_tensor_is_rejected(ring: FakeRing, plaintext: bytes) -> None:
    ring.settle()
    assert rejected_for(ring, sealed(ring, plaintext)) is RejectReason.MALFORMED


@pytest.mark.parametrize("blob", [b"", b"blob", encode_fields("envelope", [b""])])
def test_blob_that_is_no_envelope_is_rejected(ring: FakeRing, blob: bytes) -> None:
    ring.settle()
    assert rejected_for(ring, ring.store.put(blob)) is RejectReason.MALFORMED


def test_input_that_does_not_open_is_rejected(ring: FakeRing) -> None:
    ring.settle()
    assert rejected_for(ring, ring.store.put(encode_fields("envelope", [bytes(80), bytes(80)]))) is (
        RejectReason.UNDECRYPTABLE
    )


def test_anothers_query_posted_again_is_rejected(ring: FakeRing) -> None:
    """Mallory posts the pointer to the querent's sealed images as her own query, to get the answer sealed to her."""
    ring.settle()
    query = ring.ask()
    ring.settle()
    stolen = session_of(ring, query).sealed_input
    assert rejected_for(ring, stolen) is RejectReason.UNDECRYPTABLE


def test_input_that_is_not_in_the_store_is_rejected(ring: FakeRing) -> None:
    ring.settle()
    assert rejected_for(ring, Pointer(Digest(bytes([9]) * 32))) is RejectReason.BLOB_UNAVAILABLE


def test_input_whose_blob_was_altered_is_rejected(ring: FakeRing) -> None:
    """The store's host changes a blob: its digest tells."""
    ring.settle()
    pointer = sealed_tensor(ring, TensorBytes("int8", (1, 3, 4), bytes(12)))
    path = next((ring.folder / "store").rglob(pointer.hex()))
    *kept, last = path.read_bytes()
    path.write_bytes(bytes([*kept, last ^ 1]))
    assert rejected_for(ring, pointer) is RejectReason.BLOB_UNAVAILABLE


def test_good_input_of_a_stranger_is_served(ring: FakeRing) -> None:
    ring.settle()
    query = submit(ring, sealed_tensor(ring, TensorBytes("int8", (1, 3, 4), bytes(12))))
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


# ---------------------------------------------------------------- the ring's order


def test_queries_wait_until_the_ring_is_attested(ring: FakeRing) -> None:
    query = ring.ask()
    ring.settle(3)
    assert ring.ledger.state.mode is RingMode.ATTESTING
    assert session_of(ring, query).phase is QueryPhase.SUBMITTED
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_ring_is_arranged_anew_after_a_query(ring: FakeRing) -> None:
    """Paper 3.4.3: order, challenge and keys change, and the next query goes a way of its own."""
    ring.settle()
    first = ring.ledger.state.arrangement
    queries = []
    for _ in range(2):
        queries.append(session_of(ring, ring.ask()))
        ring.settle()
    second = ring.ledger.state.arrangement
    assert first is not None
    assert second is not None
    assert second.arranged.arrangement == 3
    assert set(second.arranged.seats) == set(first.arranged.seats)
    assert second.arranged.seats[0] == first.arranged.seats[0] == ring.members[0].keys.address
    assert second.arranged.recorded_hash != first.arranged.recorded_hash
    assert not set(second.block_hashes) & set(first.block_hashes)
    keys = [{entry.sealing_key for entry in state.attestations.values()} for state in (first, second)]
    assert not keys[0] & keys[1]
    routes = {session_of(ring, entry.query).notes for entry in queries}
    assert len(routes) == 2


def test_commitments_of_equal_queries_are_not_equal(ring: FakeRing) -> None:
    """An observer of the ledger looks for two queries with the same input."""
    ring.settle()
    queries = [ring.ask(), ring.ask()]
    ring.settle()
    updates = [session_of(ring, query).updates for query in queries]
    for hop in range(4):
        first, second = (each[Hop(hop)].signed.update for each in updates)
        assert first.output != second.output
        assert first.envelope != second.envelope
    assert len({session_of(ring, query).sealed_input for query in queries}) == 2


# ---------------------------------------------------------------- restarts


@pytest.mark.parametrize(
    ("call", "recorded"),
    [("arrange", "arrangement/"), ("open_route", "route/"), ("post", "update/")],
)
def test_ouroboros_killed_before_a_call_says_the_same_after_it(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, call: str, recorded: str
) -> None:
    """What was drawn or signed once is never drawn or signed anew: two routes would part the ring."""
    told: list[Any] = []
    if call != "arrange":
        ring.settle()
    query = ring.ask()

    def die(*arguments: Any) -> None:
        told.append(arguments)
        raise ChainError("killed")

    monkeypatch.setattr(client_of(ring.members[0]), call, die)
    with pytest.raises(ChainError, match="killed"):
        ring.settle()
    assert len(ring.members[0].journal.keys(recorded)) == 1
    ring.restart(0)
    retold: list[Any] = []
    original = getattr(client_of(ring.members[0]), call)

    def listen(*arguments: Any) -> None:
        retold.append(arguments)
        original(*arguments)

    monkeypatch.setattr(client_of(ring.members[0]), call, listen)
    ring.settle()
    assert retold[0] == told[0]
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_ring_goes_on_after_a_restart_at_any_hop(ring: FakeRing, layer: int) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle(*range(layer + 1, 4))
    for index in range(4):
        ring.restart(index)
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    result = ring.querent.wait(query, 0, lambda _s, _m: None)
    assert result.output == ring.model.run(ring.model.card.quantise_input(IMAGES))


def test_transaction_that_the_ledger_has_already_is_no_error(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    owner = ring.members[0]
    owner.follower.refresh()
    assert ring.ouroboros.act()
    assert not ring.ouroboros.act()  # has not heard of its own call yet
    assert client_of(owner).calls.count(f"open_route {query}") == 2
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


# ---------------------------------------------------------------- the final receiver


def test_ouroboros_that_comes_back_after_the_deadline_of_hop_0_ends_the_attempt_and_begins_another(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.settle()
    query, client = ring.ask(), client_of(ring.members[0])
    post = client.post

    def post_late(state: QueryState, signed: SignedUpdate) -> None:
        if signed.update.attempt == 1:
            raise LedgerReverted("DeadlinePassed", {"query": query, "hop": 0})
        post(state, signed)

    monkeypatch.setattr(client, "post", post_late)
    ring.settle()
    assert [(fault.attempt, fault.hop, fault.kind) for fault in session_of(ring, query).faults] == [
        (1, 0, FaultKind.SILENT)
    ]
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_hop_0_that_no_longer_fits_its_route_ends_with_a_timeout_and_not_before(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reorganization gave the query another route, and what was signed for its hop 0 is of the old one.

    On a chain without other blocks an estimate never sees the deadline pass.
    """
    ring.settle()
    query, client = ring.ask(), client_of(ring.members[0])
    post = client.post

    def post_of_another_route(state: QueryState, signed: SignedUpdate) -> None:
        if signed.update.attempt == 1:
            raise LedgerReverted("UnexpectedState", {"query": query})
        post(state, signed)

    monkeypatch.setattr(client, "post", post_of_another_route)
    for _ in range(10):
        ring.step(0)
    assert session_of(ring, query).faults == ()
    ring.now += client.hop_seconds + 1
    ring.settle()
    assert [(fault.attempt, fault.hop, fault.kind) for fault in session_of(ring, query).faults] == [
        (1, 0, FaultKind.SILENT)
    ]
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_output_of_the_last_layer_is_checked_before_delivery(ring: FakeRing) -> None:
    """The last layer commits to one output and sends another: nothing is delivered."""
    ring.settle()
    query = ring.ask()
    ring.settle(3)
    ring.step(3)
    owner = ring.members[0]
    owner.follower.refresh()
    session = owner.state.sessions[query]
    posted = session.updates[Hop(3)]
    other = commit_output(Digest(bytes(32)), TensorBytes("int32", (1,), bytes(4)))
    update = replace(posted.signed.update, output=other)
    altered = replace(posted, signed=replace(posted.signed, update=update))
    owner.state.sessions[query] = replace(session, updates={**session.updates, Hop(3): altered})
    ring.ouroboros.act()
    assert client_of(owner).calls[-1] == f"complain {query} 4 UNREADABLE"
    assert not [call for call in client_of(owner).calls if call.startswith("deliver")]


def test_output_that_the_last_layer_cannot_give_is_not_delivered(ring: FakeRing) -> None:
    """Layers 2 and 3 agree on it, and so it fits its commitment."""
    ring.settle()
    for layer, kind in enumerate(colluders(TensorBytes("int8", (2, 5), bytes(10))), 2):
        ring.replace_worker(layer, kind)
    query = ring.ask()
    for _ in range(2):
        for index in range(4):
            ring.step(index)
    assert session_of(ring, query).phase is QueryPhase.COMPUTED
    ring.step(0)
    assert client_of(ring.members[0]).calls[-1] == f"complain {query} 4 UNREADABLE"


def test_answer_is_sealed_to_the_querent_alone(ring: FakeRing) -> None:
    """Everybody in the ring reads the store and tries its key on the answer."""
    ring.settle()
    query = ring.ask()
    ring.settle()
    thief = make_querent(ring.ledger, ring.store, 66)
    answer = session_of(ring, query).answer
    assert answer is not None
    blob = ring.store.get(answer.answer)
    expected = ring.model.run(ring.model.card.quantise_input(IMAGES))
    assert expected.data not in blob
    assert session_of(ring, query).sealing_key == public_bytes(make_keys(50).sealing)
    with pytest.raises(ChainError, match="only that account can read"):
        thief.wait(query, 0, lambda _s, _m: None)


def test_batches_come_back_in_order(ring: FakeRing) -> None:
    ring.settle()
    images = np.random.default_rng(3).integers(0, 256, (5, 3, 4), dtype=np.uint8)
    query = ring.querent.submit(images)
    ring.settle()
    result = ring.querent.wait(query, 0, lambda _s, _m: None)
    assert result.output.shape == (5, 3)
    assert result.output == ring.model.run(ring.model.card.quantise_input(images))
