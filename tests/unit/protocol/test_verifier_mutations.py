"""A valid trail passes; changing, dropping, repeating or swapping anything in it does not, but for a listed few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache

import pytest
from trail_mutations import mutations
from trail_script import DOMAIN, OUROBOROS, Call, full_trail, place_events

from deepring_chain.protocol.audit_step import AuditFailure, Check
from deepring_chain.protocol.events import (
    AnswerDelivered,
    BlockAttested,
    Event,
    LoggedEvent,
    QueryRejected,
    QuerySubmitted,
    UpdatePosted,
    WorkerAdmitted,
)
from deepring_chain.protocol.verifier import TrailReport, TrailVerifier
from deepring_chain.types import QueryPhase, RingMode

UNSEEN_FIELDS = {
    "ModelRegistered.root",
    "ModelRegistered.card",
    "WorkerAdmitted.sealing_key",
    "RingArranged.notes",
    "RouteOpened.notes",
    "QueryRejected.reason",
}
"""What no other event binds. The auditor holds root, card and long-term keys against the ledger's storage as far as
they are in force, and pointers against the store: one to nothing is seen, one to another good blob of the same kind is
not. All of them stand in the block that the auditor names at the end: another node tells whether it is everybody's."""

CALLS = full_trail()
KINDS = [kind.__name__ for kind in Event.__args__]  # type: ignore[attr-defined]


def run(verifier: TrailVerifier, events: Sequence[LoggedEvent]) -> TrailReport:
    for logged in events:
        verifier.check(logged)
    return verifier.finish()


@lru_cache(maxsize=1)
def snapshots() -> list[TrailVerifier]:
    """The verifier before each event of the valid trail, so that a test need not begin anew each time."""
    verifier, found = TrailVerifier(DOMAIN, OUROBOROS), []
    for logged in place_events(CALLS):
        found.append(deepcopy(verifier))
        verifier.check(logged)
    return found


def outcome(calls: Sequence[Call], first_changed: int) -> TrailReport | AuditFailure:
    """Of a trail that is the valid one before `first_changed`."""
    try:
        return run(deepcopy(snapshots()[first_changed]), place_events(calls)[first_changed:])
    except AuditFailure as failure:
        return failure


def test_valid_trail_passes_and_is_counted() -> None:
    report = run(TrailVerifier(DOMAIN, OUROBOROS), place_events(CALLS))
    assert report.events == Counter(type(event).__name__ for _, event in CALLS)
    assert set(report.events) == set(KINDS)
    assert set(report.checks) == set(Check)
    assert report.ended == {QueryPhase.DELIVERED: 2, QueryPhase.DISPUTED: 2, QueryPhase.REJECTED: 1}
    opened = [(query.query, query.phase, query.next_hop, query.hops) for query in report.open_queries]
    assert opened == [(6, QueryPhase.ROUTED, 2, 4), (7, QueryPhase.SUBMITTED, 0, 0)]
    assert report.mode is RingMode.QUERY


def changed_fields(kind: str) -> Iterator[tuple[str, TrailReport | AuditFailure]]:
    for index, (name, event) in enumerate(CALLS):
        if type(event).__name__ == kind:
            for field, _how, changed in mutations(event):
                calls = [*CALLS[:index], (name, changed), *CALLS[index + 1 :]]
                yield f"{kind}.{field}", outcome(calls, index)


@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_field_is_found(kind: str, record_property: Callable[[str, object], None]) -> None:
    results = list(changed_fields(kind))
    unseen = {field for field, result in results if isinstance(result, TrailReport)}
    record_property("mutations", len(results))
    print(f"{kind}: {len(results)} changes of {len({field for field, _ in results})} fields")
    assert unseen == {field for field in UNSEEN_FIELDS if field.startswith(f"{kind}.")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_names_subject_field_values_and_place(kind: str) -> None:
    for _, result in changed_fields(kind):
        if isinstance(result, AuditFailure):
            assert result.subject
            assert "." in result.field or result.field in KINDS
            assert result.expected != result.found
            for part in (result.subject, result.field, result.expected, result.found, str(result.place)):
                assert part in str(result)
            assert "\n" not in str(result)


def test_every_dropped_event_is_found_or_leaves_its_query_open() -> None:
    valid = run(TrailVerifier(DOMAIN, OUROBOROS), place_events(CALLS))
    unseen = []
    for index, (_, event) in enumerate(CALLS):
        result = outcome([*CALLS[:index], *CALLS[index + 1 :]], index)
        if isinstance(result, TrailReport):
            unseen.append(event)
            assert result.open_queries != valid.open_queries
    # Nothing comes after a query's last entry that would miss it: the query is open then, which the report says and the
    # ledger's storage contradicts (tests/chain/test_auditor.py).
    assert [type(event) for event in unseen] == [
        AnswerDelivered,
        QueryRejected,
        AnswerDelivered,
        UpdatePosted,
        QuerySubmitted,
    ]
    print(f"{len(CALLS)} events dropped")


@pytest.mark.parametrize("again", ["in the same call", "in a call of its own"])
def test_every_repeated_event_is_found(again: str) -> None:
    unseen = set()
    for index, (name, event) in enumerate(CALLS):
        repeated = name if again == "in the same call" else f"{name} again"
        last = max(place for place, (other, _) in enumerate(CALLS) if other == name)
        place = index + 1 if again == "in the same call" else last + 1
        result = outcome([*CALLS[:place], (repeated, event), *CALLS[place:]], index)
        if isinstance(result, TrailReport):
            unseen.add(type(event))
    assert unseen == {WorkerAdmitted}  # to admit again is to renew a key, which the ledger allows


def independent(event: Event) -> object:
    """What an event is about; events about different things may come in either order."""
    match event:
        case WorkerAdmitted():
            return event.worker
        case BlockAttested():
            return event.worker
        case UpdatePosted():
            return event.signed.update.query
        case _:
            return getattr(event, "query", "ring")


def test_every_swap_is_found_unless_the_two_are_about_different_things() -> None:
    pairs = unseen = 0
    for first in range(len(CALLS)):
        for second in range(first + 1, len(CALLS)):
            calls = list(CALLS)
            (name, event), (other_name, other) = CALLS[first], CALLS[second]
            calls[first], calls[second] = (name, other), (other_name, event)
            pairs += 1
            if isinstance(outcome(calls, first), TrailReport):
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
    for index, (before, logged, after) in enumerate(zip(events, events[1:], events[2:], strict=False), start=1):
        if before.transaction_hash == logged.transaction_hash == after.transaction_hash:
            changed = replace(logged, **{field: change(logged)})
            with pytest.raises(AuditFailure):
                run(deepcopy(snapshots()[index]), [changed, *events[index + 1 :]])
            found += 1
    assert found > 10
