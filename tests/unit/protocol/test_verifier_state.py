"""What the verifier keeps from one event to the next, and how closely a consequence follows its cause."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.audit_step import AuditFailure, Witness
from deepring_chain.protocol.events import BlockAttested, Event, QuerySubmitted, UpdatePosted
from deepring_chain.protocol.trail import start_trail
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.types import Address, Attempt, Hop, QueryId, QueryPhase, Question
from tests.unit.protocol.full_trail import full_trail
from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import QUERENT, STRANGER, TERMS, Placed, named, place_events
from tests.unit.protocol.trail_script import ScriptedTrail

LIE = named("a lie")


def checked(events: list[Placed], verifier: TrailVerifier | None = None) -> TrailVerifier:
    verifier = verifier or TrailVerifier(TERMS)
    for logged, witness in events:
        verifier.check(logged, witness)
    return verifier


def refused(events: list[Placed], verifier: TrailVerifier | None = None) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        checked(events, verifier).finish()
    return caught.value


# ---------------------------------------------------------------------- saved, and taken up


def test_verifier_goes_on_where_another_stopped() -> None:
    events = place_events(full_trail())
    whole = checked(events)
    verifier, stops = TrailVerifier(TERMS), 0
    for event in events:
        checked([event], verifier)
        with suppress(AuditFailure):  # in the middle of a consequence
            verifier, stops = TrailVerifier(TERMS, verifier.save()), stops + 1
    assert stops > 100
    assert verifier.finish() == whole.finish()


def test_saved_verifier_knows_the_place_the_time_and_the_transactions(script: ScriptedTrail) -> None:
    events = script.placed()
    verifier = TrailVerifier(TERMS, checked(events).save())
    assert refused(events[-1:], verifier).field == "AuthenticityDerived.log_index"
    (last, witness), first = events[-1], events[0][0]
    later = replace(first, block_number=last.block_number + 1, block_hash=named("next"))
    verifier = TrailVerifier(TERMS, checked(events).save())
    assert "its time" in refused([(later, replace(witness, time=witness.time - 1))], verifier).field


def test_verifier_in_the_middle_of_a_consequence_saves_nothing(query: ScriptedQuery) -> None:
    query.post().post(output=LIE)
    verifier = checked(query.script.placed())
    with pytest.raises(AuditFailure) as caught:
        verifier.save()
    assert caught.value.subject == "query 1, hop 1"
    assert f"actual 0x{LIE.hex()}" in caught.value.expected
    assert caught.value.place.block_number == query.script.block


def test_report_counts_events_checks_and_ends(script: ScriptedTrail) -> None:
    script.submit().open_route().post().post().post().post().deliver()
    script.submit().reject()
    report = verify(script)
    assert report.events["UpdatePosted"] == 4
    assert sum(report.events.values()) == len(script.calls)
    assert report.ended == {QueryPhase.DELIVERED: 1, QueryPhase.REJECTED: 1}


def test_query_is_taken_once_and_only_right_after_it_ended(script: ScriptedTrail) -> None:
    script.submit().reject()
    verifier = checked(script.placed())
    ended = verifier.take_ended()
    assert ended is not None
    assert ended.query == 1
    assert verifier.take_ended() is None
    script.submit()
    assert checked(script.placed()).take_ended() is None


# ---------------------------------------------------------------------- order


def test_transaction_of_the_block_before_is_not_taken_up_again(script: ScriptedTrail) -> None:
    (one, _), (two, _), (three, _) = script.placed()[:3]
    first = replace(one, block_number=1, block_hash=named(1), log_index=0, transaction_hash=named("a"))
    second = replace(two, block_number=1, block_hash=named(1), log_index=1, transaction_hash=named("b"))
    third = replace(three, block_number=2, block_hash=named(2), log_index=0, transaction_hash=named("a"))
    assert "stand together" in refused([(each, Witness(1)) for each in (first, second, third)]).expected


# ---------------------------------------------------------------------- consequences


def test_leaf_between_two_folds_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.attest(0, 1)
    sent, fold = script.calls.pop()
    script.calls.extend([(sent, script.attested(2)), (sent, fold)])
    failure = failure_of(script)
    assert (failure.field, failure.found) == ("BlockAttested.event", "BlockAttested")


def test_leaf_of_another_call_before_the_fold_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    script.emit(script.attested(0))
    script.leaves[0] = script.leaf(0)
    script.attest(1)
    failure = failure_of(script)
    assert (failure.subject, failure.field) == ("arrangement 2, seat 0", "BlockAttested.event")


def recorded(query: ScriptedQuery) -> list[Placed]:
    """A violation of eq. 13 with its record, in one call."""
    query.post().contradict(LIE)
    return query.script.placed()


def test_record_in_the_next_transaction_of_the_block_is_refused(query: ScriptedQuery) -> None:
    *rest, (record, witness) = recorded(query)
    moved = replace(record, transaction_hash=named("another"))
    assert "same transaction" in refused([*rest, (moved, witness)]).expected


def test_record_after_a_missing_log_is_refused(query: ScriptedQuery) -> None:
    *rest, (record, witness) = recorded(query)
    moved = replace(record, log_index=record.log_index + 1)
    assert "right after its cause" in refused([*rest, (moved, witness)]).expected


def test_another_event_in_place_of_the_record_is_refused(query: ScriptedQuery) -> None:
    honest = query.post().posted(output=LIE)
    query.script.emit(honest, query.delivered())
    failure = failure_of(query.script)
    assert (failure.field, failure.found) == ("AnswerDelivered.event", "AnswerDelivered")


# ---------------------------------------------------------------------- queries, as they are submitted


def submission(script: ScriptedTrail, number: int, trail_of: int | None = None) -> Event:
    """The submission of a query with any number; its trail hash that of another if it is said."""
    question = Question(named("input"), named("key"), script.next_time())
    querent = Address(QUERENT.address)
    trail = start_trail(QueryId(trail_of or number), querent, question)
    return QuerySubmitted(QueryId(number), querent, question.sealed_input, question.sealing_key, trail)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_query_out_of_count_is_refused(script: ScriptedTrail, number: int) -> None:
    script.submit()
    script.emit(submission(script, number))
    failure = failure_of(script)
    assert (failure.field, failure.expected, failure.found) == ("QuerySubmitted.query", "2", str(number))


def test_query_whose_trail_begins_elsewhere_is_refused(script: ScriptedTrail) -> None:
    script.emit(submission(script, 1, trail_of=2))
    assert failure_of(script).field == "QuerySubmitted.trail"


@pytest.mark.parametrize(("number", "state"), [(0, "nobody asked"), (1, "has ended"), (2, "nobody asked")])
def test_entry_of_a_query_that_is_not_open_is_refused(script: ScriptedTrail, number: int, state: str) -> None:
    query = script.submit()
    query.reject()
    query.query = QueryId(number)
    query.reject()
    assert failure_of(script).found == f"one that {state}"


# ---------------------------------------------------------------------- places and histories of entries


@pytest.mark.parametrize("change", [{"attempt": Attempt(2)}, {"hop": Hop(0)}, {"hop": Hop(2)}])
def test_timeout_of_another_place_is_refused(query: ScriptedQuery, change: dict[str, int]) -> None:
    query.post().time_out(**change)
    (name,) = change
    assert failure_of(query.script).field == f"HopTimedOut.{name}"


def test_entry_that_tells_another_history_is_refused(query: ScriptedQuery) -> None:
    query.script.emit(replace(query.posted(), trail=LIE))
    failure = failure_of(query.script)
    assert (failure.subject, failure.field) == ("query 1, hop 0", "UpdatePosted.trail")


def test_verdict_that_acquits_both_sides_of_a_contradicted_answer_is_accepted(query: ScriptedQuery) -> None:
    """The ouroboros signed the answer and judges: it may have been its own fault."""
    query.post().post().post().post().contradict_delivery(LIE)
    query.judge()
    assert verify(query.script).open_queries[0].phase is QueryPhase.INTERRUPTED


# ---------------------------------------------------------------------- signatures of entries


def test_update_signed_by_another_than_its_signer_is_refused(query: ScriptedQuery) -> None:
    posted = query.post().posted()
    signature = sign_message(STRANGER, query.script.domain, posted.signed.update)
    query.script.emit(UpdatePosted(replace(posted.signed, signature=signature), posted.signer, posted.trail))
    assert failure_of(query.script).field == "UpdatePosted.signed.signature"


def test_complaint_signed_by_another_than_its_recipient_is_refused(query: ScriptedQuery) -> None:
    disputed = query.post().complained()
    signature = sign_message(STRANGER, query.script.domain, disputed.complaint)
    query.script.emit(replace(disputed, signature=signature))
    assert failure_of(query.script).field == "EnvelopeDisputed.signature"


def test_leaf_of_another_seat_under_its_own_signature_is_refused(script: ScriptedTrail) -> None:
    script.arrange()
    attested = script.attested(1)
    signature = sign_message(STRANGER, script.domain, attested.attestation)
    script.emit(BlockAttested(attested.attestation, Address(STRANGER.address), signature))
    assert failure_of(script).field == "BlockAttested.worker"
