"""The relay: updates pass through the ouroboros's relay before they are settled in batches.

Who: the relay itself, or who stands between it and a worker; a worker that tells it and the ledger different things.
Wants: a forged, reordered or second entry taken; a true one lost; memory filled.
Stopped by: DR-23, DR-22 (every reader verifies signature, link and history itself), I-2, I-3.
Outcome: refused. That a relay withholds and delays is not stopped; workers then settle by themselves.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from assurance.adversary.outcomes import not_stopped, refused
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.relayed import MOST_CANDIDATES, RelayedHops
from deepring_chain.protocol.session import Session
from tests.chain.names import named
from tests.chain.query_driver import ScriptedQuery


def on_ledger(query: ScriptedQuery) -> Session:
    """The query as a worker reads it from the ledger."""
    ledger = query.ring.ledger
    follower = LedgerFollower(ledger.by(query.ring.owner), ledger.first_block)
    follower.refresh()
    return follower.state.sessions[query.query]


@refused
def test_worker_that_tells_the_relay_one_thing_and_the_ledger_another_is_held_to_the_ledger(
    query: ScriptedQuery,
) -> None:
    """Who built on the relayed entry signed over a history that never came to be, and signs anew over the true one."""
    hops = RelayedHops(query.domain)
    relayed = query.sign(query.update(envelope=named("for the relay")))
    hops.add(hops.read(relayed))
    assert hops.view(on_ledger(query)).next_hop == 1
    query.post()
    true = hops.view(on_ledger(query))
    assert (true.next_hop, true.trail) == (1, query.trail)
    assert hops.pending(on_ledger(query)) == ()
    query.post()


@refused
@pytest.mark.parametrize("order", [[2, 1, 0], [1, 0, 2], [0, 2, 1]], ids=str)
def test_entries_in_any_order_are_read_in_the_order_that_was_signed(query: ScriptedQuery, order: list[int]) -> None:
    hops, session = RelayedHops(query.domain), on_ledger(query)
    run = query.sign_run(3)
    for index in order:
        hops.add(hops.read(run[index]))
    assert list(hops.pending(session)) == run


@refused
def test_forged_entry_from_the_relay_moves_no_worker(query: ScriptedQuery, mallory: LocalAccount) -> None:
    """Well signed, by somebody whose turn it is not; or changed after signing."""
    hops, session = RelayedHops(query.domain), on_ledger(query)
    true = query.sign(query.update())
    for forged in (
        query.sign(query.update(), mallory),
        replace(true, update=replace(true.update, envelope=named("other"))),
        replace(true, salt=named("other")),
    ):
        hops.add(hops.read(forged))
    assert hops.view(session) is session
    assert hops.pending(session) == ()


@not_stopped("The relay.")
def test_not_stopped_relay_that_floods_a_worker_with_forgeries_keeps_the_true_entry_from_it(
    query: ScriptedQuery, mallory: LocalAccount
) -> None:
    """So many are kept for one place, no more: it could as well withhold the entry. The worker settles by itself."""
    hops, session = RelayedHops(query.domain), on_ledger(query)
    for number in range(MOST_CANDIDATES):
        hops.add(hops.read(query.sign(query.update(envelope=named(f"flood {number}")), mallory)))
    assert not hops.add(hops.read(query.sign(query.update())))
    assert hops.view(session) is session
    query.post()
    assert hops.view(on_ledger(query)).next_hop == 1
