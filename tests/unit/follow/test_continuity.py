"""A story in which the node repeats or leaves out something is not taken for the whole one."""

from __future__ import annotations

import pytest

from deepring_chain.errors import ProtocolError
from deepring_chain.follow.continuity import take_in
from deepring_chain.protocol.events import EnvelopeDisputed, LoggedEvent, QuerySubmitted, UpdatePosted, VerdictPosted
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.types import QueryPhase
from tests.unit.actors.fake_ring import FakeRing, session_of
from tests.unit.actors.test_disputes import LyingWorker

KINDS = (QuerySubmitted, UpdatePosted, EnvelopeDisputed, VerdictPosted)


@pytest.fixture
def story(ring: FakeRing) -> list[LoggedEvent]:
    """A query with a dispute, a verdict and an answer."""
    ring.settle()
    ring.replace_worker(2, LyingWorker)
    query = ring.ask()
    for _ in range(40):
        if session_of(ring, query).faults:
            break
        for index in range(4):
            ring.step(index)
    ring.workers[1].__class__ = ring.workers[0].__class__
    ring.settle()
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    return list(ring.ledger.logged)


def test_whole_story_is_taken_in_whatever_its_order(story: list[LoggedEvent]) -> None:
    told, reversed_ = LedgerState(), LedgerState()
    take_in(told, story)
    take_in(reversed_, story[::-1])
    assert told.sessions == reversed_.sessions != {}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_event_that_is_told_twice_is_noticed(story: list[LoggedEvent], kind: type) -> None:
    twice = next(logged for logged in story if isinstance(logged.event, kind))
    with pytest.raises(ProtocolError, match="told an event twice"):
        take_in(LedgerState(), [*story, twice])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_event_that_was_taken_in_before_is_noticed(story: list[LoggedEvent], kind: type) -> None:
    again = next(logged for logged in story if isinstance(logged.event, kind))
    state = LedgerState()
    take_in(state, story)
    with pytest.raises(ProtocolError, match=f"left out or repeated what was before {kind.__name__}"):
        take_in(state, [again])


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.__name__)
def test_event_that_is_left_out_is_noticed_at_the_next_one(story: list[LoggedEvent], kind: type) -> None:
    hidden = next(logged for logged in story if isinstance(logged.event, kind))
    with pytest.raises(ProtocolError, match="left out or repeated"):
        take_in(LedgerState(), [logged for logged in story if logged is not hidden])
