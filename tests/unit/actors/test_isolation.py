"""One query's trouble stays its own: it neither stops the others nor comes back to life as another's."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.actors.worker.worker import Worker
from deepring_chain.errors import ChainError, ConfigError, ProtocolError, StoreError
from deepring_chain.protocol.envelope import query_context, seal_output
from deepring_chain.protocol.events import QuerySubmitted
from deepring_chain.protocol.route import RouteNote
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import (
    ArrangementId,
    Digest,
    Hop,
    Pointer,
    QueryId,
    QueryPhase,
    Question,
    RejectReason,
    SealingKey,
    TensorBytes,
)
from tests.unit.actors.fake_ledger import DOMAIN
from tests.unit.actors.fake_ring import IMAGES, FakeRing, client_of, make_keys, make_querent, session_of

MALLORY = make_keys(66)


def run_with_failures(ring: FakeRing) -> None:
    """Lets all act for a while; a failure is tried again, as `Actor.run` does."""
    for _ in range(20):
        for index in range(len(ring.members)):
            try:
                ring.step(index)
            except (ProtocolError, ChainError, StoreError):
                continue


# ---------------------------------------------------------------- others go on


@pytest.mark.parametrize("point", [bytes([1]) + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"], ids=["1", "p - 1"])
def test_query_that_could_never_be_answered_is_rejected(ring: FakeRing, point: bytes) -> None:
    """Mallory names a weak sealing key: the whole ring would compute, and the answer could not be sealed to her."""
    ring.settle()
    key = Digest(point)
    place = query_context(DOMAIN, MALLORY.address, SealingKey(key))
    image = TensorBytes("int8", (1, 3, 4), bytes(12))
    pointer = ring.store.put(seal_output(ring.members[0].keys.sealing_public, image, place))
    trail = start_trail(QueryId(1), MALLORY.address, Question(pointer, SealingKey(key), ring.ledger.now + 1))
    ring.ledger.emit(QuerySubmitted(QueryId(1), MALLORY.address, pointer, SealingKey(key), trail))
    good = ring.ask()
    ring.settle()
    assert session_of(ring, QueryId(1)).reject_reason is RejectReason.MALFORMED
    assert session_of(ring, good).phase is QueryPhase.DELIVERED


class SilentOnce(Worker):
    """Points to an envelope that is not there, for the first query only."""

    def _send_output(self, session: Session, note: RouteNote, output: TensorBytes) -> Pointer:
        return Pointer(Digest(bytes(32)) if session.query == 1 else super()._send_output(session, note, output))


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_query_that_is_stuck_does_not_keep_a_later_one_waiting(ring: FakeRing, layer: int) -> None:
    """A malicious layer spoils one query: its neighbor, worker or ouroboros, serves the next all the same."""
    ring.settle()
    ring.replace_worker(layer, SilentOnce)
    spoiled, good = ring.ask(), ring.ask()
    run_with_failures(ring)
    assert session_of(ring, good).phase is QueryPhase.DELIVERED
    assert session_of(ring, spoiled).is_open


# ---------------------------------------------------------------- after a reorganization


def test_input_of_a_query_that_is_gone_is_not_taken_for_its_successor(ring: FakeRing) -> None:
    """A reorganization gives a query's id to another querent: it must not get the answer to the first one's input."""
    ring.settle()
    height = ring.ledger.height
    first = ring.ask()
    ring.settle(1)
    ring.ledger.set_back(height)
    other = make_querent(ring.ledger, ring.store, 51)
    images = 255 - IMAGES
    second = other.submit(images)
    assert second == first
    ring.settle()
    result = other.wait(second, 0, lambda _session, _mode: None)
    assert result.output == ring.model.run(ring.model.card.quantise_input(images))


def test_worker_whose_history_was_exchanged_signs_for_the_new_one(ring: FakeRing) -> None:
    """After a reorganization notes and trail are others: neither the old note nor the recorded update may be used."""
    ring.settle()
    height = ring.ledger.height
    query = ring.ask()
    ring.settle(2, 3)
    old = session_of(ring, query).updates[Hop(1)].signed
    ring.ledger.set_back(height)
    assert ring.ask() == query
    ring.settle()
    new = session_of(ring, query).updates[Hop(1)].signed
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert new.update.trail != old.update.trail
    assert len(ring.members[1].journal.keys("update/")) == 2


# ---------------------------------------------------------------- records


def test_route_drawn_before_a_new_arrangement_is_drawn_anew(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node was away when a route was to be opened: its notes are sealed to keys that are forgotten by then."""
    ring.settle()
    first, second = ring.ask(), ring.ask()
    client = client_of(ring.members[0])
    original = client.open_route

    def flaky(query: QueryId, *rest: Any) -> None:
        if query == second:
            raise ChainError("away")
        original(query, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(client, "open_route", flaky)
        run_with_failures(ring)
    assert session_of(ring, first).phase is QueryPhase.DELIVERED
    assert ring.ledger.state.arrangement is not None
    assert ring.ledger.state.arrangement.arranged.arrangement == 2
    ring.settle()
    assert session_of(ring, second).phase is QueryPhase.DELIVERED


@pytest.mark.parametrize("damage", ["password", "bytes"])
def test_recorded_key_that_does_not_open_is_one_line(ring: FakeRing, damage: str) -> None:
    ring.settle()
    member = ring.members[1]
    if damage == "password":
        member.password = "another"
    else:
        member.journal.forget("sealing-key/1")
        member.journal.record_once("sealing-key/1", lambda: b"no key")
    member._sealing_keys.clear()  # as after a start
    with pytest.raises(ConfigError, match="sealing key of arrangement 1: does not open"):
        member.sealing_key(ArrangementId(1))
