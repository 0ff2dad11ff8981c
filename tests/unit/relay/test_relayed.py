"""What was relayed: joined to the ledger's session only where the ledger would accept it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.crypto.signing import SignatureInvalid
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import HopTimedOut, RouteOpened
from deepring_chain.protocol.relayed import (
    MOST_CANDIDATES,
    MOST_QUERIES,
    MOST_UPDATES,
    RelayedHops,
    check_continues,
    why_not,
)
from deepring_chain.types import ZERO, Attempt, Hop, QueryId, QueryPhase
from tests.unit.relay.relay_script import (
    DOMAIN,
    HOPS,
    ITEMS,
    LINKS,
    NOW,
    OTHER_LEDGER,
    address,
    digest,
    relayed,
    routed,
    signed_for,
)


def test_relayed_hops_continue_the_ledgers_session() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    view = relayed(session, hops, 2)
    assert (view.next_hop, view.phase, view.route) == (2, QueryPhase.ROUTED, LINKS[2])
    assert view.expected_output == digest(702)
    assert [signed.update.hop for signed in hops.pending(session)] == [0, 1]
    assert {hop: event.signer for hop, event in view.updates.items()} == {0: address(1), 1: address(2)}
    assert session.next_hop == 0


def test_all_hops_make_the_query_computed_with_a_state_that_is_known_before_it_is_settled() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    view = relayed(session, hops, HOPS)
    assert view.phase is QueryPhase.COMPUTED
    state = view.state(lambda block: block)
    assert (state.touched_at, state.hop, state.route, state.trail) == (0, HOPS, ZERO, view.trail)


def test_same_session_is_viewed_as_the_same_object_until_there_is_news() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    assert hops.view(session) is session
    view = relayed(session, hops, 1)
    assert hops.view(session) is view
    assert relayed(session, hops, 1) is not view


def test_settled_hops_are_no_longer_pending() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    view = relayed(session, hops, 2)
    settled = session.apply(view.updates[Hop(0)], NOW)
    assert [signed.update.hop for signed in hops.pending(settled)] == [1]
    assert hops.view(settled).trail == view.trail


def test_updates_of_an_ended_attempt_do_not_continue_the_next_one() -> None:
    """A timeout leaves the trail as it was: the attempt alone tells them apart."""
    hops, session = RelayedHops(DOMAIN), routed()
    relayed(session, hops, 2)
    ended = session.apply(HopTimedOut(session.query, Attempt(1), Hop(0), 9), NOW)
    assert hops.view(ended) is ended
    again = ended.apply(RouteOpened(session.query, Attempt(2), Hop(0), ITEMS, LINKS[0], digest(22)), NOW)
    assert hops.view(again) is again


def test_updates_may_come_in_any_order_and_before_the_ledger_is_read() -> None:
    first, session = RelayedHops(DOMAIN), routed()
    relayed(session, first, 3)
    second = RelayedHops(DOMAIN)
    for signed in reversed(first.pending(session)):
        second.add(second.read(signed))
    assert second.pending(session) == first.pending(session)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attempt": Attempt(2)}, "hop 1 of attempt 1 is due"),
        ({"hop": Hop(2)}, "hop 1 of attempt 1 is due"),
        ({"query": QueryId(2)}, "hop 1 of attempt 1 is due"),
        ({"trail": digest(1)}, "another history"),
        ({"output": digest(1)}, "eq. 13"),
    ],
)
def test_update_that_the_ledger_would_refuse_continues_nothing(changes: dict[str, Any], reason: str) -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    view = relayed(session, hops, 1)
    event = hops.read(signed_for(view, **changes))
    assert reason in why_not(view, event)
    with pytest.raises(ProtocolError, match="hop"):
        check_continues(view, event)
    hops.add(event)
    assert hops.view(session).next_hop == 1


def test_update_of_another_signer_continues_nothing() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    event = hops.read(signed_for(session, signer=2))
    assert "not the turn" in why_not(session, event)
    hops.add(event)
    assert hops.view(session) is session


@pytest.mark.parametrize("items", [ITEMS - 1, ITEMS + 1])
def test_update_signed_for_another_number_of_items_continues_nothing(items: int) -> None:
    """The ledger, which makes the digest with the query's own number, would find another signer."""
    hops, session = RelayedHops(DOMAIN), routed()
    event = hops.read(signed_for(session, items=items))
    assert why_not(session, event) == f"signed for {items} items, the query has {ITEMS}"
    hops.add(event)
    assert hops.view(session) is session


@pytest.mark.parametrize("name", ["salt", "next_route"])
def test_update_that_opens_another_link_continues_nothing(name: str) -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    link: dict[str, Any] = {name: digest(3)}
    event = hops.read(replace(signed_for(session), **link))
    assert "not the turn" in why_not(session, event)


@pytest.mark.parametrize("name", ["envelope", "output", "next_output"])
def test_content_changed_after_signing_is_another_signers(name: str) -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    signed = signed_for(session)
    content: dict[str, Any] = {name: digest(3)}
    event = hops.read(replace(signed, update=replace(signed.update, **content)))
    assert event.signer != address(1)
    assert why_not(session, event)


def test_update_for_another_ledger_is_another_signers() -> None:
    hops, session = RelayedHops(OTHER_LEDGER), routed()
    assert why_not(session, hops.read(signed_for(session)))


def test_signature_of_nobody_is_refused() -> None:
    hops = RelayedHops(DOMAIN)
    with pytest.raises(SignatureInvalid):
        hops.read(replace(signed_for(routed()), signature=bytes(65)))


def test_hop_of_a_query_that_waits_for_no_hop_continues_nothing() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    event = hops.read(signed_for(session))
    waiting = replace(session, phase=QueryPhase.INTERRUPTED)
    assert "no hop is due" in why_not(waiting, event)


def test_wrong_updates_over_a_history_do_not_shut_the_right_one_out_of_the_relay() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    wrong = [hops.read(signed_for(session, signer=2, output=digest(number))) for number in range(MOST_CANDIDATES + 2)]
    assert [hops.add(event) for event in wrong].count(True) == MOST_CANDIDATES
    # The relay itself checks before it adds, so that only a worker whose relay lies ever holds these.
    assert hops.view(session) is session


def test_attempts_that_were_timed_out_before_anything_was_settled_shut_no_later_one_out() -> None:
    """They all go on from one history. The query would stand still: the relay takes the hop, and nobody sees it."""
    hops, session = RelayedHops(DOMAIN), routed()
    for attempt in range(1, MOST_CANDIDATES + 4):
        assert relayed(session, hops, 2).next_hop == 2
        timed_out = session.apply(HopTimedOut(session.query, Attempt(attempt), Hop(0), 9), NOW)
        opened = RouteOpened(session.query, Attempt(attempt + 1), Hop(0), ITEMS, LINKS[0], digest(21 + attempt))
        session = timed_out.apply(opened, NOW)
    assert len(hops._updates[session.query][session.trail]) == MOST_CANDIDATES


def test_memory_is_bounded_in_histories_and_queries() -> None:
    hops = RelayedHops(DOMAIN)
    event = hops.read(signed_for(routed()))

    def at(query: int, trail: int) -> bool:
        update = replace(event.signed.update, query=QueryId(query), trail=digest(trail))
        return hops.add(replace(event, signed=replace(event.signed, update=update)))

    assert sum(at(1, trail) for trail in range(MOST_UPDATES + 5)) == MOST_UPDATES
    assert sum(at(query, 1) for query in range(2, MOST_QUERIES + 10)) == MOST_QUERIES - 1
    assert at(2, 2)  # of a query that is known already
    hops.forget(QueryId(1))
    assert at(1, 1)
    assert not at(1, 1)


def test_forgotten_query_has_nothing_pending() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    relayed(session, hops, 2)
    hops.forget(session.query)
    assert hops.view(session) is session
    assert hops.queries() == []


def test_queries_of_which_nothing_was_relayed_leave_nothing_behind() -> None:
    """One that is rejected, or posted past the relay, is viewed as often as any other, and never forgotten."""
    hops = RelayedHops(DOMAIN)
    sessions = [replace(routed(), query=QueryId(query)) for query in range(1, 6)]
    assert [hops.view(session) for session in sessions] == sessions
    assert hops._views == {}
    assert all(hops.view(session) is session for session in sessions)


def test_view_of_a_query_that_is_looked_at_after_its_end_leaves_nothing_behind() -> None:
    hops, session = RelayedHops(DOMAIN), routed()
    relayed(session, hops, 2)
    hops.forget(session.query)
    assert hops.view(session) is session
    assert hops._views == {}
