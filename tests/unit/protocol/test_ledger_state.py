"""The projection of a whole ledger, from its events alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    AnswerDelivered,
    AuthenticityDerived,
    BlockAttested,
    BlockHashed,
    Event,
    ModelRegistered,
    OutputDisputed,
    QueryRejected,
    RestoreOrdered,
    RestoreReported,
    WorkerAdmitted,
)
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.types import (
    ArrangementId,
    Attempt,
    Attestation,
    Digest,
    Hop,
    Position,
    QueryId,
    QueryPhase,
    RejectReason,
    RingMode,
    SealingKey,
)
from tests.unit.protocol.protocol_tools import address, arranged, digest, logged, opened, posted, submitted


def model(version: int = 1) -> ModelRegistered:
    return ModelRegistered(version, digest(1), digest(2), 2)


def attested(position: int, arrangement: int = 1, restores: int = 0) -> BlockAttested:
    place = ArrangementId(arrangement), Position(position)
    attestation = Attestation(*place, restores, digest(40 + position), digest(50 + position))
    return BlockAttested(attestation, address(position + 1), bytes(65))


def hashed(position: int, value: int, arrangement: int = 1) -> BlockHashed:
    return BlockHashed(ArrangementId(arrangement), Position(position), digest(value))


def derived(is_authentic: bool, arrangement: int = 1) -> AuthenticityDerived:
    return AuthenticityDerived(ArrangementId(arrangement), is_authentic, digest(70), digest(72))


def after(*events: Event) -> LedgerState:
    state = LedgerState()
    state.apply_all(logged(event, number) for number, event in enumerate(events, start=1))
    return state


READY = [
    model(),
    arranged(),
    *(event for seat in range(3) for event in (attested(seat), hashed(seat, 60 + seat))),
    derived(True),
]


# ---------------------------------------------------------------- ring


def test_mode_follows_the_events() -> None:
    state = LedgerState()
    modes = [state.mode]
    for number, event in enumerate(READY, start=1):
        state.apply(logged(event, number))
        modes.append(state.mode)
    assert modes == [RingMode.SETUP] * 2 + [RingMode.ATTESTING] * 7 + [RingMode.QUERY]


def test_false_authenticity_is_tracking() -> None:
    assert after(*READY[:-1], derived(False)).mode is RingMode.TRACKING


def test_new_arrangement_must_be_attested_anew() -> None:
    state = after(*READY, arranged(2))
    assert state.mode is RingMode.ATTESTING
    assert state.arrangement is not None
    assert state.arrangement.attestations == {}
    assert state.arrangement.block_hashes == []
    assert state.arrangement.arranged.arrangement == 2


def test_new_model_sends_the_ring_back_to_setup() -> None:
    """An arrangement attests the model it was made for: after a new one nothing runs until the next."""
    assert after(*READY, model(2)).mode is RingMode.SETUP
    assert after(*READY, model(2), arranged(2, version=2)).mode is RingMode.ATTESTING


def test_arrangement_without_a_model_is_setup() -> None:
    assert after(arranged()).mode is RingMode.SETUP


def test_events_of_a_ring_that_was_never_arranged_change_nothing() -> None:
    state = after(model(), attested(0), hashed(0, 1), derived(True))
    assert state.arrangement is None
    assert state.mode is RingMode.SETUP


def ordered(position: int, restores: int = 1) -> RestoreOrdered:
    place = ArrangementId(1), Position(position)
    return RestoreOrdered(*place, address(position + 1), restores, *map(digest, range(1, 6)))


def test_hashes_are_kept_in_ring_order() -> None:
    state = after(*READY)
    assert state.arrangement is not None
    assert state.arrangement.block_hashes == [digest(60), digest(61), digest(62)]
    assert state.arrangement.missing_seats() == []


def test_restore_folds_anew_from_its_seat() -> None:
    """Paper 3.4.4: the restored block attests under a fresh challenge, those after it need not."""
    state = after(*READY[:-1], derived(False), ordered(1))
    current = state.arrangement
    assert current is not None
    assert [state.mode] == [RingMode.ATTESTING]
    assert current.block_hashes == [digest(60)]
    assert current.missing_seats() == [1]
    assert [current.round_of(Position(seat)) for seat in range(3)] == [0, 1, 0]
    state.apply_all([logged(event) for event in (attested(1, restores=1), hashed(1, 81), hashed(2, 82), derived(True))])
    assert current.block_hashes == [digest(60), digest(81), digest(82)]
    assert state.mode is RingMode.QUERY


def test_restore_of_another_seat_and_a_second_round_are_told_apart() -> None:
    state = after(*READY[:-1], derived(False), ordered(1), ordered(2), ordered(1, restores=2))
    current = state.arrangement
    assert current is not None
    assert [current.round_of(Position(seat)) for seat in range(3)] == [0, 2, 1]
    assert current.missing_seats() == [1, 2]


def test_restores_are_counted_over_all_arrangements() -> None:
    second = replace(ordered(1), arrangement=ArrangementId(2))
    state = after(*READY[:-1], derived(False), ordered(1), ordered(2), arranged(2), derived(False, 2), second)
    assert state.restores == {address(2): 2, address(3): 1}


def test_arrangement_knows_whether_the_one_before_was_restored_and_since_when_it_is_authentic() -> None:
    found = []
    state = after(*READY[:-1], derived(False), ordered(1))
    later: tuple[Event, ...] = (derived(True), arranged(2), arranged(3))
    for block, event in enumerate(later, start=50):
        state.apply(logged(event, block))
        assert state.arrangement is not None
        found.append((state.arrangement.authentic_block, state.arrangement.follows_restores))
    assert found == [(50, False), (0, True), (0, False)]


def test_reports_are_kept() -> None:
    report = RestoreReported(ArrangementId(1), Position(1), address(2), 1, "layer.1.weight")
    state = after(*READY[:-1], derived(False), ordered(1), report)
    assert state.arrangement is not None
    assert state.arrangement.reports == [report]


def test_workers_that_did_not_attest_are_counted() -> None:
    state = after(model(), arranged(), attested(0), attested(2), arranged(2), arranged(3))
    assert [state.absences[address(number)] for number in (1, 2, 3)] == [1, 2, 1]


def test_worker_that_attests_a_useless_key_is_counted() -> None:
    """Nothing can be sealed to a point of low order: its owner could stop every query without a trace."""
    weak = attested(1)
    weak = replace(weak, attestation=replace(weak.attestation, sealing_key=SealingKey(Digest(bytes([1]) + bytes(31)))))
    state = after(model(), arranged(), attested(0), weak, attested(2))
    assert state.arrangement is not None
    assert state.arrangement.keyless == {1}
    assert state.arrangement.failing_workers() == [state.arrangement.arranged.seats[1]]
    state.apply(logged(arranged(2, 3)))
    assert state.absences == {address(2): 1}


def test_admitted_keys_and_attested_keys_are_kept_apart() -> None:
    state = after(WorkerAdmitted(address(1), digest(5)), WorkerAdmitted(address(1), digest(6)), *READY[:4])
    current = state.arrangement
    assert current is not None
    assert state.sealing_keys == {address(1): digest(6)}
    assert current.sealing_key_of(address(1)) == digest(50)
    assert current.sealing_key_of(address(2)) is None
    assert current.sealing_key_of(address(9)) is None
    assert [current.position_of(address(number)) for number in (1, 2, 3, 9)] == [0, 1, 2, None]


# ---------------------------------------------------------------- queries


def test_queries_run_side_by_side() -> None:
    state = after(
        *READY, submitted(1), submitted(2), opened(1), posted(0, 1), opened(2), posted(0, 2), posted(1, 2), posted(2, 2)
    )
    first, second = (state.sessions[QueryId(number)] for number in (1, 2))
    assert (first.phase, first.next_hop, first.hops, first.arrangement) == (QueryPhase.ROUTED, 1, 3, 1)
    assert (second.phase, second.next_hop) == (QueryPhase.COMPUTED, 3)
    assert state.open_sessions() == [first, second]


def test_open_sessions_are_those_that_wait_oldest_first() -> None:
    answer = AnswerDelivered(QueryId(2), Attempt(1), digest(1), digest(2), bytes(65), digest(3))
    state = after(
        *READY,
        submitted(1),
        submitted(2),
        submitted(3),
        submitted(4),
        submitted(5),
        opened(2),
        *(posted(hop, 2) for hop in range(3)),
        answer,
        QueryRejected(QueryId(3), RejectReason.MALFORMED),
        opened(4),
        posted(0, 4),
        posted(1, 4),
        OutputDisputed(QueryId(4), Attempt(1), Hop(1), digest(1), digest(2)),
    )
    assert [session.query for session in state.open_sessions()] == [1, 4, 5]
    assert [state.sessions[QueryId(query)].phase for query in (2, 3, 4)] == [
        QueryPhase.DELIVERED,
        QueryPhase.REJECTED,
        QueryPhase.DISPUTED,
    ]


def test_route_belongs_to_the_arrangement_in_force() -> None:
    state = after(*READY, submitted(1), opened(1), arranged(2, seats=5), posted(0), posted(1), posted(2))
    session = state.sessions[QueryId(1)]
    assert (session.arrangement, session.hops, session.phase) == (1, 3, QueryPhase.COMPUTED)


def test_event_of_an_unknown_query_is_refused() -> None:
    """Somebody names a first block that lies after a query: its events have no beginning."""
    for event in (opened(7), posted(0, 7), QueryRejected(QueryId(7), RejectReason.MALFORMED)):
        with pytest.raises(ProtocolError, match="query 7: the events begin after it"):
            after(*READY, event)


def test_same_events_give_the_same_state() -> None:
    events = [*READY, submitted(1), opened(1), posted(0)]
    assert after(*events) == after(*events)
    assert after(*events) != after(*events[:-1])
