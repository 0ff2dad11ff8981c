"""Where events stand on the chain, and what the verifier keeps of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.protocol.audit_step import AuditFailure, Witness
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.types import QueryId, QueryPhase
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of
from tests.unit.protocol.trail_names import TERMS, named
from tests.unit.protocol.trail_script import ScriptedTrail

# ---------------------------------------------------------------------- places, and memory


def test_failure_names_its_place(script: ScriptedTrail, query: ScriptedQuery) -> None:
    query.post().post(trail=named("other history"))
    last, _ = script.placed()[-1]
    place = failure_of(script).place
    assert (place.block_number, place.transaction_hash, place.log_index) == (
        last.block_number,
        last.transaction_hash,
        last.log_index,
    )
    assert f"block {last.block_number}, transaction 0x{last.transaction_hash.hex()}, log {last.log_index}" in str(place)


def logged_events(script: ScriptedTrail) -> list[LoggedEvent]:
    return [logged for logged, _ in script.placed()]


def checked_pair(first: LoggedEvent, second: LoggedEvent, times: tuple[int, int] = (1, 1)) -> None:
    verifier = TrailVerifier(TERMS)
    verifier.check(first, Witness(times[0]))
    verifier.check(second, Witness(times[1]))


def test_transaction_in_two_blocks_is_refused(script: ScriptedTrail) -> None:
    first, second = logged_events(script)[:2]
    moved = replace(second, block_number=first.block_number + 1, block_hash=named("next"))
    with pytest.raises(AuditFailure, match="transaction_hash"):
        checked_pair(first, replace(moved, transaction_hash=first.transaction_hash))


def test_transaction_that_is_taken_up_again_is_refused(script: ScriptedTrail) -> None:
    one, two, three = (replace(logged, block_number=1, block_hash=named(1)) for logged in logged_events(script)[:3])
    verifier = TrailVerifier(TERMS)
    verifier.check(replace(one, log_index=0, transaction_hash=named("a")), Witness(1))
    verifier.check(replace(two, log_index=1, transaction_hash=named("b")), Witness(1))
    with pytest.raises(AuditFailure, match="stand together"):
        verifier.check(replace(three, log_index=2, transaction_hash=named("a")), Witness(1))


KNOWN = f"0x{named('a').hex()}"


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [(("a", "b", 5, 5), KNOWN), (("a", "a", 5, 6), f"another than {KNOWN} of block 5")],
)
def test_block_number_and_hash_that_disagree_are_refused(
    script: ScriptedTrail, hashes: tuple[str, str, int, int], expected: str
) -> None:
    (first, second), (one, other, number, next_number) = logged_events(script)[:2], hashes
    with pytest.raises(AuditFailure, match=f"block_hash is wrong: expected {expected}, found"):
        checked_pair(
            replace(first, block_number=number, block_hash=named(one), log_index=0),
            replace(second, block_number=next_number, block_hash=named(other), log_index=1),
        )


def test_block_whose_events_have_two_times_is_refused(script: ScriptedTrail) -> None:
    first, second = logged_events(script)[:2]
    assert first.block_number == second.block_number
    with pytest.raises(AuditFailure, match="expected 5, found 6"):
        checked_pair(first, second, (5, 6))


def test_time_that_goes_back_is_refused(script: ScriptedTrail) -> None:
    first, second = logged_events(script)[0], logged_events(script)[-1]
    assert first.block_number < second.block_number
    with pytest.raises(AuditFailure, match="expected 5 or later, found 4"):
        checked_pair(first, second, (5, 4))


def test_place_before_the_last_event_is_refused(script: ScriptedTrail) -> None:
    first, second = logged_events(script)[:2]
    assert first.block_number == second.block_number
    with pytest.raises(AuditFailure, match=f"expected a place after block {second.block_number}, transaction .*, log"):
        checked_pair(second, first)


def test_transactions_of_older_blocks_are_not_kept(script: ScriptedTrail) -> None:
    """Memory does not grow with the trail."""
    for _ in range(10):
        script.submit()
    verifier = TrailVerifier(TERMS)
    for logged, witness in script.placed():
        verifier.check(logged, witness)
    assert len(verifier.save().finished_transactions) <= 1


def test_finished_queries_leave_nothing_behind(script: ScriptedTrail) -> None:
    verifier = TrailVerifier(TERMS)
    for round_number in range(3):
        script.submit().open_route().post().post().post().post().deliver()
        script.submit().reject()
        script.submit().withdraw()
        assert script.queries == 3 * (round_number + 1)
    for logged, witness in script.placed():
        verifier.check(logged, witness)
    assert [verifier.open_query(QueryId(number)) for number in range(1, 10)] == [None] * 9
    report = verifier.finish()
    assert report.ended == {QueryPhase.DELIVERED: 3, QueryPhase.REJECTED: 3, QueryPhase.WITHDRAWN: 3}
    assert report.open_queries == ()
