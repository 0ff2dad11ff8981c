"""Trails that are signed and linked throughout, and yet break a rule: what a lying ledger or its owner could write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from trail_script import (
    DOMAIN,
    OUROBOROS,
    OWNER,
    SEATS,
    STRANGER,
    WORKERS,
    ScriptedQuery,
    ScriptedTrail,
    named,
    place_events,
)

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    LoggedEvent,
    ModelRegistered,
    QuerySubmitted,
    WorkerAdmitted,
)
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import start_trail
from deepring_chain.protocol.verifier import TrailReport, TrailVerifier
from deepring_chain.types import ZERO, Address, Attempt, Domain, Hop, Position, QueryId, QueryPhase


def verify(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> TrailReport:
    verifier = TrailVerifier(domain, ouroboros)
    for logged in script.placed():
        verifier.check(logged)
    return verifier.finish()


def failure_of(script: ScriptedTrail, domain: Domain = DOMAIN, ouroboros: Address = OUROBOROS) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        verify(script, domain, ouroboros)
    return caught.value


@pytest.fixture
def script() -> ScriptedTrail:
    """A ring in query mode."""
    return ScriptedTrail().make_authentic()


@pytest.fixture
def query(script: ScriptedTrail) -> ScriptedQuery:
    """A query whose route is opened."""
    return script.submit().open_route()


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


def test_route_that_ends_early_is_refused(script: ScriptedTrail) -> None:
    query = script.submit()
    signers = [Address(signer.address) for signer in query.signers[:2]]
    query.links = build_route(signers, query.salts()[:2])
    query.open_route().post().post()
    assert failure_of(script).subject == "query 1, hop 1"


@pytest.mark.parametrize(("attempt", "hop"), [(2, 0), (0, 0), (1, 1)])
def test_first_route_of_another_attempt_or_hop_is_refused(script: ScriptedTrail, attempt: int, hop: int) -> None:
    query = script.submit()
    query.attempt, query.hop = Attempt(attempt), hop
    query.open_route()
    assert failure_of(script).field in {"RouteOpened.attempt", "RouteOpened.first_hop"}


def test_second_route_of_a_query_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().open_route()
    assert "phase" in failure_of(script).field


# ---------------------------------------------------------------------- places of updates


@pytest.mark.parametrize("change", [{"hop": Hop(1)}, {"attempt": Attempt(2)}, {"trail": named("other history")}])
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
    lie = named("a lie")
    query.post()
    posted = query.posted(output=lie)
    script.emit(posted, query.disputed(lie))
    query.post()
    failure = failure_of(script)
    assert failure.found == "one that has ended"


@pytest.mark.parametrize("again", [ScriptedQuery.reject, ScriptedQuery.open_route, ScriptedQuery.deliver])
def test_nothing_is_accepted_after_a_rejection(script: ScriptedTrail, again: Callable[[ScriptedQuery], object]) -> None:
    query = script.submit()
    query.reject()
    again(query)
    assert failure_of(script).found == "one that has ended"


def test_rejection_after_the_route_is_refused(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.reject()
    assert "phase" in failure_of(script).field


# ---------------------------------------------------------------------- mode


def unarranged(script: ScriptedTrail) -> None:
    script.register()


def attesting(script: ScriptedTrail) -> None:
    script.arrange()
    script.attest(0, 1, 2)


def tracking(script: ScriptedTrail) -> None:
    script.arrange(recorded=named("other parameters"))
    script.attest(0, 1, 2, 3)


STOPS = pytest.mark.parametrize("stop", [unarranged, attesting, tracking])


@STOPS
def test_route_outside_of_query_mode_is_refused(script: ScriptedTrail, stop: Callable[[ScriptedTrail], None]) -> None:
    query = script.submit()
    stop(script)
    query.open_route()
    assert failure_of(script).expected == "QUERY"


@STOPS
@pytest.mark.parametrize("hops", [0, 2, 4])
def test_entry_outside_of_query_mode_is_refused(
    script: ScriptedTrail, query: ScriptedQuery, stop: Callable[[ScriptedTrail], None], hops: int
) -> None:
    for _ in range(hops):
        query.post()
    stop(script)
    query.deliver() if hops == 4 else query.post()
    assert failure_of(script).expected == "QUERY"


def test_query_goes_on_in_the_next_arrangement(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post()
    script.arrange((OWNER, *WORKERS))
    script.attest(3, 2, 1, 0)
    query.post().post().deliver()
    assert verify(script).ended == {QueryPhase.DELIVERED: 1}


def test_queries_are_submitted_and_rejected_in_any_mode(script: ScriptedTrail) -> None:
    tracking(script)
    script.submit().reject()
    assert verify(script).ended == {QueryPhase.REJECTED: 1}


# ---------------------------------------------------------------------- hashes and flag


def test_flag_that_does_not_follow_from_the_leaves_is_refused(script: ScriptedTrail) -> None:
    tracking(script)
    name, derived = script.calls.pop()
    assert isinstance(derived, AuthenticityDerived)
    script.calls.append((name, replace(derived, is_authentic=True)))
    failure = failure_of(script)
    assert (failure.subject, failure.field) == ("arrangement 2", "AuthenticityDerived.is_authentic")


def test_flag_stays_off_when_the_model_changed_meanwhile(script: ScriptedTrail) -> None:
    script.arrange()
    script.register()
    script.attest(0, 1, 2, 3)
    name, derived = script.calls.pop()
    assert isinstance(derived, AuthenticityDerived)
    assert derived.is_authentic
    script.calls.append((name, replace(derived, is_authentic=False)))
    assert verify(script).events["AuthenticityDerived"] == 2


def test_leaf_that_is_not_folded_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.emit(script.attested(0))
    assert failure_of(script).found == "the end of the trail"


def test_fold_in_a_later_call_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.emit(script.attested(0))
    script.attest(1)
    failure = failure_of(script)
    assert failure.subject == "arrangement 2, seat 0"


def test_fold_over_a_gap_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.attest(0)
    hashed = BlockHashed(
        script.attested(0).attestation.arrangement, Position(1), fold_leaves([script.leaf(0), script.leaf(2)])[1]
    )
    script.emit(script.attested(2), hashed)
    assert failure_of(script).field == "BlockHashed.event"


def test_old_leaf_in_a_new_arrangement_is_refused(script: ScriptedTrail) -> None:
    old = script.attested(2)
    script.arrange()
    script.emit(old)
    assert failure_of(script).field == "BlockAttested.attestation.arrangement"


# ---------------------------------------------------------------------- registration and seats


def test_arrangement_of_somebody_not_admitted_is_refused(script: ScriptedTrail) -> None:
    script.arrange((*SEATS[:-1], STRANGER))
    failure = failure_of(script)
    assert (failure.subject, failure.found) == ("arrangement 2, seat 3", STRANGER.address)


def test_arrangement_that_seats_somebody_twice_is_refused(script: ScriptedTrail) -> None:
    script.arrange((OWNER, WORKERS[0], WORKERS[1], WORKERS[0]))
    assert failure_of(script).expected == "an account that has no other seat"


def test_arrangement_for_an_old_model_is_refused(script: ScriptedTrail) -> None:
    script.register()
    script.version = 1
    script.arrange()
    assert failure_of(script).field == "RingArranged.model_version"


@pytest.mark.parametrize("layers", [0, 2**16 - 2])
def test_model_with_an_impossible_number_of_layers_is_refused(layers: int) -> None:
    script = ScriptedTrail()
    script.emit(ModelRegistered(1, named("root"), named("card"), layers))
    assert failure_of(script).field == "ModelRegistered.layers"


def test_events_that_need_a_model_are_refused_without_one() -> None:
    arranging = ScriptedTrail()
    arranging.admit()
    arranging.arrange()
    assert failure_of(arranging).expected == "a registered model"
    asking = ScriptedTrail()
    asking.submit()
    assert failure_of(asking).expected == "a registered model"


def test_attestation_without_an_arrangement_is_refused() -> None:
    script = ScriptedTrail()
    script.emit(script.attested(0))
    assert failure_of(script).expected == "a seated ring"


def zero_root(script: ScriptedTrail) -> None:
    script.emit(ModelRegistered(2, ZERO, named("card"), 3))


def zero_long_term_key(script: ScriptedTrail) -> None:
    script.emit(WorkerAdmitted(OUROBOROS, ZERO))


def zero_attested_key(script: ScriptedTrail) -> None:
    script.arrange()
    attestation = replace(script.attested(2).attestation, sealing_key=ZERO)
    signature = sign_message(script.seats[2], DOMAIN, attestation)
    script.emit(BlockAttested(attestation, Address(script.seats[2].address), signature))


def zero_querent_key(script: ScriptedTrail) -> None:
    querent = Address(STRANGER.address)
    trail = start_trail(QueryId(1), querent, named("input"), ZERO)
    script.emit(QuerySubmitted(QueryId(1), querent, named("input"), ZERO, trail))


def zero_route(script: ScriptedTrail) -> None:
    query = script.submit()
    query.links = [ZERO]
    query.open_route()


@pytest.mark.parametrize(
    ("forge", "field"),
    [
        (zero_root, "ModelRegistered.root"),
        (zero_long_term_key, "WorkerAdmitted.sealing_key"),
        (zero_attested_key, "BlockAttested.attestation.sealing_key"),
        (zero_querent_key, "QuerySubmitted.sealing_key"),
        (zero_route, "RouteOpened.route"),
    ],
)
def test_zero_in_place_of_a_value_is_refused(
    script: ScriptedTrail, forge: Callable[[ScriptedTrail], None], field: str
) -> None:
    forge(script)
    assert failure_of(script).field == field


# ---------------------------------------------------------------------- places, and memory


def test_failure_names_its_place(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post(trail=named("other history"))
    last = script.placed()[-1]
    place = failure_of(script).place
    assert (place.block_number, place.transaction_hash, place.log_index) == (
        last.block_number,
        last.transaction_hash,
        last.log_index,
    )
    assert f"block {last.block_number}, transaction 0x{last.transaction_hash.hex()}, log {last.log_index}" in str(place)


def checked_pair(first: LoggedEvent, second: LoggedEvent) -> None:
    verifier = TrailVerifier(DOMAIN, OUROBOROS)
    verifier.check(first)
    verifier.check(second)


def test_transaction_in_two_blocks_is_refused(script: ScriptedTrail) -> None:
    first, second = script.placed()[:2]
    moved = replace(second, block_number=first.block_number + 1, block_hash=named("next"))
    with pytest.raises(AuditFailure, match="transaction_hash"):
        checked_pair(first, replace(moved, transaction_hash=first.transaction_hash))


def test_transaction_that_is_taken_up_again_is_refused(script: ScriptedTrail) -> None:
    one, two, three = (replace(logged, block_number=1, block_hash=named(1)) for logged in script.placed()[:3])
    verifier = TrailVerifier(DOMAIN, OUROBOROS)
    verifier.check(replace(one, log_index=0, transaction_hash=named("a")))
    verifier.check(replace(two, log_index=1, transaction_hash=named("b")))
    with pytest.raises(AuditFailure, match="stand together"):
        verifier.check(replace(three, log_index=2, transaction_hash=named("a")))


@pytest.mark.parametrize("hashes", [("a", "b", 5, 5), ("a", "a", 5, 6)])
def test_block_number_and_hash_that_disagree_are_refused(
    script: ScriptedTrail, hashes: tuple[str, str, int, int]
) -> None:
    (first, second), (one, other, number, next_number) = script.placed()[:2], hashes
    with pytest.raises(AuditFailure, match="block_hash"):
        checked_pair(
            replace(first, block_number=number, block_hash=named(one), log_index=0),
            replace(second, block_number=next_number, block_hash=named(other), log_index=1),
        )


def test_finished_queries_leave_nothing_behind(script: ScriptedTrail) -> None:
    verifier = TrailVerifier(DOMAIN, OUROBOROS)
    for round_number in range(3):
        script.submit().open_route().post().post().post().post().deliver()
        script.submit().reject()
        assert script.queries == 2 * (round_number + 1)
    for logged in place_events(script.calls):
        verifier.check(logged)
    assert [verifier.open_query(QueryId(number)) for number in range(1, 7)] == [None] * 6
    report = verifier.finish()
    assert report.ended == {QueryPhase.DELIVERED: 3, QueryPhase.REJECTED: 3}
    assert report.open_queries == ()
