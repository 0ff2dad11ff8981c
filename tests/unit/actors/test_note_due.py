"""A worker signs for the note that opens the ledger's route link, and for no other, whoever sealed others to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from deepring_chain.actors.worker.worker import _place
from deepring_chain.protocol.decide.hop import OpenNotes, next_action
from deepring_chain.protocol.route import RouteNote
from deepring_chain.types import NO_ROUTE, Digest, Hop, QueryId
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, client_of, posts, session_of

ZERO = Digest(bytes(32))


def show_notes(ring: FakeRing, query: QueryId, *notes: RouteNote) -> None:
    """Worker 1 opens these notes instead of the ouroboros's."""
    ring.workers[0]._notes[_place(session_of(ring, query))] = notes


def own_note(ring: FakeRing, query: QueryId) -> RouteNote:
    (note,) = ring.workers[0]._open_notes(session_of(ring, query))
    return note


FORGERIES: list[Callable[[RouteNote], RouteNote]] = [
    lambda true: replace(true, salt=ZERO),
    lambda true: replace(true, next_route=NO_ROUTE),
    lambda true: replace(true, hop=Hop(2)),
]


@pytest.mark.parametrize("forge", FORGERIES, ids=["salt", "rest of the route", "hop"])
def test_note_that_does_not_open_the_link_gets_no_signature(
    ring: FakeRing, forge: Callable[[RouteNote], RouteNote]
) -> None:
    """The ledger would refuse the update; but signed, it is the forger's to show, and its keys were the forger's."""
    query = ask_up_to(ring, 1)
    show_notes(ring, query, forge(own_note(ring, query)))
    before = list(client_of(ring.members[1]).calls)
    assert not ring.step(1)
    assert client_of(ring.members[1]).calls == before
    assert list(ring.members[1].journal.keys("update/")) == []


def test_note_that_opens_the_link_is_found_behind_those_that_do_not(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    true = own_note(ring, query)
    show_notes(ring, query, *(forge(true) for forge in FORGERIES), true)
    assert ring.step(1)
    assert posts(ring, 1) == [f"post {query} 1"]


def test_hop_of_another_layer_starts_no_step(ring: FakeRing) -> None:
    """Once its notes are open, worker 2 knows that hop 1 is not its own, and begins nothing."""
    query = ask_up_to(ring, 1)
    session = session_of(ring, query)
    ring.members[2].follower.refresh()
    assert ring.step(2) is False
    assert next_action(ring.workers[1].turn_of(session)) is None
    assert next_action(ring.workers[0].turn_of(session)) == OpenNotes()
