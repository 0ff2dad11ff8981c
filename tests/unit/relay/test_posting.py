"""How an update reaches the ledger: through the relay, and past it when the relay fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from deepring_chain.actors.posting import PATIENCE, DirectPosting, RelayedPosting
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryPhase, SignedUpdate
from tests.unit.relay.relay_script import DOMAIN, address, digest, relayed, routed, signed_for, state_of

HOP_SECONDS = 30


@dataclass
class ScriptedClient:
    """A ledger that takes everything, and remembers it."""

    posted: list[tuple[QueryState, tuple[SignedUpdate, ...]]] = field(default_factory=list)
    hop_seconds: int = HOP_SECONDS

    def block_time(self, number: int) -> int:
        return 1000 + number

    def post(self, state: QueryState, *updates: SignedUpdate) -> None:
        self.posted.append((state, updates))


@dataclass
class ScriptedTransport:
    """A relay that takes everything, or refuses everything for a reason."""

    refusal: str = ""
    sent: list[SignedUpdate] = field(default_factory=list)

    def opened(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        del wake
        return nullcontext()

    def send(self, signed: SignedUpdate) -> str:
        self.sent.append(signed)
        return self.refusal

    def forget_ended(self, state: LedgerState) -> None:
        del state


class Scene:
    """One worker's posting, over a ledger that stands still."""

    def __init__(self, me: int = 2, refusal: str = "") -> None:
        self.session, self.now = routed(), 0.0
        self.client, self.transport, self.hops = ScriptedClient(), ScriptedTransport(refusal), RelayedHops(DOMAIN)
        self.state = state_of(self.session)
        client: Any = self.client
        self.posting = RelayedPosting(
            client, address(me), lambda: self.state, self.hops, self.transport, lambda: self.now
        )

    def view(self) -> Session:
        return self.posting.view(self.session)


def test_direct_posting_posts_each_update_with_the_ledgers_state() -> None:
    client: Any = ScriptedClient()
    session = routed()
    signed = signed_for(session)
    posting = DirectPosting(client)
    assert posting.hand_in(session, signed)
    assert client.posted == [(session.state(client.block_time), (signed,))]
    assert not posting.settle_first(session)
    assert not posting.is_stuck(session)
    assert not posting.is_ahead(session)
    assert posting.view(session) is session


def test_relayed_update_moves_the_view_and_not_the_ledger() -> None:
    scene = Scene()
    assert scene.posting.hand_in(scene.session, signed_for(scene.session))
    assert scene.view().next_hop == 1
    assert scene.client.posted == []


def test_refused_update_is_posted_with_all_that_must_stand_before_it() -> None:
    scene = Scene(refusal="away")
    view = relayed(scene.session, scene.hops, 2)
    signed = signed_for(view)
    assert scene.posting.hand_in(view, signed)
    ((state, updates),) = scene.client.posted
    assert state == scene.session.state(scene.client.block_time)
    assert updates == (*scene.hops.pending(scene.session), signed)


def test_violation_of_eq_13_is_posted_by_itself_after_the_ledger_has_caught_up() -> None:
    scene = Scene()
    view = relayed(scene.session, scene.hops, 1)
    contradiction = signed_for(view, output=digest(5))
    assert not scene.posting.hand_in(view, contradiction)
    settled = scene.hops.pending(scene.session)
    assert [updates for _, updates in scene.client.posted] == [settled]
    scene.state = state_of(view)
    assert scene.posting.hand_in(view, contradiction)
    assert [updates for _, updates in scene.client.posted[1:]] == [(contradiction,)]
    assert scene.transport.sent == []


def test_session_is_ahead_as_long_as_the_ledger_does_not_have_what_was_relayed() -> None:
    scene = Scene()
    assert not scene.posting.is_ahead(scene.session)
    view = relayed(scene.session, scene.hops, 2)
    assert scene.posting.is_ahead(view)
    scene.state = state_of(view)
    assert not scene.posting.is_ahead(view)
    scene.state = LedgerState()
    assert not scene.posting.is_ahead(view)


def test_what_speaks_of_the_ledger_waits_until_it_has_caught_up() -> None:
    scene = Scene()
    assert not scene.posting.settle_first(scene.session)
    view = relayed(scene.session, scene.hops, 3)
    assert scene.posting.settle_first(view)
    assert [len(updates) for _, updates in scene.client.posted] == [3]


@pytest.mark.parametrize(("me", "turns"), [(3, 1), (2, 2), (1, 3)])
def test_signer_of_the_last_hop_is_the_first_to_settle_what_stands_still(me: int, turns: int) -> None:
    scene = Scene(me)
    view = relayed(scene.session, scene.hops, 3)
    patience = HOP_SECONDS / PATIENCE
    assert not scene.posting.is_stuck(view)
    scene.now = turns * patience
    assert not scene.posting.is_stuck(view)
    scene.now += 0.1
    assert scene.posting.is_stuck(view)


def test_progress_begins_the_wait_anew() -> None:
    scene = Scene()
    view = relayed(scene.session, scene.hops, 2)
    assert not scene.posting.is_stuck(view)
    scene.now = 3 * HOP_SECONDS
    view = relayed(scene.session, scene.hops, 1)
    assert not scene.posting.is_stuck(view)


def test_who_signed_nothing_that_waits_is_never_stuck() -> None:
    scene = Scene(me=4)
    view = relayed(scene.session, scene.hops, 2)
    scene.posting.is_stuck(view)
    scene.now = 100 * HOP_SECONDS
    assert not scene.posting.is_stuck(view)


def test_ended_queries_are_forgotten_and_open_or_unknown_ones_kept() -> None:
    scene = Scene()
    relayed(scene.session, scene.hops, 1)
    for state in (LedgerState(), scene.state):
        scene.posting.forget_ended(state)
        assert scene.hops.queries() == [scene.session.query]
    scene.posting.forget_ended(state_of(replace(scene.session, phase=QueryPhase.WITHDRAWN)))
    assert scene.hops.queries() == []


def test_query_that_ended_and_was_dropped_by_the_next_arrangement_is_forgotten() -> None:
    """An answer and an arrangement may be read in one look."""
    scene = Scene()
    relayed(scene.session, scene.hops, 1)
    scene.posting.forget_ended(LedgerState(newest=scene.session.query - 1))
    assert scene.hops.queries() == [scene.session.query]
    scene.posting.forget_ended(LedgerState(newest=scene.session.query))
    assert scene.hops.queries() == []


def test_query_that_the_ledger_does_not_have_any_more_is_not_settled() -> None:
    """A reorganization took it, together with the view that an actor holds."""
    scene = Scene()
    view = relayed(scene.session, scene.hops, 2)
    scene.state = LedgerState()
    assert not scene.posting.settle_first(view)
    assert scene.client.posted == []


def test_hop_that_was_relayed_since_the_look_at_the_query_is_no_trouble() -> None:
    """The relay's thread is not the one that looks: more may be pending than the session shows."""
    scene = Scene(me=1)
    earlier = scene.view()
    relayed(scene.session, scene.hops, 2)
    assert not scene.posting.is_stuck(earlier)


def test_update_that_the_relay_took_without_saying_so_is_posted_once() -> None:
    scene = Scene(refusal="ReadTimeout")
    view = relayed(scene.session, scene.hops, 1)
    signed = signed_for(view)
    scene.hops.add(scene.hops.read(signed))
    assert scene.posting.hand_in(view, signed)
    ((_, updates),) = scene.client.posted
    assert [each.update.hop for each in updates] == [0, 1]
