"""What the ouroboros keeps of queries' inputs, how often it opens them, and when it lets go of them."""

from __future__ import annotations

from typing import Any

import pytest

from deepring_chain.actors.ouroboros.inputs import ENVELOPE_BYTES, WrongShape
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryId
from tests.unit.actors.fake_ring import IMAGES, FakeRing, session_of
from tests.unit.actors.test_room import inputs_of


def opened(ring: FakeRing) -> QueryId:
    """A query whose route is open: its input was read."""
    ring.settle()
    query = ring.ask()
    while session_of(ring, query).attempt == 0:
        assert ring.step(0)
    ring.members[0].follower.refresh()
    return query


def refuse(*_: object) -> Any:
    pytest.fail("was asked for again")


def test_input_is_opened_once(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    first = inputs.input_of(session)
    monkeypatch.setattr(inputs, "blob_of", refuse)
    assert inputs.input_of(session) is first


def test_room_of_a_query_that_is_served_is_not_measured_again(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    monkeypatch.setattr(ring.members[0].journal, "size", refuse)
    inputs.follow([session])
    assert inputs.is_served(session)


def test_journal_is_looked_through_only_when_other_queries_are_open(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    inputs.follow([session])
    with monkeypatch.context() as patched:
        patched.setattr(ring.members[0].journal, "keys", refuse)
        inputs.follow([session])
    monkeypatch.setattr(ring.members[0].journal, "keys", lambda prefix: [f"{prefix}{session.query}/00"])
    monkeypatch.setattr(ring.members[0].journal, "forget", refuse)
    with pytest.raises(pytest.fail.Exception, match="asked for again"):
        inputs.follow([])


@pytest.mark.parametrize("still_open", [True, False])
def test_opened_input_stays_as_long_as_its_query_is_open(ring: FakeRing, still_open: bool) -> None:
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    size = len(inputs.input_of(session).data)
    others: list[Session] = [session_of(ring, ring.ask())]
    inputs.follow([session, *others] if still_open else others)
    assert inputs.opened.held == (size if still_open else 0)


def test_query_whose_input_is_opened_has_room_for_what_it_weighs(ring: FakeRing) -> None:
    """Also one whose room is not known any more."""
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    before = inputs.room.taken
    inputs.follow([])
    assert inputs.room.taken == 0
    inputs.input_of(session)
    assert inputs.room.taken == before > 0


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_input_whose_outputs_no_envelope_holds_does_not_fit(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool
) -> None:
    session, inputs = session_of(ring, opened(ring)), inputs_of(ring)
    inputs.follow([])
    items = IMAGES.shape[0]
    largest = items * inputs._owner.largest_item
    monkeypatch.setattr(ring.store, "max_bytes", largest + ENVELOPE_BYTES + spare)
    if fits:
        assert inputs.input_of(session).shape[0] == items
        return
    with pytest.raises(WrongShape, match="an envelope holds"):
        inputs.input_of(session)
