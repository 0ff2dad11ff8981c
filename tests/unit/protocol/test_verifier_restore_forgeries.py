"""Restores that break a rule, and attestations of another round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.events import BlockAttested, BlockHashed, RestoreOrdered
from deepring_chain.types import Address, ArrangementId, Position, RingMode
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail


@pytest.fixture
def tampered(script: ScriptedTrail) -> ScriptedTrail:
    """A ring in tracking mode: seats 1 and 2 hold other parameters."""
    script.arrange(tampered=(1, 2))
    script.attest(0, 1, 2, 3)
    return script


def test_ring_is_authentic_when_all_blocks_are_restored(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.attest(1)
    assert verify(tampered).mode is RingMode.TRACKING
    tampered.order_restore(2)
    tampered.attest(2)
    assert verify(tampered).mode is RingMode.QUERY


@pytest.mark.parametrize("position", [0, 2, 3])
def test_restore_of_another_block_than_the_first_that_differs_is_refused(
    tampered: ScriptedTrail, position: int
) -> None:
    tampered.order_restore(position)
    failure = failure_of(tampered)
    assert failure.subject == f"arrangement 2, seat {position}"
    assert failure.field in {"RestoreOrdered.recorded_hash", "RestoreOrdered.expectedLeaves (the last hash)"}


def test_restore_of_an_intact_block_is_refused_whatever_it_says(tampered: ScriptedTrail) -> None:
    tampered.order_restore(0, recorded_hash=named("a lie"))
    assert failure_of(tampered).field == "RestoreOrdered.recorded_hash"


def test_restore_in_query_mode_is_refused(script: ScriptedTrail) -> None:
    script.order_restore(1)
    assert (failure_of(script).expected, failure_of(script).found) == ("TRACKING", "QUERY")


def test_second_restore_before_the_first_is_attested_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.folded.append(named("not yet"))
    tampered.order_restore(1)
    assert (failure_of(tampered).expected, failure_of(tampered).found) == ("TRACKING", "ATTESTING")


@pytest.mark.parametrize("position", [4, 9])
def test_restore_and_report_of_a_seat_outside_of_the_ring_are_refused(script: ScriptedTrail, position: int) -> None:
    script.arrange(tampered=(1,))
    script.attest(0, 1, 2, 3)
    script.order_restore(1, position=Position(position))
    assert failure_of(script).field == "RestoreOrdered.position"
    script.calls.pop()
    script.report_restore(1, position=Position(position))
    assert failure_of(script).field == "RestoreReported.position"


@pytest.mark.parametrize("how", ["short", "long", "first", "last", "none"])
def test_evidence_that_does_not_lead_to_the_recorded_hash_is_refused(tampered: ScriptedTrail, how: str) -> None:
    leaves = tampered.expected()[1:]
    changed = {
        "short": leaves[:-1],
        "long": [*leaves, named("one more")],
        "first": [named("other"), *leaves[1:]],
        "last": [*leaves[:-1], named("other")],
        "none": [],
    }
    tampered.order_restore(1, leaves=changed[how])
    failure = failure_of(tampered)
    assert failure.field.startswith(("RestoreOrdered.expectedLeaves", "RestoreOrdered.recorded_hash"))


def test_evidence_that_agrees_with_the_block_is_no_reason_to_restore_it(tampered: ScriptedTrail) -> None:
    attested = [tampered.leaves[position] for position in range(4)]
    tampered.order_restore(1, leaves=attested[1:], recorded_hash=tampered.folded[1])
    assert failure_of(tampered).expected == "another hash than the recomputed one"


@pytest.mark.parametrize("shown", ["recorded_hash", "recomputed_hash"])
def test_restore_order_under_a_challenge_that_was_used_is_refused(tampered: ScriptedTrail, shown: str) -> None:
    recorded = {"recorded_hash": fold_leaves(tampered.expected())[1], "recomputed_hash": tampered.folded[1]}
    tampered.order_restore(1, renewed_hash=recorded[shown])
    assert failure_of(tampered).field == "RestoreOrdered.renewed_hash"


def test_record_that_takes_over_what_another_seat_attested_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1, recorded_last=named("with another leaf of seat 3"))
    assert failure_of(tampered).field == "RestoreOrdered.recorded_last"


def test_restore_order_to_another_worker_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1, worker=Address(WORKERS[0].address))
    assert failure_of(tampered).field == "RestoreOrdered.worker"


@pytest.mark.parametrize("round_", [0, 2])
def test_restore_order_out_of_count_is_refused(tampered: ScriptedTrail, round_: int) -> None:
    tampered.order_restore(1, round=round_)
    assert failure_of(tampered).field == "RestoreOrdered.round"


def test_restore_order_over_another_hash_than_the_attested_one_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1, recomputed_hash=named("another"))
    assert failure_of(tampered).field == "RestoreOrdered.recomputed_hash"


def test_flag_over_the_old_recorded_hash_is_refused(tampered: ScriptedTrail) -> None:
    before = tampered.recorded
    tampered.order_restore(1)
    tampered.recorded = before
    tampered.attest(1)
    assert failure_of(tampered).field == "AuthenticityDerived.recorded_hash"


def test_fold_that_begins_before_the_restored_seat_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.folded = []
    tampered.attest(1)
    failure = failure_of(tampered)
    assert (failure.subject, failure.field) == ("arrangement 2, seat 1", "BlockHashed.position")


def test_fold_without_the_restored_leaf_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    hashed = fold_leaves([tampered.leaves[0], named("what is in seat 1")])[1]
    tampered.emit(BlockHashed(ArrangementId(2), Position(1), hashed))
    assert failure_of(tampered).field == "BlockHashed.event"


# ---------------------------------------------------------------------- rounds
def test_leaf_of_the_round_before_is_refused(tampered: ScriptedTrail) -> None:
    old = tampered.attested(1)
    tampered.order_restore(1)
    tampered.emit(old)
    failure = failure_of(tampered)
    assert (failure.field, failure.expected, failure.found) == ("BlockAttested.attestation.round", "1", "0")


def test_round_that_was_changed_after_signing_is_refused(tampered: ScriptedTrail) -> None:
    old = tampered.attested(1)
    tampered.order_restore(1)
    tampered.emit(replace(old, attestation=replace(old.attestation, round=1)))
    assert failure_of(tampered).field == "BlockAttested.signature"


def test_second_leaf_of_a_round_is_refused(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.attest(1)
    tampered.attest(1)
    assert failure_of(tampered).expected == "a seat that has not attested in this round"


def test_rounds_begin_anew_with_each_arrangement(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.arrange()
    tampered.attest(0, 1, 2, 3)
    assert verify(tampered).mode is RingMode.QUERY
    kinds = [event for _, event in tampered.calls if isinstance(event, BlockAttested | RestoreOrdered)]
    assert kinds[-3].attestation.round == 0  # type: ignore[union-attr]


# ---------------------------------------------------------------------- reports
def test_report_without_a_restore_is_refused(script: ScriptedTrail) -> None:
    script.report_restore(1)
    assert failure_of(script).expected == "a restore that nobody reported on"


def test_second_report_on_a_restore_is_refused_and_one_on_the_next_is_not(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.report_restore(1)
    tampered.tampered.add(1)
    tampered.attest(1)
    tampered.order_restore(1)
    tampered.report_restore(1)
    assert verify(tampered).events["RestoreReported"] == 2
    tampered.report_restore(1)
    assert failure_of(tampered).field == "RestoreReported.round"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"worker": Address(WORKERS[0].address)}, "worker"),
        ({"round": 2}, "round"),
        ({"arrangement": ArrangementId(1)}, "arrangement"),
        ({"changed": "x" * 257}, "changed"),
    ],
)
def test_report_of_another_worker_round_arrangement_or_size_is_refused(
    tampered: ScriptedTrail, change: dict[str, object], field: str
) -> None:
    tampered.order_restore(1)
    tampered.report_restore(1, **change)
    assert failure_of(tampered).field == f"RestoreReported.{field}"


def test_longest_report_is_accepted(tampered: ScriptedTrail) -> None:
    tampered.order_restore(1)
    tampered.report_restore(1, changed="x" * 256)
    assert verify(tampered).events["RestoreReported"] == 1
