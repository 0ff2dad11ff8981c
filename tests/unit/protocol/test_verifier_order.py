"""Where events stand on the chain, and what the verifier keeps of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trail_checks import failure_of
from trail_script import (
    DOMAIN,
    OUROBOROS,
    ScriptedQuery,
    ScriptedTrail,
    named,
    place_events,
)

from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.types import QueryId, QueryPhase

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
