"""`withdrawQuery`: a querent is not kept waiting for ever, by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.events import QueryWithdrawn
from deepring_chain.protocol.trail import VIOLATION, extend_trail, start_trail
from deepring_chain.types import NO_BLOB, ZERO, QueryId, QueryPhase, Question, TrailEntry, TrailHash
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.query_driver import BRINGERS, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

WITHDRAW_SECONDS = 600
OPEN = ["SUBMITTED", "ROUTED", "COMPUTED", "DISPUTED", "INTERRUPTED"]
ENDED = ["DELIVERED", "REJECTED"]

pytestmark = pytest.mark.usefixtures("clock")


@contextmanager
def refused_history(
    query: ScriptedQuery, caller: LocalAccount, question: Question | None = None, later: list[TrailEntry] | None = None
) -> Iterator[None]:
    """What is claimed - who asked what and when, and all that happened since - is not what led to the trail."""
    trail = start_trail(query.query, address_of(caller), question or query.question)
    for entry in query.history if later is None else later:
        trail = extend_trail(trail, entry.digest, entry.signer)
    before = query.state
    with refused("UnexpectedTrail", query=query.query, expected=query.trail, actual=trail):
        yield
    assert query.state == before


QUESTIONS: dict[str, Callable[[Question], Question]] = {
    "another input": lambda question: replace(question, sealed_input=NO_BLOB),
    "another key": lambda question: replace(question, sealing_key=named("another key")),
    "asked earlier": lambda question: replace(question, submitted_at=question.submitted_at - WITHDRAW_SECONDS),
    "asked long ago": lambda question: replace(question, submitted_at=0),
    "asked later": lambda question: replace(question, submitted_at=question.submitted_at + 1),
}
HISTORIES: dict[str, Callable[[list[TrailEntry]], list[TrailEntry]]] = {
    "none": lambda later: later[:0],
    "without the last": lambda later: later[:-1],
    "without the mark": lambda later: [entry for entry in later if entry != VIOLATION],
    "reversed": lambda later: later[::-1],
    "one entry more": lambda later: [*later, later[-1]],
    "another signer": lambda later: [TrailEntry(later[0].digest, later[-1].signer), *later[1:]],
}


@pytest.mark.parametrize("which", QUESTIONS)
def test_withdrawal_of_another_question_is_refused(query: ScriptedQuery, clock: Clock, which: str) -> None:
    """The querent says that it asked long ago."""
    query.advance(2)
    question = QUESTIONS[which](query.question)
    client = query.ring.ledger.by(query.querent)
    for _ in range(2):
        with refused_history(query, query.querent, question):
            client.withdraw_query(query.query, query.state, question, query.history)
        clock.advance(WITHDRAW_SECONDS + 1)


@pytest.mark.parametrize("which", HISTORIES)
def test_withdrawal_with_another_history_is_refused(query: ScriptedQuery, clock: Clock, which: str) -> None:
    """What happened to the query is left out, or made up."""
    query.advance(1).contradict()
    clock.advance(WITHDRAW_SECONDS + 1)
    later, client = HISTORIES[which](query.history), query.ring.ledger.by(query.querent)
    with refused_history(query, query.querent, later=later):
        client.withdraw_query(query.query, query.state, query.question, later)


@pytest.mark.parametrize("phase", OPEN)
def test_open_query_is_withdrawn_after_the_deadline(
    ring: ScriptedRing, querent: LocalAccount, clock: Clock, phase: str
) -> None:
    query = ring.submit(querent)
    BRINGERS[phase](query)
    before = query.state
    assert query.question.submitted_at == clock.now
    clock.advance(WITHDRAW_SECONDS + 1)
    assert ring.ledger.events(query.withdraw()) == [QueryWithdrawn(query.query)]
    assert query.state == replace(before, phase=QueryPhase.WITHDRAWN)


@pytest.mark.parametrize("seconds", [0, 61, WITHDRAW_SECONDS - 1, WITHDRAW_SECONDS])
def test_withdrawal_before_the_deadline_is_refused(query: ScriptedQuery, clock: Clock, seconds: int) -> None:
    """A querent lets the ring work, and takes the query back before the answer is on record."""
    submitted = query.question.submitted_at
    query.advance(4)
    clock.advance(seconds)
    with refused("DeadlineAhead", query=1, deadline=submitted + WITHDRAW_SECONDS, time=submitted + seconds):
        query.withdraw()
    query.deliver()
    assert query.state.phase == QueryPhase.DELIVERED


def test_deadline_counts_from_the_submission_whatever_happens_since(query: ScriptedQuery, clock: Clock) -> None:
    """The owner begins attempt after attempt; the querent's time goes on."""
    deadline = query.question.submitted_at + WITHDRAW_SECONDS
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
        with refused_history(query, account):
            query.withdraw(account)
    assert query.state.phase == QueryPhase.ROUTED


def test_other_querent_is_refused(ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount) -> None:
    """Mallory asked something too."""
    first, second = ring.submit(querent), ring.submit(mallory)
    second.wait_and_withdraw()
    with refused_history(first, mallory):
        first.withdraw(mallory)
    question = second.question
    with refused_history(first, mallory, question):
        mallorys = ring.ledger.by(mallory)
        mallorys.withdraw_query(first.query, first.state, question, first.history)


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
    unknown = ScriptedQuery(ring, QueryId(7), TrailHash(ZERO), mallory)
    with refused_state(unknown):
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
    second.wait_and_withdraw()
    assert second.state.phase == QueryPhase.WITHDRAWN
