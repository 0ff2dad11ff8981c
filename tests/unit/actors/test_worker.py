"""A worker attests when seated, computes when it is its turn, signs once, and checks what it gets."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.actors import member as member_module
from deepring_chain.actors.member import Member
from deepring_chain.actors.worker.worker import Worker
from deepring_chain.crypto.signing import recover_signer
from deepring_chain.errors import ChainError, ProtocolError
from deepring_chain.model.dense import DenseLayer
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
)
from deepring_chain.protocol.notes import open_notes, seal_notes
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.protocol.update import decode_signed_update
from deepring_chain.store.content import BlobMissing
from deepring_chain.types import (
    ArrangementId,
    BlockHash,
    Challenge,
    Digest,
    Hop,
    Pointer,
    Position,
    QueryPhase,
    RingMode,
)
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import CPU, IMAGES, FakeRing, ask_up_to, client_of, make_keys, posts, session_of

# ---------------------------------------------------------------- a query goes round


def test_query_goes_round_and_the_answer_is_the_plain_models(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle()
    result = ring.querent.wait(query, 0, lambda _session, _mode: None)
    assert result.output == ring.model.run(ring.model.card.quantise_input(IMAGES))
    assert [posts(ring, layer) for layer in range(4)] == [[f"post {query} {hop}"] for hop in range(4)]


def test_each_hop_is_signed_by_its_layer(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    ring.settle()
    for hop, posted in session_of(ring, query).updates.items():
        signer = recover_signer(DOMAIN, posted.signed.update, posted.signed.signature)
        assert signer == ring.members[hop].keys.address


def test_queries_run_side_by_side(ring: FakeRing) -> None:
    ring.settle()
    queries = [ring.ask() for _ in range(3)]
    ring.settle()
    assert [session_of(ring, query).phase for query in queries] == [QueryPhase.DELIVERED] * 3
    outputs = {ring.querent.wait(query, 0, lambda _s, _m: None).output for query in queries}
    assert len(outputs) == 1


# ---------------------------------------------------------------- turns


def test_route_notes_are_opened_before_the_first_hop(ring: FakeRing) -> None:
    """A store that loses them then is no matter any more: each worker knows its part of the route."""
    ring.settle()
    query = ring.ask()
    while session_of(ring, query).phase is not QueryPhase.ROUTED:
        assert ring.step(0)
    assert not ring.step(1)
    notes = session_of(ring, query).notes
    ring.store._fs.rm_file(ring.store._path(notes))
    assert ring.step(0)
    assert ring.step(1)
    assert posts(ring, 1) == [f"post {query} 1"]


def test_worker_waits_for_its_turn(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    assert not ring.step(2)
    assert not ring.step(3)
    assert ring.step(1)
    assert posts(ring, 1) == [f"post {query} 1"]
    assert posts(ring, 2) == posts(ring, 3) == []


def test_worker_does_nothing_while_authenticity_is_off(ring: FakeRing) -> None:
    """The ring is arranged anew, another worker was tampered with: nobody computes for it."""
    query = ask_up_to(ring, 1)
    client_of(ring.members[0]).arrange(
        [member.keys.address for member in ring.members], BlockHash(Digest(bytes(32))), Pointer(Digest(bytes(32)))
    )
    ring.members[1].follower.refresh()
    assert ring.members[1].state.mode is RingMode.ATTESTING
    with pytest.raises(BlobMissing):  # it looks for its challenge, and for nothing else
        ring.step(1)
    assert posts(ring, 1) == []
    assert session_of(ring, query).next_hop == 1


def test_worker_without_a_note_does_nothing(ring: FakeRing) -> None:
    """Somebody who is in no query's route runs a worker."""
    ask_up_to(ring, 1)
    stranger = ring._member(9, make_keys(99))
    stranger.follower.refresh()
    assert not Worker(stranger, ring.blocks[0], CPU).act()
    assert client_of(stranger).calls == []


# ---------------------------------------------------------------- never twice


def test_worker_killed_between_signing_and_posting_posts_the_same_update(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second, different signature for one place would convict an honest worker."""
    query = ask_up_to(ring, 1)
    signed: list[Any] = []

    def die(_state: Any, update: Any) -> None:
        signed.append(update)
        raise ChainError("killed")

    monkeypatch.setattr(client_of(ring.members[1]), "post", die)
    with pytest.raises(ChainError, match="killed"):
        ring.step(1)
    ring.restart(1)
    assert ring.step(1)
    assert session_of(ring, query).updates[Hop(1)].signed == signed[0]
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_worker_that_looks_again_posts_nothing_new(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    ring.members[1].follower.refresh()
    assert ring.workers[0].act()
    before = session_of(ring, query)
    assert not ring.workers[0].act()  # has not heard of its own update yet: the ledger refuses, which is no error
    assert session_of(ring, query) == before
    assert not ring.step(1)


def test_update_is_recorded_before_it_is_posted(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    ring.step(1)
    (key,) = ring.members[1].journal.keys("update/")
    assert key.startswith(f"update/{query}/1/1/")
    recorded = ring.members[1].journal.read(key)
    assert recorded is not None
    assert decode_signed_update(recorded) == session_of(ring, query).updates[Hop(1)].signed


# ---------------------------------------------------------------- attestation


def tamper(ring: FakeRing, layer: int) -> None:
    """Changes one weight in the memory of a layer's worker."""
    block = ring.blocks[layer - 1]
    assert block.layers is not None
    own = block.layers.own
    assert isinstance(own, DenseLayer)
    weight = own.weight.clone()
    weight[0, 0] = -weight[0, 0] - 1
    block.layers = replace(block.layers, own=replace(own, weight=weight))


@pytest.mark.parametrize("layers", [(2,), (1, 3), (1, 2, 3)])
def test_tampered_parameters_are_found_named_and_restored(
    ring: FakeRing, layers: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """One weight is changed in the memory of some workers: the flag goes off, and each of them is restored."""
    for layer in layers:
        tamper(ring, layer)
    query = ring.ask()
    with caplog.at_level(logging.ERROR):
        ring.settle()
    flags = [entry.event.is_authentic for entry in ring.ledger.logged if isinstance(entry.event, AuthenticityDerived)]
    assert flags[:1] == [False]
    assert flags[-1] is True
    restored = {entry.event.worker for entry in ring.ledger.logged if isinstance(entry.event, RestoreOrdered)}
    assert restored == {ring.members[layer].keys.address for layer in layers}
    reports = [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RestoreReported)]
    assert {(report.worker, report.changed) for report in reports} == {
        (ring.members[layer].keys.address, f"layer.{layer}.weight") for layer in layers
    }
    for layer in layers:
        assert f"the block of layer {layer} " in caplog.text
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_nothing_is_computed_before_the_restore(ring: FakeRing) -> None:
    tamper(ring, 2)
    query = ring.ask()
    ring.settle(2)
    ring.step(2)
    ring.settle(2)
    assert ring.ledger.state.mode is not RingMode.QUERY
    assert session_of(ring, query).phase is QueryPhase.SUBMITTED


def test_stale_note_for_another_seat_is_refused(ring: FakeRing) -> None:
    """The notes of an arrangement are published again with the seats exchanged."""
    ring.settle()
    current = ring.ledger.state.arrangement
    assert current is not None
    arranged = current.arranged
    seats = (arranged.seats[0], *reversed(arranged.seats[1:]))
    ring.ledger.emit(RingArranged(arranged.arrangement, 1, seats, arranged.recorded_hash, arranged.notes))
    moved = [layer for layer in (1, 2, 3) if seats.index(ring.members[layer].keys.address) != 2]
    for layer in moved:
        with pytest.raises(ProtocolError, match="its notes are for seats: "):
            ring.step(layer)


def test_note_for_the_own_seat_is_found_behind_one_for_another(ring: FakeRing) -> None:
    """A member that was admitted with this one's public key has its own note sealed to it, too."""
    ring.step(0)
    member = ring.members[1]
    member.follower.refresh()
    place, arranged = member.seat_due(), member.arranged().arranged
    assert place is not None
    challenge = member.read_challenge(place)
    others = ArrangementNote(Position(place.position + 1), Challenge(Digest(bytes(32))))
    own = ArrangementNote(place.position, challenge)
    notes = [(member.keys.sealing_public, note.encode()) for note in (others, own)]
    info, orders = arrangement_context(DOMAIN, arranged.arrangement), set()
    for seed in range(8):
        bundle = seal_notes(notes, info, random.Random(seed))  # noqa: S311 - the order shall be the same in every run
        orders.add(next(open_notes(bundle, member.keys.sealing, info)))
        ring.ledger.emit(replace(arranged, notes=ring.store.put(bundle)))
        member.follower.refresh()
        assert member.read_challenge(place) == challenge
    assert len(orders) == 2


def test_worker_without_its_challenge_does_not_attest(ring: FakeRing) -> None:
    ring.step(0)
    other = ring._member(9, make_keys(2))
    stranger = replace(other, keys=replace(other.keys, sealing=make_keys(60).sealing))
    stranger.follower.refresh()
    position = stranger.seat_due()
    assert position is not None
    with pytest.raises(ProtocolError, match="no note for"):
        stranger.read_challenge(position)


def test_attested_key_is_kept_and_forgotten_when_no_query_needs_it(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys change with the order (paper 3.4.3): what is gone cannot be stolen later."""
    monkeypatch.setattr(member_module, "KEPT_ARRANGEMENTS", 2)
    ring.settle()
    for _ in range(3):
        query = ring.ask()
        ring.settle()
        assert session_of(ring, query).phase is QueryPhase.DELIVERED
    kept: list[Member] = ring.members
    expected = {f"sealing-key/{arrangement}" for arrangement in (2, 3, 4)}
    assert [set(member.journal.keys("sealing-key/")) for member in kept] == [expected] * 4
    assert all(set(member._sealing_keys) <= {2, 3, 4} for member in kept)
    newest = [member.sealing_key(ArrangementId(4)) for member in kept]
    for member in kept:
        member.forget_old_keys()
    assert all(member.sealing_key(ArrangementId(4)) is key for member, key in zip(kept, newest, strict=True))


def test_key_that_was_read_while_it_was_deleted_leaves_the_memory_with_the_next_ones(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lane that opens old notes may have read the journal just before the main loop deletes the key there."""
    monkeypatch.setattr(member_module, "KEPT_ARRANGEMENTS", 2)
    ring.settle()
    member: Member = ring.members[1]
    late = member.sealing_key(ArrangementId(1))
    for _ in range(4):
        ring.ask()
        ring.settle()
    member._sealing_keys[ArrangementId(1)] = late
    ring.ask()
    ring.settle()
    assert set(member._sealing_keys) <= {4, 5, 6}


def test_attested_key_of_an_arrangement_that_a_reorganization_may_bring_back_is_kept(ring: FakeRing) -> None:
    ring.settle()
    members: list[Member] = ring.members
    before = [member.sealing_key(ArrangementId(1)).private_bytes_raw() for member in members]
    ring.ask()
    ring.settle()
    assert members[0].arranged().arranged.arrangement == 2
    assert [member.sealing_key(ArrangementId(1)).private_bytes_raw() for member in members] == before


def test_attested_key_survives_a_restart(ring: FakeRing) -> None:
    ring.settle()
    arrangement = ring.ledger.state.arrangement
    assert arrangement is not None
    before = ring.members[1].sealing_key(arrangement.arranged.arrangement).private_bytes_raw()
    ring.restart(1)
    ring.members[1].follower.refresh()
    assert ring.members[1].sealing_key(arrangement.arranged.arrangement).private_bytes_raw() == before
