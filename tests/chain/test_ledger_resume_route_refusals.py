"""`resumeRoute`: only from what the ledger accepted, over the whole history since, and before the hop that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.crypto.signing import message_digest, recover_signer
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.types import (
    NO_ROUTE,
    Attempt,
    Hop,
    QueryId,
    QueryPhase,
    RingMode,
    SignedUpdate,
    TrailEntry,
    TrailHash,
    Update,
)
from tests.chain.clock import Clock
from tests.chain.expect import refused, refused_state
from tests.chain.names import address_of, named
from tests.chain.query_driver import Entry, ScriptedQuery
from tests.chain.ring_driver import ScriptedRing

Entries = list[TrailEntry]


@pytest.fixture
def interrupted(query: ScriptedQuery) -> ScriptedQuery:
    """Hop 3 complained of hop 2 and was believed: hops 0 to 2 are accepted, five entries on the trail."""
    query.advance(3).complain()
    query.judge()
    return query


def trail_after(query: ScriptedQuery, anchor: Entry, later: Entries) -> TrailHash:
    """Where a claimed history leads."""
    assert isinstance(anchor.message, Update)
    digest = message_digest(query.domain, anchor.message)
    trail = extend_trail(anchor.message.trail, digest, address_of(anchor.signer))
    for entry in later:
        trail = extend_trail(trail, entry.digest, entry.signer)
    return trail


def expect_other_history(query: ScriptedQuery, anchor: Entry, later: Entries) -> None:
    """The claim leads to another trail than the ledger's; nothing changes."""
    before, actual = query.state, trail_after(query, anchor, later)
    with refused("UnexpectedTrail", query=query.query, expected=query.trail, actual=actual):
        query.resume_from(anchor, later)
    assert query.state == before


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": Attempt(2)},
        {"hop": Hop(0)},
        {"envelope": named("made up")},
        {"output": named("made up")},
        {"next_output": named("made up")},
        {"trail": named("made up")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_anchor_that_was_never_accepted_is_refused(interrupted: ScriptedQuery, changes: dict[str, Any]) -> None:
    """The owner goes on from an output that no layer signed."""
    honest = interrupted.accepted(1)
    assert isinstance(honest.message, Update)
    made_up = Entry(replace(honest.message, **changes), honest.signer)
    expect_other_history(interrupted, made_up, interrupted.after(honest))


def test_anchor_with_another_signer_is_refused(interrupted: ScriptedQuery, mallory: LocalAccount) -> None:
    """The entry is right, but somebody else is to have signed it."""
    honest = interrupted.accepted(1)
    expect_other_history(interrupted, Entry(honest.message, mallory), interrupted.after(honest))


def test_anchor_of_another_query_is_refused(interrupted: ScriptedQuery) -> None:
    """The output of somebody else's question becomes part of this answer."""
    other = interrupted.ring.submit(interrupted.querent).open_route().advance(3)
    foreign = other.accepted(1)
    assert isinstance(foreign.message, Update)
    client, link = interrupted.ring.owner_client, named("route")
    later, signer = other.after(foreign), address_of(foreign.signer)
    with refused("UnexpectedPhase", query=2, expected=QueryPhase.INTERRUPTED, actual=QueryPhase.ROUTED):
        client.resume_route(other.state, foreign.message, signer, later, link, other.notes)
    with refused_state(other, interrupted):
        client.resume_route(interrupted.state, foreign.message, signer, later, link, other.notes)
    moved = Entry(replace(foreign.message, query=interrupted.query), foreign.signer)
    for later in (other.after(foreign), interrupted.after(interrupted.accepted(1))):
        expect_other_history(interrupted, moved, later)


def test_update_that_was_signed_but_never_posted_is_no_anchor(query: ScriptedQuery, clock: Clock) -> None:
    """A hop's update came too late; the attempt was ended without it."""
    query.advance(2)
    late = Entry(query.update(), query.signer)
    query.let_time_out()
    query.reopen()
    query.advance(3).complain()
    query.judge()
    expect_other_history(query, late, [])
    expect_other_history(query, late, query.after(query.accepted(1)))


FORGERIES: dict[str, Callable[[Entries], Entries]] = {
    "empty": lambda later: later[:0],
    "last entry cut": lambda later: later[:-1],
    "first entry cut": lambda later: later[1:],
    "entry in the middle cut": lambda later: [later[0], *later[2:]],
    "two entries swapped": lambda later: [later[1], later[0], *later[2:]],
    "reversed": lambda later: later[::-1],
    "last entry twice": lambda later: [*later, later[-1]],
    "entry added": lambda later: [*later, TrailEntry(named("made up"), later[0].signer)],
    "other digest": lambda later: [TrailEntry(named("made up"), later[0].signer), *later[1:]],
    "other signer": lambda later: [TrailEntry(later[0].digest, later[1].signer), *later[1:]],
}


@pytest.mark.parametrize("how", FORGERIES)
def test_forged_history_is_refused(interrupted: ScriptedQuery, how: str) -> None:
    """The owner hides an entry since the anchor: the complaint, the verdict, or another hop."""
    anchor = interrupted.accepted(1)
    expect_other_history(interrupted, anchor, FORGERIES[how](interrupted.after(anchor)))


@pytest.mark.parametrize("claimed", [2, 3])
def test_history_of_another_anchor_is_refused(interrupted: ScriptedQuery, claimed: int) -> None:
    """The anchor is accepted, the history begins elsewhere."""
    anchor = interrupted.accepted(0)
    expect_other_history(interrupted, anchor, interrupted.after(anchor)[claimed - 1 :])


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_update_that_violated_eq_13_is_no_anchor(query: ScriptedQuery, hop: int) -> None:
    """The liar's own next output would be what the next attempt is held to."""
    query.advance(hop).contradict()
    violating = query.accepted(hop)
    query.judge()
    with refused("ResumedTooLate", query=1, hop=hop, first=hop + 1):
        query.resume_from(violating)
    assert query.state.phase == QueryPhase.INTERRUPTED


@pytest.mark.parametrize("hop", [2, 3, 4, 65_534])
def test_attempt_after_the_disputed_hop_is_refused(query: ScriptedQuery, hop: int) -> None:
    """The owner leaves out the hop that failed."""
    query.advance(2).contradict()
    query.judge()
    honest = query.accepted(1)
    assert isinstance(honest.message, Update)
    beyond = replace(honest.message, hop=Hop(hop))
    client = query.ring.owner_client
    with refused("ResumedTooLate", query=1, hop=2, first=hop + 1):
        client.resume_route(query.state, beyond, address_of(honest.signer), [], named("route"), query.notes)


def test_hop_of_an_older_attempt_beyond_the_failed_one_is_refused(query: ScriptedQuery) -> None:
    """Attempt 1 came to hop 2; attempt 2 failed at hop 1, and what came after it before counts no more."""
    query.advance(3)
    later = query.accepted(2)
    query.complain()
    query.judge()
    query.resume(1)
    query.complain()
    query.judge()
    with refused("ResumedTooLate", query=1, hop=1, first=3):
        query.resume_from(later)


def test_attempt_after_the_last_layer_is_refused(query: ScriptedQuery) -> None:
    """The delivery contradicted the last layer: going on after it would leave no hop to execute."""
    query.advance(4)
    query.deliver(output=named("another output"))
    query.judge()
    last = query.accepted(3)
    assert isinstance(last.message, Update)
    client = query.ring.owner_client
    with refused("ResumedTooLate", query=1, hop=4, first=4):
        client.resume_route(
            query.state, last.message, address_of(last.signer), query.after(last), named("route"), query.notes
        )


def test_empty_route_is_refused(interrupted: ScriptedQuery) -> None:
    """Nobody could ever open it."""
    anchor = interrupted.accepted(2)
    assert isinstance(anchor.message, Update)
    later, client = interrupted.after(anchor), interrupted.ring.owner_client
    with refused("EmptyRoute", query=1):
        client.resume_route(
            interrupted.state, anchor.message, address_of(anchor.signer), later, NO_ROUTE, interrupted.notes
        )


def test_others_than_the_owner_are_refused(interrupted: ScriptedQuery, mallory: LocalAccount) -> None:
    """Somebody else chooses who executes."""
    anchor = interrupted.accepted(2)
    assert isinstance(anchor.message, Update)
    history = (address_of(anchor.signer), interrupted.after(anchor))
    arguments = (interrupted.state, anchor.message, *history, named("route"), named("notes"))
    for account in (mallory, interrupted.querent, *interrupted.ring.workers):
        with refused("NotOuroboros", ouroboros=interrupted.ring.owner.address, caller=account.address):
            interrupted.ring.ledger.by(account).resume_route(*arguments)


def test_ring_that_is_not_authentic_resumes_nothing(interrupted: ScriptedQuery) -> None:
    """A tampered block would execute again."""
    interrupted.ring.tamper(2)
    with refused("NotAuthentic", arrangement=2, mode=RingMode.TRACKING):
        interrupted.resume(3)


def test_second_attempt_at_once_is_refused(interrupted: ScriptedQuery) -> None:
    """Two routes for one query."""
    interrupted.resume(3)
    with refused("UnexpectedPhase", query=1, expected=QueryPhase.INTERRUPTED, actual=QueryPhase.ROUTED):
        interrupted.resume(3)


def test_unknown_query_is_refused(interrupted: ScriptedQuery) -> None:
    """An anchor from nowhere."""
    anchor = interrupted.accepted(2)
    assert isinstance(anchor.message, Update)
    state, unknown = interrupted.state, replace(anchor.message, query=QueryId(99))
    interrupted.query = QueryId(99)
    for shown in (state, interrupted.state):
        with refused_state(interrupted):
            interrupted.ring.owner_client.resume_route(
                shown, unknown, address_of(anchor.signer), [], named("route"), interrupted.notes
            )


# ------------------------------------------------------------------ what was signed for an older attempt


def test_update_that_an_old_attempt_left_over_is_refused(query: ScriptedQuery, clock: Clock) -> None:
    """Hop 2 was signed, but too late; Mallory posts it in the next attempt. The trail is still the same."""
    query.advance(2)
    old = query.sign(query.update())
    query.let_time_out()
    query.resume(2)
    assert old.update.trail == query.trail
    salt, rest = query.opening
    for signed in (old, replace(old, salt=salt, next_route=rest)):
        for attempt in (Attempt(1), Attempt(2)):
            with refused_state(query):
                query.carry(signed, state=replace(query.state, attempt=attempt))


def test_update_that_an_old_attempt_accepted_is_refused(interrupted: ScriptedQuery) -> None:
    """Hop 2 was accepted, judged, and is executed again; its old entry is posted a second time."""
    old = interrupted.accepted(2)
    interrupted.resume(2)
    assert isinstance(old.message, Update)
    signed = interrupted.sign(old.message, old.signer)
    moved = interrupted.sign(replace(old.message, attempt=Attempt(2)), old.signer)
    for update in (signed, moved):
        for trail in (old.message.trail, interrupted.trail):
            with refused_state(interrupted):
                interrupted.carry(update, state=replace(interrupted.state, trail=trail))


def expect_stranger(query: ScriptedQuery, signed: SignedUpdate) -> None:
    """Signer and opening do not fit the route of the attempt that runs."""
    with refused_state(query):
        query.carry(signed)


def test_route_of_the_old_attempt_opens_nothing(interrupted: ScriptedQuery) -> None:
    """The signer of hop 2 comes with the opening that it had in attempt 1."""
    salt, rest = interrupted.salts[2], interrupted.links[3]
    interrupted.resume(2)
    expect_stranger(interrupted, replace(interrupted.sign(interrupted.update()), salt=salt, next_route=rest))


def test_delivery_of_an_old_attempt_is_refused(query: ScriptedQuery) -> None:
    """The owner's delivery was signed, then it complained; the answer of the next attempt is another."""
    query.advance(4)
    old = query.delivery()
    signature = query.sign_delivery(old)
    query.complain()
    query.judge()
    query.resume(3)
    query.advance(4)
    with refused_state(query):
        query.ring.owner_client.deliver(replace(query.state, attempt=Attempt(1), trail=old.trail), old, signature)
    stranger = recover_signer(query.domain, query.delivery(), signature)
    with refused("UnexpectedOwner", query=1, expected=query.ring.owner.address, actual=stranger):
        query.ring.owner_client.deliver(query.state, old, signature)


def test_worker_replaced_by_a_standby_is_refused(interrupted: ScriptedQuery, standby: LocalAccount) -> None:
    """It was found guilty, and signs as if it were still its turn."""
    guilty = interrupted.signers[2]
    interrupted.signers = (*interrupted.signers[:2], standby, interrupted.signers[3])
    interrupted.resume(2)
    expect_stranger(interrupted, interrupted.sign(interrupted.update(), guilty))


def test_other_ring_does_not_take_the_anchor(
    interrupted: ScriptedQuery, other_ring: ScriptedRing, querent: LocalAccount
) -> None:
    """The same query of the same people on another ledger; its history has other digests."""
    there = other_ring.submit(querent).open_route().advance(3)
    there.complain()
    there.judge()
    here = interrupted.accepted(2)
    expect_other_history(there, here, interrupted.after(here))
