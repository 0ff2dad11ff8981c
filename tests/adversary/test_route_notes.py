"""Route notes: swapped, forged, or read by others.

Who: an outsider with the store; a member; an earlier reader.
Wants: a worker to act at another's turn, on another route, or with other keys than the ouroboros drew.
Stopped by: DR-22 and I-3 (a note is good only for the link on the ledger), DR-25 (bound to query and attempt).
Outcome: refused. Notes that are withheld: test_withheld_blobs, test_lying_store.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from assurance.adversary.outcomes import refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.protocol.notes import open_notes, seal_notes
from deepring_chain.protocol.route import RouteNote, route_context
from deepring_chain.protocol.session import Session
from deepring_chain.types import Digest, Hop


def note_of(ring: SteppedRing, session: Session, name: str) -> RouteNote:
    """A worker's own note."""
    member = ring.member(name)
    info = route_context(member.client.domain, session.query, session.attempt)
    (opened,) = open_notes(ring.store().get(session.notes), member.sealing_key(session.arrangement), info)
    return RouteNote.decode(opened)


def place_notes(ring: SteppedRing, session: Session, *forged: RouteNote, to: str) -> None:
    """The store gives a worker other notes under the pointer's name, properly sealed to it: its digest check is off.

    More than a store can do; a worker must not rely on the store alone.
    """
    member = ring.member(to)
    info = route_context(member.client.domain, session.query, session.attempt)
    key = public_bytes(member.sealing_key(session.arrangement))
    bundle = seal_notes([(key, note.encode()) for note in forged], info, random.Random(1))  # noqa: S311
    worker = ring.worker(to)
    decoded = tuple(
        RouteNote.decode(note) for note in open_notes(bundle, member.sealing_key(session.arrangement), info)
    )
    honest = worker._open_notes
    worker._open_notes = lambda asked: decoded if asked.query == session.query else honest(asked)
    worker._notes.clear()


def other_hop(true: RouteNote) -> RouteNote:
    return RouteNote(**{**vars(true), "hop": Hop(3)})


def other_salt(true: RouteNote) -> RouteNote:
    return RouteNote(**{**vars(true), "salt": Digest(bytes(32))})


def other_rest(true: RouteNote) -> RouteNote:
    return RouteNote(**{**vars(true), "next_route": Digest(bytes(32))})


def other_items(true: RouteNote) -> RouteNote:
    return RouteNote(**{**vars(true), "items": true.items + 1})


@refused
@pytest.mark.parametrize("forge", [other_hop, other_salt, other_rest, other_items], ids=lambda forge: forge.__name__)
def test_note_that_does_not_open_the_link_makes_its_reader_do_nothing(
    own_ring: SteppedRing, forge: Callable[[RouteNote], RouteNote]
) -> None:
    query = own_ring.ask_up_to(2)
    session = own_ring.session(query)
    place_notes(own_ring, session, forge(note_of(own_ring, session, "worker-2")), to="worker-2")
    own_ring.settle()
    assert own_ring.session(query).next_hop == 2
    assert "worker-2" not in own_ring.troubles
    assert list(own_ring.member("worker-2").journal.keys(f"update/{query}/")) == []  # not even signed


@refused
def test_note_of_another_is_passed_over_for_the_own_one(own_ring: SteppedRing) -> None:
    """Both open: a neighbor's note that was sealed to this worker, too, comes first."""
    query = own_ring.ask_up_to(2)
    session = own_ring.session(query)
    mine, others = note_of(own_ring, session, "worker-2"), note_of(own_ring, session, "worker-3")
    place_notes(own_ring, session, others, mine, to="worker-2")
    own_ring.expect_answered(query)
    assert own_ring.guilt(query) == []


@refused
def test_notes_of_another_attempt_under_the_pointer_of_this_one_are_not_read(attacked: SteppedRing) -> None:
    """The store swaps two blobs; each is held against its name."""
    first = attacked.ask()
    attacked.settle("worker-1")
    second = attacked.ask()
    attacked.settle("worker-1")
    one, other = (attacked.path_of(attacked.session(query).notes) for query in (first, second))
    swapped = one.read_bytes(), other.read_bytes()
    if one != other:
        one.write_bytes(swapped[1])
        other.write_bytes(swapped[0])
    attacked.settle()
    attacked.wait(3)
    attacked.expect_answered(first)
    attacked.expect_answered(second)
    assert attacked.guilt(first) + attacked.guilt(second) == []
