"""What a worker begins, for which queries and when, what it leaves alone, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.actors.worker.worker import REPORT_BYTES, Worker
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.hop import OpenNotes, PutBack, SettleFirst, next_action
from deepring_chain.protocol.envelope import open_content
from deepring_chain.protocol.events import EnvelopeDisputed, OutputDisputed, RestoreOrdered, RestoreReported
from deepring_chain.protocol.restore import complaint_context
from deepring_chain.protocol.session import Session
from deepring_chain.types import (
    NO_OUTPUT,
    ComplaintKind,
    Hop,
    QueryId,
    QueryPhase,
    RingMode,
    TensorBytes,
)
from tests.unit.actors.fake_ring import FakeRing, ask_up_to, client_of, session_of
from tests.unit.actors.test_disputes import LyingWorker
from tests.unit.actors.test_worker import tamper

SILENT = frozenset(QueryPhase) - {QueryPhase.ROUTED, QueryPhase.DISPUTED}


def turn_of_one(ring: FakeRing) -> tuple[QueryId, Session, Worker]:
    """A query at hop 1, and worker 1, which has read the ledger."""
    query = ask_up_to(ring, 1)
    ring.members[1].follower.refresh()
    return query, session_of(ring, query), ring.workers[0]


# ---------------------------------------------------------------- which step


@pytest.mark.parametrize("phase", sorted(SILENT), ids=lambda phase: phase.name)
def test_query_in_another_phase_is_left_alone(ring: FakeRing, phase: QueryPhase) -> None:
    _, session, worker = turn_of_one(ring)
    assert next_action(worker.turn_of(session)) is not None
    assert next_action(worker.turn_of(replace(session, phase=phase))) is None


def test_notes_are_read_once_while_the_input_is_entered(ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    while session_of(ring, query).phase is not QueryPhase.ROUTED:
        assert ring.step(0)
    ring.members[1].follower.refresh()
    session, worker = session_of(ring, query), ring.workers[0]
    assert session.next_hop == 0
    assert next_action(worker.turn_of(session)) == OpenNotes()
    assert not ring.step(1)
    assert next_action(worker.turn_of(session)) is None


@pytest.mark.parametrize("mode", sorted(set(RingMode) - {RingMode.QUERY}), ids=lambda mode: mode.name)
def test_hop_waits_while_the_ring_is_not_authentic(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, mode: RingMode
) -> None:
    _, session, worker = turn_of_one(ring)
    monkeypatch.setattr(type(ring.members[1].state), "mode", mode)
    assert next_action(worker.turn_of(session)) is None


def test_what_waits_for_the_ledger_too_long_goes_before_the_own_hop(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session, worker = turn_of_one(ring)
    posting = ring.members[1].posting
    monkeypatch.setattr(posting, "is_stuck", lambda _session: True)
    assert next_action(worker.turn_of(session)) == SettleFirst()


def test_violation_of_equation_13_has_no_envelope_to_put_back(ring: FakeRing) -> None:
    query, session, worker = turn_of_one(ring)
    ring.step(1)
    session = session_of(ring, query)
    violated = OutputDisputed(query, session.attempt, session.next_hop, NO_OUTPUT, NO_OUTPUT)
    assert next_action(worker.turn_of(replace(session, phase=QueryPhase.DISPUTED, dispute=violated))) is None


def test_dispute_is_the_matter_of_who_sent_the_envelope_and_of_who_complained(ring: FakeRing) -> None:
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, LyingWorker)
    ring.step(1)
    ring.step(2)
    session = session_of(ring, query)
    assert isinstance(session.dispute, EnvelopeDisputed)
    sent = session.updates[Hop(1)].signed.update
    owed = [sent.envelope, session.dispute.complaint.evidence]
    assert [next_action(each.turn_of(session)) for each in ring.workers] == [*map(PutBack, owed), None]


def test_envelope_that_the_sender_has_not_either_is_not_put_back(ring: FakeRing) -> None:
    query, _, worker = turn_of_one(ring)
    ring.step(1)
    session = session_of(ring, query)
    envelope = session.updates[Hop(1)].signed.update.envelope
    next((ring.folder / "store").rglob(envelope.hex())).unlink()
    worker._outbox.keep_only(set())
    assert not worker._put_back(session, envelope)


def test_envelope_that_is_in_the_store_is_not_put_back(ring: FakeRing) -> None:
    query, _, worker = turn_of_one(ring)
    ring.step(1)
    session = session_of(ring, query)
    assert not worker._put_back(session, session.updates[Hop(1)].signed.update.envelope)


# ---------------------------------------------------------------- complaints


class Accuser(Worker):
    """Cannot use what it got."""

    def _receive(self, *_: object) -> TensorBytes:
        raise ProtocolError("unusable")


def test_complaint_waits_for_what_the_ledger_does_not_know_yet(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would speak of another history than the ledger's."""
    query = ask_up_to(ring, 1)
    ring.replace_worker(1, Accuser)
    monkeypatch.setattr(ring.members[1].posting, "is_ahead", lambda _session: True)
    ring.step(1)
    assert client_of(ring.members[1]).calls[-1:] != [f"complain {query} 1 UNREADABLE"]
    assert list(ring.members[1].journal.keys("complaint/")) == []
    monkeypatch.undo()
    ring.step(1)
    assert client_of(ring.members[1]).calls[-1] == f"complain {query} 1 UNREADABLE"


@pytest.mark.parametrize("shown", [None, bytes(range(32))], ids=["own key", "another"])
def test_complaint_shows_the_ouroboros_one_key(ring: FakeRing, shown: bytes | None) -> None:
    query, session, worker = turn_of_one(ring)
    (note,) = worker._open_notes(session)
    complaint = worker._make_complaint(session, note, ComplaintKind.UNREADABLE, shown)
    place = complaint_context(client_of(ring.members[0]).domain, query, session.attempt, 1)
    opened = open_content(ring.members[0].keys.sealing, ring.store.get(complaint.evidence), place)
    own = ring.members[1].sealing_key(session.arrangements[session.attempt]).private_bytes_raw()
    assert opened == (shown or own)


# ---------------------------------------------------------------- restores


def reports(ring: FakeRing) -> list[tuple[int, str]]:
    found = [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RestoreReported)]
    return [(report.round, report.changed) for report in found]


def test_worker_restored_twice_in_an_arrangement_reports_both(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody reported in an earlier round is not this round's report."""
    block = ring.blocks[1]
    honest, restored = block.restore, 0

    def restore(parameters: bytes) -> list[str]:
        nonlocal restored
        changed, restored = honest(parameters), restored + 1
        if restored == 1:
            tamper(ring, 2)
        return changed

    monkeypatch.setattr(block, "restore", restore)
    tamper(ring, 2)
    ring.settle()
    orders = [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RestoreOrdered)]
    assert len({order.arrangement for order in orders}) == 1
    assert reports(ring) == [(1, "layer.2.weight"), (2, "layer.2.weight")]


def test_restore_that_was_reported_is_not_reported_again(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends between its report and its leaf."""
    tamper(ring, 2)
    ring.settle(2)
    ring.step(2)
    ring.settle(2)
    worker = ring.workers[1]
    monkeypatch.setattr(worker._leaves, "hand_in", lambda _leaf: None)
    ring.step(2)
    assert len(reports(ring)) == 1
    monkeypatch.undo()
    ring.restart(2)
    ring.settle()
    assert len(reports(ring)) == 1
    assert ring.ledger.state.mode is RingMode.QUERY


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([], "nothing"),
        (["layer.1.weight", "layer.1.bias"], "layer.1.weight, layer.1.bias"),
        (["x" * 300], "x" * REPORT_BYTES),
        (["é" * 300], "é" * (REPORT_BYTES // 2)),
        (["x" + "é" * 300], "x" + "é" * (REPORT_BYTES // 2 - 1)),
    ],
    ids=["nothing", "two", "long", "two-byte letters", "half a letter"],
)
def test_report_fits_the_ledger(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch, changed: list[str], expected: str
) -> None:
    monkeypatch.setattr(ring.blocks[0], "changed_tensors", lambda: changed)
    assert ring.workers[0]._name_changes() == expected
    assert len(expected.encode()) <= REPORT_BYTES


# ---------------------------------------------------------------- what is kept


def test_nothing_of_ended_queries_is_kept(ring: FakeRing) -> None:
    ring.settle()
    queries = [ring.ask() for _ in range(2)]
    ring.settle()
    assert {session_of(ring, query).phase for query in queries} == {QueryPhase.DELIVERED}
    for worker in ring.workers:
        assert worker._notes == {}
        assert worker.lanes._lanes == {}
        assert list(worker._outbox._folder.iterdir()) == []


def test_what_an_open_query_needs_is_kept_when_another_ends(ring: FakeRing) -> None:
    query, _, worker = turn_of_one(ring)
    ring.step(1)
    assert {place[0] for place in worker._notes} == {query}
    worker._forget_ended({query})
    assert {place[0] for place in worker._notes} == {query}
    assert [held.name for held in worker._outbox._folder.iterdir()] == [str(query)]


def test_folders_are_not_looked_through_while_the_same_queries_are_open(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    worker = ring.workers[0]
    monkeypatch.setattr(worker._outbox, "keep_only", asked.append)
    for queries in ({QueryId(1)}, {QueryId(1)}, {QueryId(1), QueryId(2)}, set[QueryId]()):
        worker._forget_ended(queries)
    assert asked == [{1}, {1, 2}, set()]
