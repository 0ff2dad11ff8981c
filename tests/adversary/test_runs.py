"""Runs and witnesses: entries go to the ledger in batches, and whoever posts says what state the query is in.

Who: who carries a batch, such as the ouroboros's relay; a worker in it; an outsider who sees it in the pool.
Wants: an entry smuggled into another's run, dropped from it, moved or said twice; a state of its own choosing believed;
a batch of others made to fail.
Stopped by: DR-23 and DR-22 (the ledger rebuilds from entry, signer and link the one state that they lead back to, and
holds its word), I-2, I-3.
Outcome: refused. That one bad entry makes a batch fail is not stopped: it is sent again without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from assurance.adversary.outcomes import not_stopped, refused
from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.chain.settlement import Settlement
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Attempt, Hop, QueryPhase, SignedUpdate
from tests.chain.names import named
from tests.chain.query_driver import ScriptedQuery, settle
from tests.chain.ring_driver import ScriptedRing

Run = list[SignedUpdate]


def dropped(run: Run, _others: Run) -> Run:
    return run[:1] + run[2:]


def swapped(run: Run, _others: Run) -> Run:
    return [run[0], run[2], run[1], *run[3:]]


def repeated(run: Run, _others: Run) -> Run:
    return [run[0], run[1], run[1], *run[2:]]


def smuggled(run: Run, others: Run) -> Run:
    return [run[0], others[1], *run[2:]]


def anothers_signature(run: Run, others: Run) -> Run:
    return [run[0], replace(run[1], signature=others[1].signature), *run[2:]]


def other_envelope(run: Run, _others: Run) -> Run:
    return [run[0], replace(run[1], update=replace(run[1].update, envelope=named("other"))), *run[2:]]


def other_salt(run: Run, _others: Run) -> Run:
    return [run[0], replace(run[1], salt=named("other")), *run[2:]]


def cut_link(run: Run, _others: Run) -> Run:
    return [*run[:-1], replace(run[-1], next_route=named("other"))]


FORGERIES = [dropped, swapped, repeated, smuggled, anothers_signature, other_envelope, other_salt, cut_link]


@refused
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_run_that_its_carrier_changed_is_refused_whole(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount, forge: Callable[[Run, Run], Run]
) -> None:
    """Nobody's entry counts that its signer did not sign for this very place; the honest run is good afterwards."""
    query, other = (ring.submit(querent).open_route() for _ in range(2))
    state, run, others = query.state, query.sign_run(), other.sign_run()
    with pytest.raises((LedgerReverted, ProtocolError)):
        ring.ledger.by(mallory).post(state, *forge(run, others))
    assert query.state == state
    ring.ledger.by(mallory).post(state, *run)
    assert query.state.phase is QueryPhase.COMPUTED


WITNESSES: dict[str, Callable[[ScriptedQuery], dict[str, object]]] = {
    "other attempt": lambda _: {"attempt": Attempt(2)},
    "other hop": lambda _: {"hop": Hop(1)},
    "later": lambda query: {"touched_at": query.state.touched_at + 1},
    "no deadline": lambda _: {"touched_at": 0},
    "other trail": lambda _: {"trail": named("other")},
}


@refused
@pytest.mark.parametrize("change", WITNESSES.values(), ids=WITNESSES.keys())
def test_state_of_the_carriers_choosing_is_refused(
    query: ScriptedQuery, mallory: LocalAccount, change: Callable[[ScriptedQuery], dict[str, object]]
) -> None:
    """A hop that is said to have begun at no time is as old as the ring: whether it is late is looked at first."""
    state = query.state
    false = replace(state, **change(query))  # type: ignore[arg-type]
    with pytest.raises(LedgerReverted, match=r"UnexpectedState|DeadlinePassed"):
        query.ring.ledger.by(mallory).post(false, query.sign(query.update()))
    assert query.state == state
    query.post()


@refused
def test_state_from_before_is_refused(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """A stale witness with the entry that was due then."""
    before, signed = query.state, query.sign(query.update())
    query.post()
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        query.ring.ledger.by(mallory).post(before, signed)


@refused
def test_state_of_another_query_is_refused(ring: ScriptedRing, querent: LocalAccount) -> None:
    one, other = ring.submit(querent).open_route(), ring.submit(querent).open_route()
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        ring.owner_client.post(other.state, one.sign(one.update()))


@refused
def test_deadline_cannot_be_moved_by_the_witness(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """Whoever calls the timeout, or posts too late, shows when the hop began: the ledger has its hash."""
    state = query.state
    early = replace(state, touched_at=state.touched_at - query.ring.ledger.read("hopSeconds") - 1)
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        query.ring.ledger.by(mallory).time_out(query.query, early)


@refused
def test_right_answer_is_not_recorded_as_a_contradiction(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """Mallory carries an honest entry as one that violates eq. 13, with another expectation shown."""
    query.advance(1)
    false = replace(query.state, expected_output=named("another expectation"))
    with pytest.raises(LedgerReverted):
        query.ring.ledger.by(mallory).post(false, query.sign(query.update()))
    query.post()
    assert query.state.phase is QueryPhase.ROUTED


@refused
def test_entry_that_violates_eq_13_is_not_hidden_in_a_run(query: ScriptedQuery) -> None:
    """In a run only the first hop's output is told, the others follow: a wrong one has no place in it."""
    run = query.sign_run()
    wrong = replace(run[2], update=replace(run[2].update, output=named("wrong")))
    with pytest.raises(ProtocolError):
        query.ring.owner_client.post(query.state, run[0], run[1], wrong)


@refused
def test_entry_that_was_posted_alone_makes_the_run_with_it_fail_and_the_rest_is_posted(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount
) -> None:
    """Mallory runs ahead of a batch with one entry out of it."""
    query = ring.submit(querent).open_route()
    state, run = query.state, query.sign_run()
    ring.ledger.by(mallory).post(state, run[0])
    with pytest.raises(LedgerReverted, match="UnexpectedState"):
        ring.owner_client.post(state, *run)
    ring.owner_client.post(query.state, *run[1:])
    assert query.state.phase is QueryPhase.COMPUTED


@refused
def test_batch_that_mallory_carries_first_is_no_loss(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount
) -> None:
    queries = [ring.submit(querent).open_route() for _ in range(3)]
    batch = [Settlement((query.state, query.sign_run())) for query in queries]
    ring.ledger.by(mallory).settle(batch)
    assert {query.state.phase for query in queries} == {QueryPhase.COMPUTED}
    with pytest.raises(LedgerReverted):
        ring.owner_client.settle(batch)


@not_stopped("The relay.")
def test_not_stopped_one_bad_entry_makes_the_whole_batch_fail(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount
) -> None:
    """All or none: the others' entries are as good as before, and go again without it."""
    good, bad = (ring.submit(querent).open_route() for _ in range(2))
    states = good.state, bad.state
    runs = good.sign_run(), bad.sign_run()
    ring.ledger.by(mallory).post(states[1], runs[1][0])
    batch = [Settlement((state, run)) for state, run in zip(states, runs, strict=True)]
    with pytest.raises(LedgerReverted):
        ring.owner_client.settle(batch)
    assert good.state == states[0]
    ring.owner_client.settle(batch[:1])
    assert good.state.phase is QueryPhase.COMPUTED


@refused
def test_route_that_was_withdrawn_by_a_new_attempt_is_settled_by_nobody(
    ring: ScriptedRing, querent: LocalAccount, mallory: LocalAccount
) -> None:
    """A carrier that holds a run back until the attempt is over has nothing in its hands."""
    query = ring.submit(querent).open_route()
    state, run = query.state, query.sign_run()
    held = ScriptedQuery(ring, query.query, run[0].update.trail)
    held.let_time_out()
    with pytest.raises(LedgerReverted):
        ring.ledger.by(mallory).post(state, *run)
    held.reopen()
    with pytest.raises(LedgerReverted):
        ring.ledger.by(mallory).post(held.state, *run)
    settle(held)
    assert held.state.phase is QueryPhase.COMPUTED
