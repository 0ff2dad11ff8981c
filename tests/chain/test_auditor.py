"""The auditor on a real chain: it passes an honest trail, and names a blob that is absent, damaged or no such thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from deepring_chain.audit import blobs
from deepring_chain.audit.auditor import audit
from deepring_chain.audit.formats import BlobKind
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.encoding import encode_fields
from deepring_chain.errors import ChainError, StoreError
from deepring_chain.protocol.audit_step import Check
from deepring_chain.protocol.events import Event
from deepring_chain.store.content import BlobFault, ContentStore
from deepring_chain.types import QueryPhase, RejectReason, RingMode
from tests.chain.recorded import record_all
from tests.chain.ring_driver import ScriptedRing, named
from tests.chain.stored_ring import (
    StoredRing,
    answer_one,
    audit_of,
    card_of,
    envelope_of,
    events_of,
    failure_of,
    notes_of,
    open_client,
)

BLOBS = {
    "card": ("model version 1", "ModelRegistered.card"),
    "arrangement notes 1": ("arrangement 1", "RingArranged.notes"),
    "input 1": ("query 1", "QuerySubmitted.sealed_input"),
    "route notes 1/1": ("query 1", "RouteOpened.notes"),
    "envelope 1/1/0": ("query 1, hop 0", "UpdatePosted.signed.update.envelope"),
    "envelope 1/1/3": ("query 1, hop 3", "UpdatePosted.signed.update.envelope"),
    "answer 1/1": ("query 1, delivery", "AnswerDelivered.answer"),
}


# ---------------------------------------------------------------------- honest trails
def test_trail_with_every_kind_of_event_and_end_passes(stored: StoredRing) -> None:
    record_all(stored)
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.ended == {QueryPhase.DELIVERED: 4, QueryPhase.REJECTED: 2, QueryPhase.WITHDRAWN: 1}
    assert [(query.query, query.next_hop) for query in report.trail.open_queries] == [(8, 1), (9, 0)]
    assert report.trail.mode is RingMode.QUERY
    assert set(report.trail.events) == {kind.__name__ for kind in Event.__args__}
    assert set(report.trail.checks) == set(Check)
    assert report.blobs == {
        BlobKind.CARD: 2,
        BlobKind.ARRANGEMENT_NOTES: 3,
        BlobKind.PARAMETERS: 3,
        BlobKind.INPUT: 9,
        BlobKind.ROUTE_NOTES: 6 + 3 + 2 + 2,
        BlobKind.ENVELOPE: 1 + 3 + 0 + 2 + 1 + 1 + 2 + 1 + (2 + 4) + 4 + 4,
        BlobKind.COMPLAINT: 1,
        BlobKind.VERDICT: 4,
        BlobKind.ANSWER: 5,
    }
    assert report.remarks == ()
    assert report.disputed_blobs == 0
    # Three orders' position, last hash and pointer, two reports' position and words; models, keys, seatings, queries,
    # routes, rejections, a withdrawal, a complaint of a worker and one of the ouroboros.
    orders, registered, arranged = 3 * 3 + 2 * 2, 2 * 3 + 8, 3 * 3
    assert report.input_values == orders + registered + arranged + 9 * 2 + 13 * 4 + 2 * 2 + 1 + 2 * 3
    # Of every block that logs, and of the deployment's.
    assert report.counts.roots == 2 * len({logged.block_number for logged in events_of(stored)} | {report.first_block})
    assert report.counts.found_deployment
    assert report.counts.code_values == len(load_artifact().immutable_references)
    # Count, mode, model (4), arrangement (7), four seats (6 each), a key for each, a word for each of the nine queries.
    assert report.stored_values == 1 + 1 + 4 + 7 + 4 * 6 + 4 + 9
    newest = open_client(stored).head()
    assert report.last_block == newest
    assert report.blocks == newest.number - report.first_block + 1


def test_ring_that_is_being_restored_passes(stored: StoredRing) -> None:
    stored.arrange(tampered=(2,))
    assert audit_of(stored).trail.mode is RingMode.TRACKING
    stored.order_restore(2)
    report = audit_of(stored)
    assert report.failure is None
    assert report.trail.mode is RingMode.ATTESTING
    stored.ring.report(2)
    assert audit_of(stored).failure is None


def test_ledger_without_events_passes(bare_ring: ScriptedRing, querent: LocalAccount, tmp_path: Path) -> None:
    report = audit_of(StoredRing(bare_ring, tmp_path / "store", querent))
    assert report.passed
    assert report.trail.mode is RingMode.SETUP
    assert report.trail.events == {}


def test_report_says_what_needs_keys_and_who_has_them(stored: StoredRing) -> None:
    unchecked = {item.what: item.who for item in audit_of(stored).not_checked}
    assert any("parameters" in what and "ouroboros" in who for what, who in unchecked.items())
    assert any("envelope" in what and "recipient" in who for what, who in unchecked.items())


# ---------------------------------------------------------------------- blobs
@pytest.mark.parametrize("name", BLOBS)
def test_deleted_blob_is_named(stored: StoredRing, name: str) -> None:
    answer_one(stored)
    stored.file_of(name).unlink()
    failure = failure_of(stored)
    assert (failure.subject, failure.field, failure.found) == (*BLOBS[name], "none")
    assert stored.pointers[name].hex() in str(failure)


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", BLOBS)
def test_flipped_byte_of_a_blob_is_named(stored: StoredRing, name: str, place: int) -> None:
    answer_one(stored)
    blob = bytearray(stored.file_of(name).read_bytes())
    blob[place] ^= 1
    stored.file_of(name).write_bytes(blob)
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == BLOBS[name]
    assert "bytes that hash to" in failure.found
    assert stored.pointers[name].hex() in str(failure)


def test_blob_larger_than_the_store_reads_is_named(stored: StoredRing) -> None:
    answer_one(stored)
    client, store = open_client(stored), ContentStore(str(stored.folder), max_bytes=100)
    failure = audit(client, store, stored.ring.ledger.first_block).failure
    assert failure is not None
    assert "100 bytes or less" in failure.expected


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (notes_of("x", 2), "2 of them for 3 workers"),
        (notes_of("x", 4), "4 of them for 3 workers"),
        (encode_fields("notes", [[bytes(48), bytes(48), bytes(49)]]), "of different lengths"),
        (encode_fields("notes", [[bytes(47)] * 3]), "no sealed message"),
        (encode_fields("notes", [[1, 2, 3]]), "no sealed message"),
        (envelope_of("x"), "are not a notes"),
    ],
    ids=["too few", "too many", "unequal", "too short", "numbers", "an envelope"],
)
def test_notes_of_another_format_are_named(stored: StoredRing, blob: bytes, message: str) -> None:
    query = stored.submit()
    query.blobs["route notes 1/1"] = blob
    query.open_route()
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == ("query 1", "RouteOpened.notes")
    assert message in failure.found


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"not CBOR at all", "envelope"),
        (encode_fields("envelope", [bytes(79), bytes(28)]), "wrapped key of 79 bytes"),
        (encode_fields("envelope", [bytes(80), bytes(27)]), "ciphertext of 27 bytes"),
        (notes_of("x", 3), "are not a envelope"),
    ],
    ids=["no CBOR", "short key", "short ciphertext", "notes"],
)
def test_envelope_and_answer_of_another_format_are_named(stored: StoredRing, blob: bytes, message: str) -> None:
    query = stored.submit().open_route()
    query.blobs["envelope 1/1/0"] = blob
    query.post()
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == BLOBS["envelope 1/1/0"]
    assert message in failure.found


def test_answer_of_another_format_is_named(stored: StoredRing) -> None:
    query = stored.submit().compute()
    query.blobs["answer 1/1"] = card_of(3)
    query.deliver()
    assert failure_of(stored).field == "AnswerDelivered.answer"


@pytest.mark.parametrize(
    ("card", "message"), [(card_of(2), "of 2 layers, registered with 3"), (b"", "card")], ids=["of 2 layers", "empty"]
)
def test_card_that_is_none_or_of_another_model_is_named(
    bare_ring: ScriptedRing, querent: LocalAccount, tmp_path: Path, card: bytes, message: str
) -> None:
    stored = StoredRing(bare_ring, tmp_path / "store", querent)
    stored.ring.owner_client.register_model(named("root"), stored.put("card", card), 3)
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == BLOBS["card"]
    assert message in failure.found


def test_arrangement_notes_of_another_format_are_named(stored: StoredRing) -> None:
    stored.arrange(notes=notes_of("x", 2))
    assert failure_of(stored).subject == "arrangement 2"


def test_unusable_input_of_a_rejected_query_is_a_remark(stored: StoredRing) -> None:
    stored.submit_pointer(named("nowhere")).reject(RejectReason.BLOB_UNAVAILABLE)
    stored.submit(b"not an envelope").reject(RejectReason.MALFORMED)
    report = audit_of(stored)
    assert report.passed
    absent, malformed = report.remarks
    assert "query 1" in absent
    assert "rejected (BLOB_UNAVAILABLE)" in absent
    assert "query 2" in malformed


def test_unusable_input_that_nobody_accepted_is_a_remark(stored: StoredRing) -> None:
    stored.submit_pointer(named("nowhere"))
    report = audit_of(stored)
    assert report.passed
    (remark,) = report.remarks
    assert "nobody has accepted it yet" in remark


def test_folder_in_the_place_of_a_blob_is_named(stored: StoredRing) -> None:
    stored.file_of("card").unlink()
    stored.file_of("card").mkdir()
    failure = failure_of(stored)
    assert (failure.subject, failure.field) == BLOBS["card"]
    assert "cannot be read: a directory lies there" in failure.found


def test_store_that_goes_away_is_an_error_and_no_finding(
    stored: StoredRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_away(*_: object) -> None:
        if stored.folder.exists():
            stored.folder.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(blobs, "format_fault", go_away)
    with pytest.raises(StoreError, match="store") as error:
        audit_of(stored)
    assert not isinstance(error.value, BlobFault)


# ---------------------------------------------------------------------- range
def test_range_that_begins_after_the_first_event_is_refused(stored: StoredRing) -> None:
    client = open_client(stored)
    (first, *_) = client.events(stored.ring.ledger.first_block, client.head().number)
    failure = audit(client, stored.store, first.block_number + 1).failure
    assert failure is not None
    assert failure.subject == "arrangement 1"


@pytest.mark.parametrize("first_block", [-1, 10**9])
def test_range_that_does_not_exist_is_one_clear_line(stored: StoredRing, first_block: int) -> None:
    with pytest.raises(ChainError, match=f"no block {first_block}") as error:
        audit(open_client(stored), stored.store, first_block)
    assert "\n" not in str(error.value)
