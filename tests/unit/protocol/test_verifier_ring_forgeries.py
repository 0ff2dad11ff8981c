"""Arrangements, flags and registrations that no ledger would accept, and entries outside of query mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    ModelRegistered,
    QuerySubmitted,
    WorkerAdmitted,
)
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import NO_ROUTE, ZERO, Address, ModelRoot, Position, QueryId, QueryPhase, Question, SealingKey
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import DOMAIN, OUROBOROS, OWNER, SEATS, STRANGER, WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail

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
    script.emit(ModelRegistered(2, ModelRoot(ZERO), named("card"), 3))


def zero_long_term_key(script: ScriptedTrail) -> None:
    script.emit(WorkerAdmitted(OUROBOROS, SealingKey(ZERO)))


def zero_attested_key(script: ScriptedTrail) -> None:
    script.arrange()
    attestation = replace(script.attested(2).attestation, sealing_key=SealingKey(ZERO))
    signature = sign_message(script.seats[2], DOMAIN, attestation)
    script.emit(BlockAttested(attestation, Address(script.seats[2].address), signature))


def zero_querent_key(script: ScriptedTrail) -> None:
    querent = Address(STRANGER.address)
    trail = start_trail(QueryId(1), querent, Question(named("input"), SealingKey(ZERO), script.next_time()))
    script.emit(QuerySubmitted(QueryId(1), querent, named("input"), SealingKey(ZERO), trail))


def zero_route(script: ScriptedTrail) -> None:
    query = script.submit()
    query.links = [NO_ROUTE]
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
