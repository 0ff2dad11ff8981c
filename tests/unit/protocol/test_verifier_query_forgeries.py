"""Queries that are signed and linked throughout, and yet break a rule: what a lying ledger or owner could write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from deepring_chain.protocol.route import build_route
from deepring_chain.types import Address, Attempt, Domain, Hop
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import DOMAIN, OWNER, STRANGER, WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail

# ---------------------------------------------------------------------- signatures


@pytest.mark.parametrize("domain", [Domain(1, DOMAIN.ledger), Domain(DOMAIN.chain_id, Address(STRANGER.address))])
def test_trail_of_another_chain_or_ledger_is_refused(script: ScriptedTrail, domain: Domain) -> None:
    failure = failure_of(script, domain)
    assert failure.field == "BlockAttested.signature"


def test_trail_of_another_ouroboros_is_refused(script: ScriptedTrail) -> None:
    assert failure_of(script, ouroboros=Address(STRANGER.address)).subject == "arrangement 1, seat 0"


def test_delivery_by_a_worker_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post().post().post()
    script.emit(query.delivered(WORKERS[-1]))
    failure = failure_of(script)
    assert (failure.subject, failure.field) == ("query 1, delivery", "AnswerDelivered.signature")


def test_signature_of_another_seat_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.emit(replace(script.attested(1), signature=script.attested(2).signature))
    assert failure_of(script).subject == "arrangement 2, seat 1"


# ---------------------------------------------------------------------- route


@pytest.mark.parametrize(
    ("signers", "subject"),
    [
        ((STRANGER, *WORKERS), "query 1, hop 0"),
        ((WORKERS[0], OWNER, *WORKERS[1:]), "query 1, hop 0"),
        ((OWNER, STRANGER, *WORKERS[1:]), "query 1, hop 1"),
        ((OWNER, OWNER, *WORKERS[1:]), "query 1, hop 1"),
        ((OWNER, WORKERS[0], WORKERS[0], WORKERS[2]), "query 1, hop 2"),
    ],
    ids=["stranger first", "worker first", "stranger", "ouroboros again", "worker twice"],
)
def test_committed_route_with_a_wrong_signer_is_refused(script: ScriptedTrail, signers: tuple, subject: str) -> None:  # type: ignore[type-arg]
    query = script.submit()
    query.signers = signers
    query.open_route().post().post().post().post()
    failure = failure_of(script)
    assert (failure.subject, failure.field) == (subject, "UpdatePosted.signer")


def test_signer_out_of_turn_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post()
    query.signers = (OWNER, WORKERS[1], WORKERS[0], WORKERS[2])
    query.post()
    failure = failure_of(script)
    assert failure.subject == "query 1, hop 1"
    assert "route link" in failure.field


def test_route_that_goes_on_after_the_last_hop_is_refused(script: ScriptedTrail) -> None:
    query = script.submit()
    signers = [Address(signer.address) for signer in (*query.signers, STRANGER)]
    query.links = build_route(signers, [*query.salts(), named("one more salt")])
    query.open_route().post().post().post().post()
    failure = failure_of(script)
    assert (failure.subject, failure.field) == ("query 1, hop 3", "UpdatePosted.signed.next_route")
    assert failure.expected == "zero after the last hop"


def test_route_that_ends_early_is_refused(script: ScriptedTrail) -> None:
    query = script.submit()
    signers = [Address(signer.address) for signer in query.signers[:2]]
    query.links = build_route(signers, query.salts()[:2])
    query.open_route().post().post()
    failure = failure_of(script)
    assert (failure.subject, failure.expected) == ("query 1, hop 1", "a link to the next hop")


@pytest.mark.parametrize(("attempt", "hop"), [(2, 0), (0, 0), (1, 1)])
def test_first_route_of_another_attempt_or_hop_is_refused(script: ScriptedTrail, attempt: int, hop: int) -> None:
    query = script.submit()
    query.attempt, query.hop = Attempt(attempt), hop
    query.open_route()
    assert failure_of(script).field in {"RouteOpened.attempt", "RouteOpened.first_hop"}


def test_route_for_no_items_is_refused(script: ScriptedTrail) -> None:
    query = script.submit()
    query.items = 0
    query.open_route()
    failure = failure_of(script)
    assert (failure.subject, failure.field, failure.found) == ("query 1", "RouteOpened.items", "0")


@pytest.mark.parametrize("first_hop", [0, 1])
def test_later_route_for_another_number_of_items_is_refused(
    script: ScriptedTrail, query: ScriptedQuery, first_hop: int
) -> None:
    query.post().time_out()
    query.items += 1
    query.reopen(first_hop)
    failure = failure_of(script)
    assert (failure.field, failure.expected, failure.found) == ("RouteOpened.items", "2", "3")


def test_second_route_of_a_query_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().open_route()
    assert "phase" in failure_of(script).field


# ---------------------------------------------------------------------- places of updates


@pytest.mark.parametrize(
    "change", [{"hop": Hop(1)}, {"attempt": Attempt(2)}, {"items": 3}, {"trail": named("other history")}]
)
def test_update_signed_for_another_place_is_refused(
    script: ScriptedTrail, query: ScriptedQuery, change: dict[str, object]
) -> None:
    query.post(**change)
    (name,) = change
    assert failure_of(script).field == f"UpdatePosted.signed.update.{name}"


def test_update_of_another_query_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    other = script.submit().open_route()
    query.post(query=other.query)
    assert failure_of(script).field == "UpdatePosted.signed.update.trail"


def test_delivery_signed_for_another_attempt_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post().post().post()
    script.emit(query.delivered(attempt=Attempt(2)))
    assert failure_of(script).field == "AnswerDelivered.attempt"


def test_update_after_the_last_hop_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post().post().post()
    query.hop = 3
    query.post()
    assert "phase" in failure_of(script).field


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_delivery_before_the_last_hop_is_refused(script: ScriptedTrail, query: ScriptedQuery, hops: int) -> None:
    for _ in range(hops):
        query.post()
    query.deliver()
    assert "phase" in failure_of(script).field


# ---------------------------------------------------------------------- eq. 13


def test_mismatch_without_a_record_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post(output=named("a lie")).post()
    failure = failure_of(script)
    assert failure.subject == "query 1, hop 1"
    assert "OutputDisputed right after its cause" in failure.expected


def test_mismatch_at_the_end_without_a_record_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post(output=named("a lie"))
    assert failure_of(script).found == "the end of the trail"


def test_record_in_another_transaction_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    lie = named("a lie")
    query.post().post(output=lie)
    script.emit(query.disputed(lie))
    assert "same transaction" in failure_of(script).expected


def test_record_without_a_mismatch_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    posted = query.post().posted()
    script.emit(posted, query.disputed(posted.signed.update.output))
    failure = failure_of(script)
    assert (failure.subject, failure.field) == ("query 1, hop 1", "OutputDisputed.event")


def test_hop_0_has_nothing_to_be_held_against(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post(output=named("whatever the input commits to"))
    assert verify(script).open_queries[0].next_hop == 1


def test_nothing_is_accepted_after_a_dispute(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().contradict(named("a lie")).post()
    failure = failure_of(script)
    assert (failure.expected, failure.found) == ("ROUTED", "DISPUTED")


@pytest.mark.parametrize("again", [ScriptedQuery.reject, ScriptedQuery.open_route, ScriptedQuery.deliver])
def test_nothing_is_accepted_after_a_rejection(script: ScriptedTrail, again: Callable[[ScriptedQuery], object]) -> None:
    query = script.submit()
    query.reject()
    again(query)
    assert failure_of(script).found == "one that has ended"


def test_rejection_after_the_route_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.reject()
    assert "phase" in failure_of(script).field
