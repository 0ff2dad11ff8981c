"""How much of strangers' queries is held at once, in memory and on disk, and who waits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepring_chain.actors.ouroboros.inputs import QueryInputs
from deepring_chain.actors.ouroboros.ouroboros import ROOM
from deepring_chain.actors.ouroboros.room import LEAST_BYTES, Asked, Room, TensorCache
from deepring_chain.errors import ProtocolError
from deepring_chain.store.content import BlobTooLarge
from deepring_chain.types import Digest, QueryId, QueryPhase, RejectReason, TensorBytes
from tests.unit.actors.fake_ring import IMAGES, FakeRing, session_of

ITEMS = 40_000
"""Their inputs take 480 kB, and the model is nowhere larger."""


def asked(number: int) -> Asked:
    return QueryId(number), Digest(bytes([number]) * 32)


def tensor(size: int) -> TensorBytes:
    return TensorBytes("int8", (size,), bytes(size))


def inputs_of(ring: FakeRing) -> QueryInputs:
    return ring.ouroboros._inputs


def kept(ring: FakeRing) -> int:
    """Bytes of sealed inputs on disk."""
    journal = ring.members[0].journal
    return sum(journal.size(key) or 0 for key in journal.keys("input/"))


def ask_large(ring: FakeRing, times: int = 1) -> QueryId:
    return ring.querent.submit(np.tile(IMAGES[:1], (ITEMS * times, 1, 1)))


def limit_to(ring: FakeRing, queries: float) -> None:
    """Room for so many large queries."""
    inputs_of(ring).room.limit = int(queries * inputs_of(ring)._weight(12 * ITEMS + 1000))


def served(ring: FakeRing, queries: list[QueryId]) -> list[QueryId]:
    return [query for query in queries if session_of(ring, query).phase is QueryPhase.ROUTED]


# ---------------------------------------------------------------- the bounds themselves


def test_room_is_shared_until_it_is_full_and_free_again_when_a_query_ends() -> None:
    room = Room(10)
    assert [room.enter(asked(number), lambda: 4) for number in (1, 2, 3)] == [True, True, False]
    assert (room.taken, room.waiting) == (8, [asked(3)])
    room.keep_only({asked(2), asked(3)})
    assert room.enter(asked(3), lambda: 4)
    assert (room.taken, room.waiting) == (8, [])


def test_nobody_enters_before_an_older_one_that_waits() -> None:
    """Else a stream of small queries would keep a large one waiting for ever."""
    room = Room(10)
    assert room.enter(asked(1), lambda: 6)
    assert not room.enter(asked(2), lambda: 9)
    assert room.is_next(asked(2))
    assert not room.is_next(asked(3))
    assert not room.enter(asked(3), lambda: 1)
    room.leave(asked(1))
    assert not room.enter(asked(3), lambda: 1)
    assert room.enter(asked(2), lambda: 9)
    assert room.enter(asked(3), lambda: 1)


def test_older_one_that_is_gone_holds_nobody_up() -> None:
    room = Room(10)
    assert room.enter(asked(1), lambda: 6)
    assert not room.enter(asked(2), lambda: 9)
    room.keep_only({asked(1), asked(3)})
    assert room.enter(asked(3), lambda: 1)


def test_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    cache: TensorCache[object] = TensorCache(10)
    for number in (1, 2):
        cache.put(number, tensor(4))
    assert cache.get(1) == tensor(4)
    cache.put(3, tensor(4))
    assert [cache.get(number) is not None for number in (1, 2, 3)] == [True, False, True]
    cache.put(4, tensor(11))
    assert (cache.get(4), cache.held) == (None, 8)


# ---------------------------------------------------------------- the ouroboros


def test_queries_that_do_not_fit_wait_sealed_and_are_served_in_turn(ring: FakeRing) -> None:
    limit_to(ring, 2.5)
    ring.settle()
    queries = [ask_large(ring) for _ in range(5)]
    ring.settle(1)
    limit = inputs_of(ring).room.limit
    assert served(ring, queries) == queries[:2]
    assert kept(ring) <= limit
    assert session_of(ring, queries[2]).phase is QueryPhase.SUBMITTED
    assert f"query {queries[2]}" in ring.members[0].metrics.troubles[ROOM]
    ring.settle()
    assert {session_of(ring, query).phase for query in queries} == {QueryPhase.DELIVERED}
    assert (kept(ring), inputs_of(ring).room.taken) == (0, 0)
    assert ROOM not in ring.members[0].metrics.troubles


def test_opened_inputs_that_leave_the_memory_are_opened_again(ring: FakeRing) -> None:
    inputs_of(ring).opened._limit = 0
    query = ring.ask()
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    assert inputs_of(ring).opened.held == 0


def test_room_is_known_again_after_a_restart(ring: FakeRing) -> None:
    limit_to(ring, 2.5)
    ring.settle()
    queries = [ask_large(ring) for _ in range(3)]
    ring.settle(1)
    taken = inputs_of(ring).room.taken
    ring.restart(0)
    limit_to(ring, 2.5)
    ring.settle(1)
    assert inputs_of(ring).room.taken == taken > 0
    assert served(ring, queries) == queries[:2]


def test_query_that_could_never_fit_is_turned_down_unread_and_holds_nobody_up(ring: FakeRing) -> None:
    limit_to(ring, 2.5)
    ring.settle()
    huge, small = ask_large(ring, times=3), ring.ask()
    ring.settle()
    assert session_of(ring, huge).reject_reason is RejectReason.WRONG_SHAPE
    assert session_of(ring, small).phase is QueryPhase.DELIVERED


def test_input_that_grows_on_its_way_counts_as_what_it_grows_to(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image of some bytes may be a hundred times that after its first convolution."""
    inputs = inputs_of(ring)
    assert inputs._weight(12 * 10_000) == 12 * 10_000
    monkeypatch.setattr(type(ring.ouroboros._owner), "largest_item", 1200)
    assert inputs._weight(12 * 10_000) == 1200 * 10_000


def test_many_small_queries_are_bounded_as_well(ring: FakeRing) -> None:
    """Each has a route, notes and keys, which its input's bytes do not tell."""
    inputs_of(ring).room.limit = 3 * LEAST_BYTES
    ring.settle()
    queries = [ring.ask() for _ in range(5)]
    ring.settle(1)
    assert served(ring, queries) == queries[:3]
    ring.settle()
    assert {session_of(ring, query).phase for query in queries} == {QueryPhase.DELIVERED}


def test_query_whose_input_cannot_be_opened_gives_its_room_back(ring: FakeRing) -> None:
    inputs = inputs_of(ring)
    ring.settle()
    whole = session_of(ring, ring.ask())
    cut = replace(whole, sealed_input=ring.store.put(ring.store.get(whole.sealed_input)[:-1]))
    assert inputs.admit(whole)
    assert inputs.admit(cut)
    with pytest.raises(ProtocolError):
        inputs.input_of(cut)
    assert [inputs.is_served(session) for session in (whole, cut)] == [True, False]


def test_step_that_ends_after_its_query_keeps_no_room(ring: FakeRing) -> None:
    """Attack: a querent withdraws just when its input is opened, and those who wait for its room wait for ever."""
    inputs = inputs_of(ring)
    ring.settle()
    session, waiting = (session_of(ring, ring.ask()) for _ in range(2))
    inputs.follow([session, waiting])
    inputs.room.limit = LEAST_BYTES
    assert inputs.admit(session)
    inputs.follow([waiting])
    inputs.input_of(session)
    inputs.follow([waiting])
    assert inputs.admit(waiting)


def test_blob_that_grew_since_it_was_weighed_is_not_read(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to the store could have sixteen lanes read the largest blobs at once."""
    inputs = inputs_of(ring)
    ring.settle()
    session = session_of(ring, ring.ask())
    monkeypatch.setattr(ring.store, "size", lambda _digest: 10)
    assert inputs.admit(session)
    path = ring.folder / "store" / session.sealed_input.hex()[:2] / session.sealed_input.hex()
    path.write_bytes(bytes(LEAST_BYTES + 1))
    with pytest.raises(BlobTooLarge):
        inputs.input_of(session)
