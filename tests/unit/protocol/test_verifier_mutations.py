"""A valid trail passes; changing, dropping, repeating or swapping anything in it does not, but for a listed few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pytest

from deepring_chain.protocol.audit_step import AuditFailure, Check
from deepring_chain.protocol.events import (
    AnswerDelivered,
    BlockAttested,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    LoggedEvent,
    QueryRejected,
    QueryResumed,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreReported,
    RouteOpened,
    UpdatePosted,
    WorkerAdmitted,
    query_of,
)
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_query import QueryVerifier
from deepring_chain.protocol.verifier_report import TrailReport
from deepring_chain.types import QueryPhase, RingMode
from tests.unit.protocol.full_trail import full_trail
from tests.unit.protocol.trail_mutations import mutations
from tests.unit.protocol.trail_names import LAYERS, TERMS, Call, Placed, place_events

UNSEEN_FIELDS = {
    "ModelRegistered.root",
    "ModelRegistered.card",
    "WorkerAdmitted.sealing_key",
    "RingArranged.notes",
    "RestoreOrdered.parameters",
    "RestoreReported.changed",
    "RouteOpened.notes",
    "QueryRejected.reason",
}
"""What no other event binds. The auditor holds root, card and long-term keys against the ledger's storage as far as
they are in force, what a restore's order and report say against their transactions' input, and pointers against the
store: one to nothing is seen, one to another good blob of the same kind is not. All of them stand in the block that the
auditor names at the end: another node tells whether it is everybody's."""

CALLS = full_trail()
KINDS = [kind.__name__ for kind in Event.__args__]


@dataclass(frozen=True)
class Result:
    """A report, and all that the auditor holds against the ledger's storage."""

    report: TrailReport
    queries: tuple[object, ...]
    reported: object


def run(verifier: TrailVerifier, events: Sequence[Placed], ended: Sequence[object] = ()) -> Result:
    states = [*ended]
    for logged, witness in events:
        verifier.check(logged, witness)
        states.extend(_states(verifier.take_ended()))
    report = verifier.finish()
    for waiting in report.open_queries:
        states.extend(_states(verifier.open_query(waiting.query)))
    seating = verifier.ring.seating
    return Result(report, tuple(states), seating and dict(seating.reported))


def _states(query: QueryVerifier | None) -> list[object]:
    if query is None:
        return []
    place = (query.query, query.phase, query.attempt, query.next_hop, query.hops, query.items, query.touched_at)
    return [(*place, query.route, query.expected_output, query.trail)]


@lru_cache(maxsize=1)
def snapshots() -> list[tuple[TrailVerifier, list[object]]]:
    """The verifier before each event of the valid trail, so that a test need not begin anew each time."""
    verifier, found, ended = TrailVerifier(TERMS), [], list[object]()
    for logged, witness in place_events(CALLS):
        found.append((deepcopy(verifier), [*ended]))
        verifier.check(logged, witness)
        ended.extend(_states(verifier.take_ended()))
    return found


@lru_cache(maxsize=1)
def valid() -> Result:
    return run(TrailVerifier(TERMS), place_events(CALLS))


def outcome(calls: Sequence[Call], first_changed: int) -> Result | AuditFailure:
    """Of a trail that is the valid one before `first_changed`."""
    verifier, ended = snapshots()[first_changed]
    try:
        return run(deepcopy(verifier), place_events(calls)[first_changed:], ended)
    except AuditFailure as failure:
        return failure


def test_valid_trail_passes_and_is_counted() -> None:
    report = valid().report
    assert report.events == Counter(type(event).__name__ for _, event in CALLS)
    assert set(report.events) == set(KINDS)
    assert set(report.checks) == set(Check)
    assert report.ended == {QueryPhase.DELIVERED: 9, QueryPhase.REJECTED: 2, QueryPhase.WITHDRAWN: 5}
    opened = [(query.query, query.phase, query.next_hop, query.hops) for query in report.open_queries]
    assert opened == [(17, QueryPhase.ROUTED, 2, 4), (18, QueryPhase.SUBMITTED, 0, 0)]
    assert report.mode is RingMode.QUERY


def changed_fields(kind: str) -> Iterator[tuple[int, str, Result | AuditFailure]]:
    for index, (name, event) in enumerate(CALLS):
        if type(event).__name__ == kind:
            for field, _how, changed in mutations(event):
                calls = [*CALLS[:index], (name, changed), *CALLS[index + 1 :]]
                yield index, f"{kind}.{field}", outcome(calls, index)


def is_unbound(index: int, field: str) -> bool:
    """Whether nothing in the trail contradicts another value of this field."""
    event = CALLS[index][1]
    if isinstance(event, EnvelopeDisputed) and field in {"EnvelopeDisputed.salt", "EnvelopeDisputed.next_route"}:
        # They bind a worker to the route. After the last hop the ledger ignores what anybody writes there.
        return event.complaint.hop == LAYERS + 1
    if isinstance(event, RouteOpened) and field == "RouteOpened.route":
        # No link is opened of a route that times out at its first hop; the storage has it as long as it is the last.
        later = [other for _, other in CALLS[index + 1 :] if query_of(other) == event.query]
        return not isinstance(next(other for other in later if not isinstance(other, QueryResumed)), UpdatePosted)
    if field == "RouteOpened.items":
        # Nobody signs for them where the only route times out at its first hop; the storage has them.
        others = [other for at, (_, other) in enumerate(CALLS) if at != index and query_of(other) == query_of(event)]
        return not any(isinstance(other, RouteOpened | UpdatePosted) for other in others)
    return field in UNSEEN_FIELDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_field_is_found(kind: str, record_property: Callable[[str, object], None]) -> None:
    results = list(changed_fields(kind))
    unseen = {(index, field) for index, field, result in results if isinstance(result, Result)}
    assert unseen == {(index, field) for index, field, _ in results if is_unbound(index, field)}
    record_property("mutations", len(results))
    print(f"{kind}: {len(results)} changes of {len({field for _, field, _ in results})} fields")


@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_names_subject_field_values_and_place(kind: str) -> None:
    for _, _, result in changed_fields(kind):
        if isinstance(result, AuditFailure):
            assert result.subject
            assert "." in result.field or result.field in KINDS
            assert result.expected != result.found
            for part in (result.subject, result.field, result.expected, result.found, str(result.place)):
                assert part in str(result)
            assert "\n" not in str(result)


def test_every_dropped_event_is_found_or_leaves_another_state() -> None:
    unseen = []
    for index, (_, event) in enumerate(CALLS):
        result = outcome([*CALLS[:index], *CALLS[index + 1 :]], index)
        if isinstance(result, Result):
            unseen.append(type(event))
            # Nothing comes after a query's last entry that would miss it, but the ledger's storage contradicts it
            # (tests/chain/test_auditor_lying_node.py); reports are in the storage until the next arrangement. A timeout
            # before a withdrawal, which needs none, leaves no trace at all.
            is_traceless = isinstance(event, RestoreReported | HopTimedOut)
            assert is_traceless or result.queries != valid().queries
    print(f"{len(CALLS)} events dropped, {len(unseen)} of them leave no gap")
    assert set(unseen) == {
        AnswerDelivered,
        EnvelopeDisputed,
        HopTimedOut,
        QueryRejected,
        QuerySubmitted,
        QueryWithdrawn,
        RestoreReported,
        UpdatePosted,
    }


@pytest.mark.parametrize("again", ["in the same call", "in a call of its own"])
def test_every_repeated_event_is_found(again: str) -> None:
    unseen = set()
    for index, (name, event) in enumerate(CALLS):
        repeated = name if again == "in the same call" else replace(name, is_repeated=True)
        last = max(place for place, (other, _) in enumerate(CALLS) if other == name)
        place = index + 1 if again == "in the same call" else last + 1
        result = outcome([*CALLS[:place], (repeated, event), *CALLS[place:]], index)
        if isinstance(result, Result):
            unseen.add(type(event))
    assert unseen == {WorkerAdmitted}  # to admit again is to renew a key, which the ledger allows


def independent(event: Event) -> object:
    """What an event is about; events about different things may come in either order."""
    match event:
        case WorkerAdmitted():
            return event.worker
        case BlockAttested():
            return event.worker
        case _:
            return query_of(event) or "ring"


def test_every_swap_is_found_unless_the_two_are_about_different_things() -> None:
    pairs = unseen = 0
    for first in range(len(CALLS)):
        for second in range(first + 1, len(CALLS)):
            calls = list(CALLS)
            (name, event), (other_name, other) = CALLS[first], CALLS[second]
            calls[first], calls[second] = (name, other), (other_name, event)
            pairs += 1
            if event != other and isinstance(outcome(calls, first), Result):
                unseen += 1
                between = [independent(middle) for _, middle in CALLS[first + 1 : second]]
                assert independent(event) != independent(other)
                assert independent(event) not in between
                assert independent(other) not in between
    print(f"{pairs} pairs swapped, {unseen} of them in an order that is as good")
    assert 0 < unseen < pairs / 20


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("block_number", lambda logged: logged.block_number - 1),
        ("block_number", lambda logged: logged.block_number + 1),
        ("block_hash", lambda logged: bytes([logged.block_hash[0] ^ 1]) + logged.block_hash[1:]),
        ("transaction_hash", lambda logged: bytes([logged.transaction_hash[0] ^ 1]) + logged.transaction_hash[1:]),
        ("log_index", lambda logged: logged.log_index + 1),
    ],
)
def test_changed_place_of_an_event_within_its_call_is_found(
    field: str, change: Callable[[LoggedEvent], object]
) -> None:
    events, found = place_events(CALLS), 0
    for index, ((before, _), (logged, witness), (after, _)) in enumerate(
        zip(events, events[1:], events[2:], strict=False), 1
    ):
        if before.transaction_hash == logged.transaction_hash == after.transaction_hash:
            place: dict[str, Any] = {field: change(logged)}
            changed = replace(logged, **place)
            with pytest.raises(AuditFailure):
                run(deepcopy(snapshots()[index][0]), [(changed, witness), *events[index + 1 :]])
            found += 1
    assert found > 10
