"""`withdrawQuery`: a querent is not kept waiting for ever, by nobody."""

from __future__ import annotations

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import QueryWithdrawn
from deepring_chain.types import ZERO, Address, QueryId, QueryPhase
from tests.chain.clock import Clock
from tests.chain.expect import refused
from tests.chain.names import address_of
from tests.chain.query_driver import BRINGERS, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

WITHDRAW_SECONDS = 600
OPEN = ["SUBMITTED", "ROUTED", "COMPUTED", "DISPUTED", "INTERRUPTED"]
ENDED = ["DELIVERED", "REJECTED"]

pytestmark = pytest.mark.usefixtures("clock")


@pytest.mark.parametrize("phase", OPEN)
def test_open_query_is_withdrawn_after_the_deadline(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, phase: str
) -> None:
    query = ring.submit(querent)
    BRINGERS[phase](query)
    before = query.state
    assert (before.querent, before.submittedAt) == (address_of(querent), clock.now)
    clock.advance(WITHDRAW_SECONDS + 1)
    assert ring.ledger.events(query.withdraw()) == [QueryWithdrawn(query.query)]
    assert query.state == before._replace(phase=QueryPhase.WITHDRAWN)


@pytest.mark.parametrize("seconds", [0, 61, WITHDRAW_SECONDS - 1, WITHDRAW_SECONDS])
def test_withdrawal_before_the_deadline_is_refused(query: ScriptedQuery, clock: Clock, seconds: int) -> None:
    """A querent lets the ring work, and takes the query back before the answer is on record."""
    submitted = query.state.submittedAt
    query.advance(4)
    clock.advance(seconds)
    with refused("DeadlineAhead", query=1, deadline=submitted + WITHDRAW_SECONDS, time=submitted + seconds):
        query.withdraw()
    query.deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_deadline_counts_from_the_submission_whatever_happens_since(query: ScriptedQuery, clock: Clock) -> None:
    """The owner begins attempt after attempt; the querent's time goes on."""
    deadline = query.state.submittedAt + WITHDRAW_SECONDS
    for _ in range(5):
        clock.advance(100)
        query.time_out()
        query.reopen()
    query.ring.arrange()
    clock.advance(101)
    query.ring.attest(0, 1, 2, 3)
    assert clock.now == deadline + 1
    query.withdraw()
    assert query.state.phase == QueryPhase.WITHDRAWN


def test_others_than_the_querent_are_refused(query: ScriptedQuery, clock: Clock, mallory: LocalAccount) -> None:
    """The owner, a worker or a stranger makes a query go away that should be answered."""
    clock.advance(WITHDRAW_SECONDS + 1)
    for account in (mallory, query.ring.owner, *query.ring.workers):
        with refused("NotQuerent", query=1, querent=query.querent.address, caller=account.address):
            query.withdraw(account)
    assert query.state.phase == QueryPhase.ROUTED


def test_other_querent_is_refused(ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount) -> None:
    """Mallory asked something too."""
    first, second = ring.submit(querent), ring.submit(mallory)
    second.wait_and_withdraw()
    with refused("NotQuerent", query=1, querent=querent.address, caller=mallory.address):
        first.withdraw(mallory)


@pytest.mark.parametrize("phase", ENDED)
def test_query_that_has_ended_is_not_withdrawn(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, phase: str
) -> None:
    """A querent disowns an answer that it got."""
    query = ring.submit(querent)
    BRINGERS[phase](query)
    clock.advance(WITHDRAW_SECONDS + 1)
    with refused("QueryNotOpen", query=1, phase=QueryPhase[phase]):
        query.withdraw()


def test_second_withdrawal_is_refused(query: ScriptedQuery) -> None:
    """It is over already."""
    query.wait_and_withdraw()
    with refused("QueryNotOpen", query=1, phase=QueryPhase.WITHDRAWN):
        query.withdraw()


def test_unknown_query_is_refused_for_anyone(ring: ScriptedRing, mallory: LocalAccount) -> None:
    """There is nobody who asked: not even the zero address."""
    unknown = ScriptedQuery(ring, QueryId(7), ZERO, mallory)
    with refused("QueryNotOpen", query=7, phase=QueryPhase.NONE):
        unknown.withdraw()


def test_answer_comes_too_late_after_a_withdrawal(query: ScriptedQuery) -> None:
    """The owner delivers what nobody waits for."""
    query.advance(4).wait_and_withdraw()
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.COMPUTED, actual=QueryPhase.WITHDRAWN):
        query.deliver()


def test_other_queries_are_not_touched(ring: ScriptedRing, querent: LocalAccount) -> None:
    first, second = (ring.submit(querent) for _ in range(2))
    first.wait_and_withdraw()
    assert second.compute().state.phase == QueryPhase.COMPUTED
    assert second.state.querent == Address(querent.address)
