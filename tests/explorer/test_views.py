"""What the pages show of a ring and of a query, before any HTML."""

from __future__ import annotations

import math
from typing import Any

import pytest

from deepring_chain.explorer import picture
from deepring_chain.explorer.query_view import HopState, QueryView, view_query
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.ring_view import Lamp, LinkState, SeatState, view_ring
from deepring_chain.explorer.story import Tone, tell
from deepring_chain.types import Address, ComplaintKind, Digest, OutputCommitment, QueryId
from tests.explorer.scripted import NAMES, SEATS, TERMS, ScriptedTrail, full_trail, record_of, ring


def view(record: Record, query: int = 1) -> QueryView:
    found = view_query(record, QueryId(query), NAMES)
    assert found is not None
    return found


def sentences(script: ScriptedTrail) -> list[str]:
    """All that is told."""
    told = [tell(item.entry, NAMES) for item in record_of(script).items]
    return [telling.sentence for telling in told if telling is not None]


# ---------------------------------------------------------------- the ring


def test_empty_ledger_has_no_seats_and_says_so() -> None:
    shown = view_ring(Record(TERMS), NAMES)
    assert (shown.arrangement, shown.lamp, shown.seats) == (0, Lamp.SETUP, ())


def test_seats_stand_in_seat_order_with_the_ouroboros_first() -> None:
    shown = view_ring(record_of(ring()), NAMES)
    assert [seat.name for seat in shown.seats] == ["ouroboros", "worker-3", "worker-2", "worker-1"]
    assert [seat.is_ouroboros for seat in shown.seats] == [True, False, False, False]
    assert all(seat.link_state is LinkState.FOLDED for seat in shown.seats)
    assert (shown.lamp, shown.closing) == (Lamp.ON, LinkState.FOLDED)


def test_half_attested_ring_shows_who_is_missing_and_how_far_the_hashes_go() -> None:
    script = ring()
    script.arrange()
    script.attest(0, 1, 3)
    shown = view_ring(record_of(script), NAMES)
    assert shown.lamp is Lamp.CHECKING
    assert [seat.state is SeatState.ATTESTED for seat in shown.seats] == [True, True, False, True]
    assert [seat.link_state is LinkState.FOLDED for seat in shown.seats] == [True, True, False, False]
    assert shown.seats[2].row is None
    assert shown.closing is LinkState.OPEN


def test_tampered_block_turns_the_lamp_off_and_is_shown_until_it_is_restored() -> None:
    script = ring()
    script.arrange(tampered=(2,))
    script.attest(0, 1, 2, 3)
    off = view_ring(record_of(script), NAMES)
    assert (off.lamp, off.closing) == (Lamp.OFF, LinkState.BROKEN)
    script.order_restore(2)
    restoring = view_ring(record_of(script), NAMES)
    assert (restoring.lamp, restoring.lamp_label, restoring.news) == (Lamp.RESTORING, "OFF", ("restoring seat 2",))
    assert [seat.position for seat in restoring.seats if seat.state is SeatState.RESTORING] == [2]
    assert restoring.seats[2].doing == "restoring"
    script.attest(2)
    script.report_restore(2)
    healed = view_ring(record_of(script), NAMES)
    assert healed.lamp is Lamp.ON
    assert (healed.seats[2].state, healed.seats[2].changed) == (SeatState.RESTORED, "layer 2: weight")


def test_signer_of_the_running_hop_is_hidden_until_it_acts() -> None:
    script = ring()
    query = script.submit().open_route()
    start = view_ring(record_of(script), NAMES)
    assert [seat.is_lit for seat in start.seats] == [True, False, False, False]
    query.post()
    first = view_ring(record_of(script), NAMES)
    assert not any(seat.is_lit for seat in first.seats)
    assert [seat.may_act for seat in first.seats] == [None, 1, 1, 1]
    assert first.expectation is not None
    assert first.expectation.sentence == "Hop 1 of 3 runs, signer not yet known."
    query.post()
    second = view_ring(record_of(script), NAMES)
    assert [seat.hop for seat in second.seats] == [0, None, None, 1]
    assert [seat.may_act for seat in second.seats] == [None, 2, 2, None]


def test_last_hop_is_known_because_only_one_worker_is_left() -> None:
    script = ring()
    script.submit().open_route().post().post().post()
    shown = view_ring(record_of(script), NAMES)
    assert shown.expectation is not None
    assert shown.expectation.sentence == "Hop 3 of 3 runs: only worker-3 is left to sign it."
    assert [seat.is_lit for seat in shown.seats] == [False, True, False, False]


def test_nobody_is_lit_when_the_ring_was_seated_anew_under_a_running_query() -> None:
    script = ring()
    script.submit().open_route().post()
    script.arrange()
    script.attest(0, 1, 2, 3)
    shown = view_ring(record_of(script), NAMES)
    assert not any(seat.is_lit or seat.may_act for seat in shown.seats)
    assert all(seat.hop is None for seat in shown.seats)


@pytest.mark.parametrize(
    ("drive", "brief", "seats"),
    [
        (lambda q: q, "waits for a route", (0,)),
        (lambda q: q.open_route(), "hop 0 of 3", (0,)),
        (lambda q: q.open_route().post().post().post().post(), "answer due", (0,)),
        (lambda q: q.open_route().post().post().complain(), "dispute at hop 2", (0,)),
        (lambda q: q.open_route().post().post().complain().judge(sender=True), "waits for attempt 2", (0,)),
    ],
    ids=["submitted", "routed", "computed", "disputed", "judged"],
)
def test_every_phase_says_who_must_act(drive: object, brief: str, seats: tuple[int, ...]) -> None:
    script = ring()
    drive(script.submit())  # type: ignore[operator]
    expectation = view_ring(record_of(script), NAMES).expectation
    assert expectation is not None
    assert (expectation.brief, expectation.seats) == (brief, seats)


def test_waiting_query_of_a_ring_that_is_not_authentic_waits_for_nobody_else() -> None:
    script = ring()
    script.arrange(tampered=(1,))
    script.attest(0, 1, 2, 3)
    script.submit()
    expectation = view_ring(record_of(script), NAMES).expectation
    assert expectation is not None
    assert (expectation.sentence, expectation.seats) == ("It waits until the ring is authentic.", ())


def test_summary_tells_in_words_what_the_picture_shows() -> None:
    script = ring()
    script.submit().open_route().post()
    summary = view_ring(record_of(script), NAMES).summary
    for part in (
        "Authenticity ON",
        "seat 0 ouroboros (hop 0 done)",
        "seat 1 worker-3 (hop 1?)",
        "signer not yet known",
    ):
        assert part in summary


# ---------------------------------------------------------------- the drawing


@pytest.mark.parametrize("seats", [2, 3, 6, 9, 10, 21, 60])
def test_seats_lie_within_the_drawing_and_apart(seats: int) -> None:
    points = [picture.seat_point(position, seats) for position in range(seats)]
    margin = picture.PILL_WIDTH / 2 if picture.has_room_for_names(seats) else picture.DOT_RADIUS
    assert all(margin <= point.x <= picture.SIZE - margin for point in points)
    assert all(margin / 2 <= point.y <= picture.SIZE - margin / 2 for point in points)
    apart = min(math.dist((a.x, a.y), (b.x, b.y)) for a, b in zip(points, [*points[1:], points[0]], strict=True))
    assert apart > 15


def test_first_seat_is_on_top_and_the_others_follow_clockwise() -> None:
    top, right, bottom, left = (picture.seat_point(position, 4) for position in range(4))
    assert top.y < right.y < bottom.y
    assert left.x < top.x < right.x


# ---------------------------------------------------------------- a query


def test_finished_query_has_all_hops_done_with_their_signers() -> None:
    script = ring()
    script.submit().open_route().post().post().post().post().deliver()
    shown = view(record_of(script))
    assert [(hop.label, hop.state, hop.signer) for hop in shown.hops] == [
        ("hop 0", HopState.DONE, "ouroboros"),
        ("hop 1", HopState.DONE, "worker-1"),
        ("hop 2", HopState.DONE, "worker-2"),
        ("hop 3", HopState.DONE, "worker-3"),
        ("answer", HopState.DONE, "ouroboros"),
    ]
    assert (shown.line.phase, shown.line.tone, shown.deadline) == ("delivered", Tone.GOOD, None)
    assert [moment.row.place for moment in shown.moments if moment.row] == [
        "query", "route 1", "0", "1", "2", "3", "answer",
    ]  # fmt: skip


def test_running_query_has_one_hop_now_and_hides_later_signers() -> None:
    script = ring()
    script.submit().open_route().post().post()
    shown = view(record_of(script))
    assert [hop.state for hop in shown.hops] == [
        HopState.DONE, HopState.DONE, HopState.NOW, HopState.LATER, HopState.LATER,
    ]  # fmt: skip
    assert [hop.signer for hop in shown.hops[2:4]] == ["", ""]
    assert shown.deadline == record_of(script).items[-1].entry.time + TERMS.hop_seconds


def test_signer_that_is_left_over_is_named_in_the_list_of_hops_too() -> None:
    script = ring()
    script.submit().open_route().post().post().post()
    assert [hop.signer for hop in view(record_of(script)).hops] == [
        "ouroboros", "worker-1", "worker-2", "worker-3", "ouroboros",
    ]  # fmt: skip


def test_disputed_edge_is_marked_on_both_sides_and_the_lie_has_a_length() -> None:
    script = ring()
    query = script.submit().open_route().post().post()
    query.contradict(script_lie())
    disputed = view(record_of(script))
    assert [hop.state for hop in disputed.hops[:3]] == [HopState.DONE, HopState.DISPUTED, HopState.DISPUTED]
    query.judge(receiver=True)
    query.reopen(2).post().post().deliver()
    ended = view(record_of(script))
    assert [hop.faults for hop in ended.hops] == [0, 0, 1, 0, 0]
    assert ended.line.attempts == 2
    assert len(ended.remarks) == 1
    assert ended.remarks[0].startswith("from the lie to the verdict: ")


def script_lie() -> OutputCommitment:
    return OutputCommitment(Digest(bytes(range(32))))


def test_entry_that_agrees_says_so_and_one_that_does_not_says_nothing_of_it() -> None:
    script = ring()
    script.submit().open_route().post().post().contradict(script_lie())
    told = [moment.telling.sentence for moment in view(record_of(script)).moments]
    assert told[3].endswith("Its output is what hop 0 said it must be.")
    assert "said it must be" not in told[4]
    assert told[5].startswith("The output of hop 2 is not what hop 1 said it must be (eq. 13)")


def test_unknown_query_has_no_view() -> None:
    assert view_query(record_of(ring()), QueryId(1), NAMES) is None


def test_accounts_without_a_name_go_by_the_beginning_of_their_address() -> None:
    script = ring()
    script.submit()
    shown = view_ring(record_of(script), {})
    assert shown.seats[0].name == "ouroboros"
    assert shown.seats[1].name == Address(SEATS[1].address)[2:10]


# ---------------------------------------------------------------- the story


def test_tampering_is_told_in_plain_sentences() -> None:
    script = ring()
    script.arrange(tampered=(2,))
    script.attest(0, 1, 2, 3)
    script.order_restore(2)
    script.attest(2)
    script.report_restore(2)
    told = sentences(script)[-5:]
    assert told[0].startswith("The ring was seated anew (arrangement 2): ouroboros, worker-3, worker-2 and worker-1.")
    assert "Authenticity is OFF" in told[1]
    assert told[2].startswith("The block in seat 2 (worker-2) is the first whose hash is not the recorded one")
    assert "authenticity is ON" in told[3]
    assert told[4] == "worker-2 is restored. What had changed: layer 2: weight."


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ComplaintKind.MISSING, "nothing lies in the store"),
        (ComplaintKind.UNREADABLE, "cannot be opened"),
        (ComplaintKind.ALTERED, "something else than what was committed to"),
        (ComplaintKind.UNABLE, "cannot compute"),
    ],
)
def test_complaint_is_told_by_its_kind(kind: ComplaintKind, said: str) -> None:
    script = ring()
    script.submit().open_route().post().post().complain(kind)
    assert said in sentences(script)[-1]
    assert sentences(script)[-1].startswith("worker-2 at hop 2 complains: ")


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ({"sender": True}, "The ouroboros looked into it: hop 1 is guilty, hop 2 is acquitted."),
        ({"receiver": True}, "The ouroboros looked into it: hop 2 is guilty, hop 1 is acquitted."),
        ({"sender": True, "receiver": True}, "The ouroboros looked into it: hop 1 is guilty, hop 2 is guilty."),
        ({}, "The ouroboros looked into it and found nobody guilty: hop 1 and hop 2 are acquitted."),
    ],
)
def test_verdict_names_the_guilty_and_the_acquitted(sides: dict[str, Any], told: str) -> None:
    script = ring()
    script.submit().open_route().post().post().complain().judge(**sides)
    assert sentences(script)[-1] == told


def test_every_kind_of_event_of_a_full_trail_is_told_or_is_a_detail_of_another() -> None:
    record = record_of(full_trail())
    assert record.failure is None
    untold = {type(item.entry.event).__name__ for item in record.items if tell(item.entry, NAMES) is None}
    assert untold == {"BlockAttested", "BlockHashed"}
    for query in record.queries:
        assert view(record, query).moments
    assert {view(record, query).line.phase for query in record.queries} >= {
        "delivered", "rejected", "withdrawn", "routed", "submitted",
    }  # fmt: skip
