"""Marks on the trail: no attempt goes on from what violated eq. 13, nor from what another model computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.protocol.trail import RENEWAL, VIOLATION, extend_trail
from deepring_chain.types import QueryPhase, TrailEntry
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.names import named
from tests.chain.query_driver import Entry, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

Entries = list[TrailEntry]


def complain_and_judge(query: ScriptedQuery) -> None:
    query.complain()
    query.judge()


def begin_under_another_model(query: ScriptedQuery) -> None:
    """The model changes; the attempt is ended, and another begun."""
    ring = query.ring
    ring.register_model("another")
    ring.arrange()
    ring.attest(0, 1, 2, 3)
    query.let_time_out()
    query.reopen()


def violating_entry(query: ScriptedQuery) -> Entry:
    """The last hop that contradicted the one before."""
    place = max(index for index, entry in enumerate(query.entries) if entry.on_trail(query.domain) == VIOLATION)
    entry = query.entries[place - 1]
    assert isinstance(entry, Entry)
    return entry


def expect_unusable(query: ScriptedQuery, anchor: Entry, hop: int) -> None:
    """The whole history is shown, or one that leaves its marks out: the owner cannot go on from there."""
    before, attempt, at = query.state, query.attempt, query.hop
    with refused("UnusableAnchor", query=1, hop=hop):
        query.resume_from(anchor)
    query.attempt = attempt
    for name, forge in FORGERIES.items():
        later = forge(query.after(anchor))
        with pytest.raises(Exception, match=r"UnexpectedTrail|UnusableAnchor"):
            query.resume_from(anchor, later)
        assert query.state == before, name
        query.attempt = attempt
    query.draw_route(at)


FORGERIES: dict[str, Callable[[Entries], Entries]] = {
    "no marks": lambda later: [entry for entry in later if entry not in (VIOLATION, RENEWAL)],
    "first entry cut": lambda later: later[1:],
    "first two exchanged": lambda later: [later[1], later[0], *later[2:]],
    "mark with another signer": lambda later: [TrailEntry(later[0].digest, later[-1].signer), *later[1:]],
    "another mark": lambda later: [TrailEntry(named("mark"), later[0].signer), *later[1:]],
    "the other mark": lambda later: [{VIOLATION: RENEWAL, RENEWAL: VIOLATION}.get(each, each) for each in later],
}


@pytest.mark.parametrize("hop", [1, 2])
def test_attempt_does_not_go_on_from_what_violated_eq_13(query: ScriptedQuery, hop: int) -> None:
    """The next attempt came further: by its place alone the old entry would do."""
    query.advance(hop).contradict()
    query.judge()
    query.reopen()
    query.advance(3)
    complain_and_judge(query)
    expect_unusable(query, violating_entry(query), hop)
    query.resume_from(query.accepted(hop))
    query.advance(4).deliver()
    assert query.state.phase is QueryPhase.DELIVERED


def test_attempt_goes_on_from_before_a_violation(query: ScriptedQuery) -> None:
    query.advance(2).contradict()
    query.judge()
    anchor = query.accepted(1)
    assert VIOLATION in query.after(anchor)
    query.resume_from(anchor)
    query.advance(4).deliver()
    assert query.state.trail == query.trail


def test_violation_at_the_delivery_leaves_its_mark_and_the_hops_are_gone_on_from(query: ScriptedQuery) -> None:
    query.advance(4)
    query.deliver(output=named("another output"))
    query.judge()
    assert query.after(query.accepted(3))[1] == VIOLATION
    query.resume(3)
    query.advance(4).deliver()
    assert (query.state.phase, query.state.trail) == (QueryPhase.DELIVERED, query.trail)


def test_model_changed_while_a_query_runs_is_not_gone_on_with(query: ScriptedQuery, clock: Clock) -> None:
    """Hop, delivery and resumed route would join layers of two models."""
    ring = query.ring
    signed = query.advance(2).sign(query.update())
    interrupted, computed = ring.submit(query.querent).open_route().advance(2), ring.submit(query.querent).compute()
    complain_and_judge(interrupted)
    ring.register_model("another")
    ring.arrange()
    ring.attest(0, 1, 2, 3)
    with refused_state(query):
        query.carry(signed)
    with refused("ModelChanged", query=2, expected=2, actual=1):
        interrupted.resume(2)
    with refused("ModelChanged", query=3, expected=2, actual=1):
        computed.deliver()


def test_query_begins_anew_under_another_model_with_a_mark(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(2)
    begin_under_another_model(query)
    assert query.history[-1] == RENEWAL
    assert query.state.trail == query.trail
    query.advance(4).deliver()
    assert (query.state.phase, query.state.trail) == (QueryPhase.DELIVERED, query.trail)


def test_attempt_does_not_go_on_from_another_models_output(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(2)
    old = [query.accepted(0), query.accepted(1)]
    begin_under_another_model(query)
    query.advance(3)
    complain_and_judge(query)
    for hop, anchor in enumerate(old):
        with refused("UnusableAnchor", query=1, hop=hop):
            query.resume_from(anchor)
        without = [entry for entry in query.after(anchor) if entry != RENEWAL]
        with pytest.raises(Exception, match="UnexpectedTrail"):
            query.resume_from(anchor, without)
    query.attempt = query.state.attempt
    query.resume(2)
    query.advance(4).deliver()
    assert query.state.phase is QueryPhase.DELIVERED


def test_mark_in_the_middle_of_many_attempts_stops_every_anchor_before_it(query: ScriptedQuery, clock: Clock) -> None:
    query.advance(2)
    old = query.accepted(1)
    begin_under_another_model(query)
    query.advance(1).contradict()
    query.judge()
    query.reopen()
    query.advance(3)
    complain_and_judge(query)
    assert query.history.count(RENEWAL) == 1
    with refused("UnusableAnchor", query=1, hop=1):
        query.resume_from(old)


@pytest.mark.parametrize("registered", ["before the first attempt", "never"])
def test_no_mark_without_an_attempt_under_another_model(
    ring: ScriptedRing, querent: LocalAccount, registered: str
) -> None:
    query = ring.submit(querent)
    if registered != "never":
        ring.register_model("another")
        ring.arrange()
        ring.attest(0, 1, 2, 3)
    query.open_route().advance(2)
    complain_and_judge(query)
    query.reopen()
    assert RENEWAL not in query.history
    trail = query.ring.ledger.session(query.query).trail  # type: ignore[union-attr]
    assert trail == query.state.trail == query.trail


def test_nobody_signs_a_mark(query: ScriptedQuery) -> None:
    """The zero address, which no signature is of, stands as its signer."""
    query.advance(1).contradict()
    before = query.entries[-2].on_trail(query.domain)
    assert VIOLATION.signer == "0x" + "0" * 40
    assert before.digest != VIOLATION.digest
    assert extend_trail(query.trail, *(VIOLATION.digest, VIOLATION.signer)) != query.trail
