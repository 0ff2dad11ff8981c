"""`timeOut`: a hop that is overdue ends its attempt; and no update after the deadline (protocol 8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3

from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.protocol.events import HopTimedOut
from deepring_chain.types import Attempt, Hop, QueryPhase, RingMode
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.query_driver import ScriptedQuery
from tests.chain.ring_driver import Ledger, ScriptedRing

HOP_SECONDS = 60

pytestmark = pytest.mark.usefixtures("clock")


def expect_deadline(query: ScriptedQuery, clock: Clock, deadline: int) -> None:
    """At the deadline the hop still has its turn; a second later anyone may end the attempt."""
    clock.advance(deadline - clock.now)
    with refused("DeadlineAhead", query=query.query, deadline=deadline, time=deadline):
        query.time_out()
    clock.advance(1)
    (event,) = query.ring.ledger.events(query.time_out())
    assert event == HopTimedOut(query.query, query.attempt, query.hop, deadline)


@pytest.mark.parametrize("hop", range(4))
def test_overdue_hop_ends_the_attempt(query: ScriptedQuery, clock: Clock, hop: int) -> None:
    query.advance(hop)
    before = query.state
    clock.advance(HOP_SECONDS + 1)
    (event,) = query.ring.ledger.events(query.time_out())
    assert event == HopTimedOut(query.query, Attempt(1), Hop(hop), before.touched_at + HOP_SECONDS)
    assert query.state == replace(before, phase=QueryPhase.INTERRUPTED)


@pytest.mark.parametrize("who", ["querent", "owner", "mallory", "the next hop", "the hop itself"])
def test_anyone_may_call_it(query: ScriptedQuery, clock: Clock, mallory: LocalAccount, who: str) -> None:
    query.advance(1)
    callers = {
        "querent": query.querent,
        "owner": query.ring.owner,
        "mallory": mallory,
        "the next hop": query.signers[2],
        "the hop itself": query.signers[1],
    }
    clock.advance(HOP_SECONDS + 1)
    query.time_out(callers[who])
    assert query.state.phase == QueryPhase.INTERRUPTED


@pytest.mark.parametrize("seconds", [0, 1, HOP_SECONDS - 1, HOP_SECONDS])
def test_hop_that_is_not_overdue_is_not_ended(query: ScriptedQuery, clock: Clock, seconds: int) -> None:
    """Mallory stops every query as soon as it begins."""
    query.advance(2)
    touched = query.state.touched_at
    clock.advance(seconds)
    with refused("DeadlineAhead", query=1, deadline=touched + HOP_SECONDS, time=touched + seconds):
        query.time_out()
    assert query.advance(4).state.phase == QueryPhase.COMPUTED


def test_deadline_counts_from_the_opening_of_the_route(ring: ScriptedRing, querent: LocalAccount, clock: Clock) -> None:
    query = ring.submit(querent)
    clock.advance(500)
    query.open_route()
    assert query.state.touched_at == clock.now
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


def test_deadline_counts_from_the_hop_before(query: ScriptedQuery, clock: Clock) -> None:
    for _ in range(3):
        clock.advance(HOP_SECONDS)
        query.post()
        assert query.state.touched_at == clock.now
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


def test_deadline_counts_from_the_opening_of_a_new_attempt(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(2)
    clock.advance(HOP_SECONDS + 1)
    query.time_out()
    clock.advance(300)
    query.resume(2)
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


def test_deadline_counts_from_when_the_ring_became_authentic_again(query: ScriptedQuery, clock: Clock) -> None:
    """The owner arranges anew while a hop works: that takes nothing from the hop's time."""
    query.advance(2)
    clock.advance(HOP_SECONDS)
    query.ring.arrange()
    clock.advance(1000)
    with refused("NotAuthentic", arrangement=2, mode=RingMode.ATTESTING):
        query.time_out()
    query.ring.attest(0, 1, 2, 3)
    assert query.ring.ledger.read("arrangement").authenticSince == clock.now
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


def test_deadline_counts_from_the_end_of_a_restore(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(2)
    query.ring.tamper(1)
    clock.advance(1000)
    with refused("NotAuthentic", arrangement=2, mode=RingMode.TRACKING):
        query.time_out()
    query.ring.order_restore(1)
    clock.advance(1000)
    query.ring.attest(1)
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


def test_ring_that_became_authentic_before_the_last_step_does_not_shorten_the_deadline(
    query: ScriptedQuery, clock: Clock
) -> None:
    query.ring.arrange()
    query.ring.attest(0, 1, 2, 3)
    clock.advance(HOP_SECONDS)
    query.post()
    expect_deadline(query, clock, clock.now + HOP_SECONDS)


@pytest.mark.parametrize("hop", range(4))
def test_update_at_the_deadline_is_accepted_and_one_after_it_refused(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, hop: int
) -> None:
    """A worker that comes late finds its place taken, whether or not anyone has ended the attempt."""
    punctual, late = (ring.submit(querent).open_route().advance(hop) for _ in range(2))
    deadline = clock.now + HOP_SECONDS
    clock.advance(HOP_SECONDS)
    punctual.post()
    clock.advance(1)
    with refused("DeadlinePassed", query=2, hop=hop, deadline=deadline, time=deadline + 1):
        late.post()
    late.time_out()
    with refused_state(late):
        late.carry(late.sign(late.update()), state=replace(late.state, touched_at=clock.now))


def test_late_update_is_refused_even_if_the_ring_was_not_authentic_before_the_route(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock
) -> None:
    """An earlier time without authenticity is no excuse."""
    ring.arrange()
    clock.advance(300)
    ring.attest(0, 1, 2, 3)
    query = ring.submit(querent).open_route()
    deadline = clock.now + HOP_SECONDS
    clock.advance(HOP_SECONDS + 1)
    with refused("DeadlinePassed", query=1, hop=0, deadline=deadline, time=deadline + 1):
        query.post()


def test_delivery_has_no_deadline_but_the_querents_own(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(4)
    clock.advance(10 * HOP_SECONDS)
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.ROUTED, actual=QueryPhase.COMPUTED):
        query.time_out()
    query.deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_recipient_may_complain_after_its_deadline_until_the_attempt_is_ended(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock
) -> None:
    first, second = (ring.submit(querent).open_route().advance(2) for _ in range(2))
    clock.advance(HOP_SECONDS + 1)
    first.complain()
    assert first.state.phase == QueryPhase.DISPUTED
    second.time_out()
    with refused("UnexpectedPhase", query=2, expected=QueryPhase.ROUTED, actual=QueryPhase.INTERRUPTED):
        second.complain()


def test_second_timeout_is_refused(query: ScriptedQuery) -> None:
    query.let_time_out()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.ROUTED, actual=QueryPhase.INTERRUPTED):
        query.time_out()


def test_timeout_of_one_query_does_not_end_another(ring: ScriptedRing, querent: LocalAccount, clock: Clock) -> None:
    first = ring.submit(querent).open_route()
    clock.advance(HOP_SECONDS)
    second = ring.submit(querent).open_route()
    clock.advance(1)
    first.time_out()
    with refused("DeadlineAhead", query=2, deadline=clock.now + HOP_SECONDS - 1, time=clock.now):
        second.time_out()
    assert second.advance(4).state.phase == QueryPhase.COMPUTED


def test_each_ledger_has_its_own_deadlines(
    ring: ScriptedRing, devnet: Devnet, chain: Web3, querent: LocalAccount, clock: Clock
) -> None:
    ledger = Ledger.deploy(chain, devnet.url, ring.owner, Deadlines(hop=5, withdraw=20))
    query = ScriptedRing(ledger, ring.owner, ring.workers).make_authentic().submit(querent).open_route()
    expect_deadline(query, clock, clock.now + 5)


def test_longest_deadline_never_passes_and_overflows_nothing(
    ring: ScriptedRing, devnet: Devnet, chain: Web3, querent: LocalAccount
) -> None:
    seconds = 2**40 - 2
    ledger = Ledger.deploy(chain, devnet.url, ring.owner, Deadlines(seconds, seconds + 1))
    query = ScriptedRing(ledger, ring.owner, ring.workers).make_authentic().submit(querent).compute()
    submitted = query.question.submitted_at
    with refused("DeadlineAhead", query=1, deadline=submitted + seconds + 1, time=submitted):
        query.withdraw()
    query.deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_time_out_that_the_ledger_would_refuse_costs_nothing(query: ScriptedQuery, clock: Clock) -> None:
    """An actor whose view is wrong tries again and again."""
    clock.advance(HOP_SECONDS + 1)
    before = query.ring.ledger.web3.eth.get_transaction_count(query.ring.owner.address)
    with refused_state(query):
        query.ring.owner_client.time_out(query.query, replace(query.state, attempt=Attempt(2)))
    assert query.ring.ledger.web3.eth.get_transaction_count(query.ring.owner.address) == before
