"""What a node leaves out, adds or changes is found by the auditor on a real chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth_utils import function_signature_to_4byte_selector, to_checksum_address

from deepring_chain.audit import auditor
from deepring_chain.audit import chain as audit_chain
from deepring_chain.audit.auditor import AuditOptions, AuditReport, audit
from deepring_chain.audit.chain import LinkedBlock, LinkedBlocks
from deepring_chain.audit.formats import BlobKind
from deepring_chain.audit.inputs import InputAuditor
from deepring_chain.audit.storage import read_terms
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.chain.raw_block import Header, RawBlock, RawTransaction, parse_header
from deepring_chain.errors import ChainError
from deepring_chain.protocol.audit_step import AuditFailure, Terms
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    LoggedEvent,
    ModelRegistered,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    WorkerAdmitted,
)
from deepring_chain.types import ZERO, Position, RejectReason
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, events_of, failure_of, open_client

WITHDRAW_1 = function_signature_to_4byte_selector("withdrawQuery(uint64)") + (1).to_bytes(32, "big")


Lie = Callable[[list[LoggedEvent]], list[LoggedEvent]]
ReportAfter = Callable[[Lie], AuditReport]
FailureAfter = Callable[[Lie], AuditFailure]


@pytest.fixture
def report_after(stored: StoredRing, monkeypatch: pytest.MonkeyPatch) -> ReportAfter:
    """The audit of other events than the blocks hold, whose roots are right: what rules and storage alone can find."""

    def audited(lie: Lie) -> AuditReport:
        events = lie(events_of(stored))

        def in_block(_blocks: LinkedBlocks, block: LinkedBlock) -> list[LoggedEvent]:
            return [logged for logged in events if logged.block_number == block.header.number]

        monkeypatch.setattr(LinkedBlocks, "events", in_block)
        return audit_of(stored)

    return audited


@pytest.fixture
def failure_after(report_after: ReportAfter) -> FailureAfter:
    """What that audit fails with."""

    def failed(lie: Lie) -> AuditFailure:
        failure = report_after(lie).failure
        assert failure is not None
        return failure

    return failed


def kinds(events: Sequence[LoggedEvent]) -> list[str]:
    return [type(logged.event).__name__ for logged in events]


def changed(kind: type, **changes: Any) -> Callable[[list[LoggedEvent]], list[LoggedEvent]]:
    """Changes the last event of a kind."""

    def lie(events: list[LoggedEvent]) -> list[LoggedEvent]:
        index = max(place for place, name in enumerate(kinds(events)) if name == kind.__name__)
        logged = events[index]
        events[index] = replace(logged, event=replace(logged.event, **changes))
        return events

    return lie


@pytest.mark.parametrize(
    ("made", "member"),
    [("submitted", "queryCount"), ("routed", "stateOf(1)"), ("answered", "stateOf(1)")],
)
def test_last_event_that_is_left_out_is_found_in_the_storage(
    stored: StoredRing, failure_after: FailureAfter, made: str, member: str
) -> None:
    query = stored.submit()
    if made != "submitted":
        query.open_route()
    if made == "answered":
        query.advance(4).deliver()
    failure = failure_after(lambda events: events[:-1])
    assert (failure.subject, failure.field) == ("the ledger's storage", member)


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (ModelRegistered, {"root": named("other")}, "root"),
        (ModelRegistered, {"card": named("other")}, "card"),
        (WorkerAdmitted, {"sealing_key": named("other")}, "sealing_key"),
        (RingArranged, {"notes": named("other")}, "notes"),
        (RouteOpened, {"notes": named("other")}, "notes"),
        (RouteOpened, {"items": 4}, "items"),
        (QueryRejected, {"reason": RejectReason.WRONG_SHAPE}, "reason"),
        (QuerySubmitted, {"sealed_input": named("other")}, "sealed_input"),
    ],
)
def test_changed_field_that_no_event_binds_is_found_in_the_input(
    stored: StoredRing, failure_after: FailureAfter, kind: type, change: dict[str, Any], field: str
) -> None:
    answer_one(stored)
    stored.submit().reject()
    assert failure_after(changed(kind, **change)).field == f"{kind.__name__}.{field}"


def without(kind: type) -> Callable[[list[LoggedEvent]], list[LoggedEvent]]:
    """Leaves out the last event of a kind."""

    def lie(events: list[LoggedEvent]) -> list[LoggedEvent]:
        index = max(place for place, name in enumerate(kinds(events)) if name == kind.__name__)
        return [*events[:index], *events[index + 1 :]]

    return lie


@pytest.mark.parametrize(("kind", "member"), [(EnvelopeDisputed, "stateOf(1)"), (QueryWithdrawn, "stateOf(1)")])
def test_event_of_a_withdrawn_query_that_is_left_out_is_found_in_the_storage(
    stored: StoredRing, failure_after: FailureAfter, kind: type, member: str
) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain()
    query.wait_and_withdraw()
    assert audit_of(stored).passed
    assert failure_after(without(kind)).field == member


def test_report_on_a_restore_that_is_left_out_is_found_in_the_storage(
    stored: StoredRing, failure_after: FailureAfter
) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    stored.ring.report(2)
    assert failure_after(without(RestoreReported)).field == "seatAt(2).reported"


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        (RestoreOrdered, {"parameters": named("other")}, "RestoreOrdered.parameters"),
        (RestoreOrdered, {"renewed_hash": named("other")}, "RestoreOrdered.renewedHash"),
        (RestoreOrdered, {"position": Position(1)}, "RestoreOrdered.position"),
        (RestoreOrdered, {"recorded_hash": named("other")}, "RestoreOrdered.recorded_hash"),
        (RestoreOrdered, {"recomputed_hash": named("other")}, "RestoreOrdered.recomputed_hash"),
        (RestoreReported, {"changed": "nothing"}, "RestoreReported.changed"),
        (RestoreReported, {"position": Position(1)}, "RestoreReported.position"),
    ],
)
def test_changed_field_of_a_restore_is_found_in_the_input(
    stored: StoredRing, failure_after: FailureAfter, kind: type, change: dict[str, Any], field: str
) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    stored.ring.report(2)
    assert failure_after(changed(kind, **change)).field == field


def with_other_leaf(transaction: RawTransaction) -> RawTransaction:
    return replace(transaction, data=transaction.data[:-1] + bytes([transaction.data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda transaction: replace(transaction, to=None, data=b"\xde\xad\xbe\xef"), "a transaction to None"),
        (lambda transaction: replace(transaction, data=b"\xde\xad\xbe\xef"), "a call of another function, 0xdeadbeef"),
        (lambda transaction: replace(transaction, data=transaction.data[:-32]), "malformed values"),
        (lambda transaction: replace(transaction, data=WITHDRAW_1), "a call of another function"),
        (with_other_leaf, "0x"),
    ],
    ids=["another contract", "no function", "cut", "another function", "another leaf"],
)
def test_restore_whose_transaction_holds_no_evidence_is_found(
    stored: StoredRing,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[RawTransaction], RawTransaction],
    found: str,
) -> None:
    stored.arrange(tampered=(2,))
    stored.order_restore(2)
    real = LinkedBlock.by_hash
    monkeypatch.setattr(LinkedBlock, "by_hash", lambda block: {h: change(each) for h, each in real(block).items()})
    # The other calls keep their inputs: only restores are looked at.
    monkeypatch.setattr(InputAuditor, "compare", lambda _inputs, _logged, _block: None)
    failure = failure_of(stored)
    assert failure.subject == "arrangement 2, seat 2"
    assert failure.found.startswith(found)


def change_headers(monkeypatch: pytest.MonkeyPatch, change: Callable[[Header], Header]) -> None:
    """Shows the auditor other fields than the headers have, which the hashes do not tell."""
    real = parse_header
    monkeypatch.setattr(audit_chain, "parse_header", lambda encoded: change(real(encoded)))


def test_block_times_before_a_deadline_make_its_timeout_wrong(
    stored: StoredRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.submit().open_route().let_time_out()
    client = open_client(stored)
    early = client.block_time(client.head().number - 2) + 1
    change_headers(monkeypatch, lambda header: replace(header, time=min(header.time, early)))
    assert failure_of(stored, client).field == "HopTimedOut.event (its time)"


def test_first_wrong_event_ends_the_audit(stored: StoredRing, report_after: ReportAfter) -> None:
    answer_one(stored)
    report = report_after(lambda events: [*events[:5], *events[6:]])
    assert report.failure is not None
    assert report.stored_values == 0
    assert report.trail.events == {"ModelRegistered": 1, "WorkerAdmitted": 4}
    assert report.blobs == {BlobKind.CARD: 1}


def test_blocks_that_are_not_one_chain_are_found(stored: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = stored.ring.ledger.first_block + 2
    change_headers(monkeypatch, lambda header: replace(header, parent_hash=ZERO) if header.number == cut else header)
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == (f"block {cut}", "parentHash")


class LyingSource(NodeBlocks):
    """A node that shows other bytes in one block, under the hash that everybody knows."""

    def __init__(self, stored: StoredRing, number: int, change: Callable[[RawBlock], RawBlock]) -> None:
        ledger = stored.ring.ledger
        super().__init__(ledger.web3, ledger.url, ledger.address, whole_at=ledger.first_block)
        self._number, self._change = number, change

    def block(self, number: int, *, whole: bool = False) -> RawBlock:
        """The block, or what the node makes of it."""
        shown = super().block(number, whole=whole)
        return self._change(shown) if number == self._number else shown


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def flip_receipt(block: RawBlock) -> RawBlock:
    """A node that adds gas to a receipt, which no rule of the trail looks at."""
    assert block.receipts is not None
    status, gas, *rest = rlp.decode(block.receipts[0][1:])
    changed = block.receipts[0][:1] + rlp.encode([status, flipped(gas, -1), *rest])
    return replace(block, receipts=(changed, *block.receipts[1:]))


def flip_signature(block: RawBlock) -> RawBlock:
    """A node that changes the signature of a transaction, and so its hash."""
    assert block.transactions is not None
    return replace(block, transactions=(flipped(block.transactions[0], -1),))


@pytest.mark.parametrize(
    ("change", "subject", "field"),
    [
        (lambda block: replace(block, header=flipped(block.header, 100)), "block {n}", "hash"),
        (lambda block: replace(block, header=block.header[:-1]), "block {n}", "header"),
        (lambda block: replace(block, claimed_hash=ZERO), "block {n}", "hash"),
        (lambda block: replace(block, receipts=None), "block {n}", "receipts"),
        (lambda block: replace(block, receipts=()), "block {n}", "no event (receiptsRoot of block {n})"),
        (lambda block: replace(block, receipts=(b"\x02garbage",)), "block {n}", "transactions or receipts"),
        (flip_receipt, "query 1, hop 0", "UpdatePosted (receiptsRoot of block {n})"),
        (flip_signature, "query 1, hop 0", "UpdatePosted (transactionsRoot of block {n})"),
    ],
    ids=["header", "cut header", "hash", "no receipts", "empty receipts", "garbage", "gas", "transaction"],
)
def test_block_that_was_not_mined_so_is_found_and_its_subject_named(
    stored: StoredRing, change: Callable[[RawBlock], RawBlock], subject: str, field: str
) -> None:
    stored.submit().open_route().post()
    client = open_client(stored)
    number = client.head().number
    source = LyingSource(stored, number, change)
    failure = audit(client, stored.store, stored.ring.ledger.first_block, source=source).failure
    assert failure is not None
    assert (failure.subject, failure.field) == (subject.format(n=number), field.format(n=number))
    assert str(failure.place) == f"block {number}"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda terms: replace(terms, hop_seconds=terms.hop_seconds + 1), "constructor's arguments"),
        (lambda terms: replace(terms, withdraw_seconds=1), "constructor's arguments"),
    ],
    ids=["hop", "withdraw"],
)
def test_deadline_that_the_deployment_did_not_set_is_found(
    stored: StoredRing, monkeypatch: pytest.MonkeyPatch, change: Callable[[Terms], Terms], field: str
) -> None:
    real = read_terms
    monkeypatch.setattr(auditor, "read_terms", lambda client: change(real(client)))
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == ("the ledger's deployment", field)


def test_immutable_value_of_another_ledger_is_found(stored: StoredRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The masked code is the shipped one: only what its immutables hold is not this ledger's."""
    client = open_client(stored)
    code = bytearray(client.web3.eth.get_code(to_checksum_address(stored.ring.ledger.address)))
    start, _ = load_artifact().immutable_references[0]
    code[start] ^= 1
    monkeypatch.setattr(client.web3.eth, "get_code", lambda *_: bytes(code))
    failure = failure_of(stored, client)
    assert (failure.subject, failure.field) == ("the ledger's code", f"immutable at byte {start}")


def test_range_that_begins_before_the_deployment_leaves_it_open(stored: StoredRing) -> None:
    report = audit(open_client(stored), stored.store, stored.ring.ledger.first_block - 1)
    assert report.passed
    assert not report.counts.found_deployment
    assert any("created the ledger" in item.what for item in report.not_checked)


@pytest.mark.parametrize("is_right", [True, False])
def test_block_that_somebody_else_knows_is_held_against_the_chain(stored: StoredRing, is_right: bool) -> None:
    client = open_client(stored)
    known = client.block_at(stored.ring.ledger.first_block + 1)
    anchor = known if is_right else replace(known, block_hash=ZERO)
    report = audit(client, stored.store, stored.ring.ledger.first_block, AuditOptions(anchor=anchor))
    assert report.passed is is_right
    if not is_right:
        assert report.failure is not None
        assert (report.failure.subject, report.failure.field) == (f"block {known.number}", "hash")
    else:
        assert not any("everybody sees" in item.what for item in report.not_checked)


def test_anchor_outside_of_the_range_is_an_error(stored: StoredRing) -> None:
    client = open_client(stored)
    anchor = replace(client.head(), number=10**6)
    with pytest.raises(ChainError, match="block 1000000 is not among those that were read"):
        audit(client, stored.store, stored.ring.ledger.first_block, AuditOptions(anchor=anchor))
