"""`openRoute`: the owner commits to who will sign, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import RouteOpened
from deepring_chain.types import NO_ROUTE, ZERO, Attempt, Hop, QueryId, QueryPhase, TrailHash
from tests.chain.expect import refused, refused_state
from tests.chain.ring_driver import ScriptedQuery, ScriptedRing, named


def test_route_is_committed_with_one_hop_for_each_seat(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    receipt = ring.owner_client.open_route(query.query, query.state, query.links[0], named("notes"), query.items)
    opened = RouteOpened(query.query, Attempt(1), Hop(0), query.items, query.links[0], named("notes"))
    assert ring.ledger.events(receipt) == [opened]
    assert query.place == (QueryPhase.ROUTED, 1, 0, query.links[0], ZERO, query.trail)


def test_routes_of_several_queries_are_open_at_once(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = ring.submit(querent), ring.submit(querent)
    second.open_route()
    first.open_route()
    assert (first.state.route, second.state.route) == (first.links[0], second.links[0])


def test_others_than_the_owner_are_refused(ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount) -> None:
    query = ring.submit(querent)
    for account in (mallory, querent, ring.workers[0]):
        with refused("NotOuroboros", ouroboros=ring.owner.address, caller=account.address):
            ring.ledger.by(account).open_route(query.query, query.state, query.links[0], named("notes"), query.items)


def test_empty_route_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    with refused("EmptyRoute", query=query.query):
        ring.owner_client.open_route(query.query, query.state, NO_ROUTE, named("notes"), query.items)


def test_first_route_tells_the_number_of_items(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    assert query.state.items == 0
    query.items = 2**32 - 1
    assert query.open_route().state.items == 2**32 - 1


def test_route_for_no_items_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent)
    query.items = 0
    with refused("UnexpectedItems", query=query.query, expected=0, actual=0):
        query.open_route()


@pytest.mark.parametrize("items", [0, 2, 4])
def test_later_route_for_another_number_of_items_is_refused(
    ring: ScriptedRing, querent: LocalAccount, items: int
) -> None:
    """What was asked is the same in each attempt, and an anchor's signer has signed for it."""
    query = ring.submit(querent).open_route().advance(2)
    query.let_time_out()
    query.items = items
    with refused("UnexpectedItems", query=query.query, expected=3, actual=items):
        query.reopen()


def test_later_attempts_keep_the_number_of_items(ring: ScriptedRing, querent: LocalAccount) -> None:
    query = ring.submit(querent).open_route().advance(2)
    begins: tuple[Callable[[], object], ...] = (lambda: query.resume(2), query.reopen)
    for begin in begins:
        query.let_time_out()
        begin()
        assert query.state.items == query.items


def test_route_of_an_unknown_query_is_refused(ring: ScriptedRing) -> None:
    unknown = ScriptedQuery(ring, QueryId(7), TrailHash(ZERO))
    with refused_state(unknown):
        unknown.open_route()
