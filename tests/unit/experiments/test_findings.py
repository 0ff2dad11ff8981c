"""What the ledger's events say of an attack on one query."""

from __future__ import annotations

import pytest

from deepring_chain.experiments.findings import Attack, SeenEvent, find
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    OutputDisputed,
    RestoreOrdered,
    RestoreReported,
    UpdatePosted,
    VerdictPosted,
)
from deepring_chain.types import (
    NO_BLOB,
    NO_OUTPUT,
    NO_ROUTE,
    ZERO,
    Address,
    ArrangementId,
    Attempt,
    BlockHash,
    Complaint,
    ComplaintKind,
    Hop,
    Position,
    QueryId,
    SignedUpdate,
    TrailHash,
    Update,
    Verdict,
)

GUILTY, OTHER = Address("0xguilty"), Address("0xother")
TAMPERED = Attack(3, GUILTY, "layer.3.weight")
PERTURBED = Attack(3, GUILTY, None)


def posted(hop: int, attempt: int = 1) -> UpdatePosted:
    update = Update(QueryId(1), Attempt(attempt), Hop(hop), 2, NO_BLOB, NO_OUTPUT, NO_OUTPUT, TrailHash(ZERO))
    return UpdatePosted(SignedUpdate(update, b"", ZERO, NO_ROUTE), GUILTY, TrailHash(ZERO))


def disputed(hop: int) -> OutputDisputed:
    return OutputDisputed(QueryId(1), Attempt(1), Hop(hop), NO_OUTPUT, NO_OUTPUT)


def verdict(hop: int, *, sender: bool = False, receiver: bool = False) -> VerdictPosted:
    return VerdictPosted(
        Verdict(QueryId(1), Attempt(1), Hop(hop), sender, receiver, NO_BLOB, TrailHash(ZERO)), b"", TrailHash(ZERO)
    )


def flag(is_on: bool) -> AuthenticityDerived:
    return AuthenticityDerived(ArrangementId(1), is_on, BlockHash(ZERO), BlockHash(ZERO))


def ordered(worker: Address) -> RestoreOrdered:
    zero = BlockHash(ZERO)
    return RestoreOrdered(ArrangementId(1), Position(2), worker, 1, zero, zero, zero, zero, NO_BLOB)


def restored(changed: str) -> RestoreReported:
    return RestoreReported(ArrangementId(1), Position(2), GUILTY, 1, changed)


def seen(*events: Event) -> list[SeenEvent]:
    """One event a second, from second 10 on."""
    return [SeenEvent(event, 10.0 + number) for number, event in enumerate(events)]


def test_quiet_query_has_no_alarm_and_no_times() -> None:
    found = find(seen(posted(1), posted(2), posted(3), flag(True)), None, 0.0)
    assert (found.alarms, found.detect_seconds, found.restore_seconds, found.wrong_accusations) == ((), None, None, ())


def test_tampering_is_timed_from_the_change_to_the_alarm_and_on_to_the_flag() -> None:
    trail = seen(posted(2), disputed(3), verdict(3, receiver=True), flag(False), ordered(GUILTY))
    later: list[Event] = [restored("layer.3.weight"), flag(True)]
    trail += [SeenEvent(event, 20.0 + number) for number, event in enumerate(later)]
    found = find(trail, TAMPERED, attacked_at=8.0)
    assert found.alarms == ("output disputed", "authenticity off")
    assert (found.detect_seconds, found.restore_seconds) == (3.0, 10.0)
    assert found.wrong_accusations == ()


def test_tampering_without_a_restore_is_not_restored() -> None:
    assert find(seen(flag(False), flag(True)), TAMPERED, 8.0).restore_seconds is None


def test_perturbation_is_timed_from_the_layers_input_to_its_true_output() -> None:
    trail = seen(posted(1), posted(2), posted(3), disputed(3), verdict(3, receiver=True), posted(3, attempt=2))
    found = find(trail, PERTURBED, attacked_at=1.0)
    assert (found.detect_seconds, found.restore_seconds) == (2.0, 2.0)


def test_attack_that_nobody_noticed_has_no_alarm() -> None:
    assert find(seen(posted(3), flag(True)), TAMPERED, 8.0).alarms == ()


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (disputed(2), "output disputed"),
        (flag(False), "authenticity off"),
        (HopTimedOut(QueryId(1), Attempt(1), Hop(2), 7), "deadline passed"),
        (
            EnvelopeDisputed(
                Complaint(QueryId(1), Attempt(1), Hop(2), ComplaintKind.ALTERED, NO_BLOB, TrailHash(ZERO)),
                OTHER,
                ZERO,
                NO_ROUTE,
                b"",
                TrailHash(ZERO),
            ),
            "envelope disputed: altered",
        ),
    ],
)
def test_every_kind_of_alarm_is_seen_without_an_attack_too(event: Event, name: str) -> None:
    assert find(seen(event), None, 0.0).alarms == (name,)


@pytest.mark.parametrize(
    ("event", "attack"),
    [
        (verdict(3, sender=True), TAMPERED),
        (verdict(4, receiver=True), PERTURBED),
        (verdict(3, receiver=True), None),
        (ordered(OTHER), TAMPERED),
        (restored("layer.4.weight"), TAMPERED),
        (restored("layer.3.weight"), PERTURBED),
        (ordered(GUILTY), None),
    ],
)
def test_accusation_of_anything_but_the_attack_is_told(event: Event, attack: Attack | None) -> None:
    assert len(find(seen(event), attack, 0.0).wrong_accusations) == 1


@pytest.mark.parametrize("event", [verdict(3, receiver=True), verdict(4, sender=True), ordered(GUILTY)])
def test_accusation_of_the_attacked_worker_is_right(event: Event) -> None:
    assert find(seen(event), TAMPERED, 0.0).wrong_accusations == ()
