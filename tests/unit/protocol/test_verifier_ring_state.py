"""What the verifier holds of the ring after each event: the auditor compares it with the ledger's storage."""

from __future__ import annotations

import pytest

from deepring_chain.protocol.events import ModelRegistered
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_ring import MAX_LAYERS, RingVerifier
from deepring_chain.types import ZERO, Address, Position, RingMode
from tests.unit.protocol.trail_checks import failure_of, verify
from tests.unit.protocol.trail_names import OWNER, SEATS, TERMS, WORKERS, named
from tests.unit.protocol.trail_script import ScriptedTrail


def ring_of(script: ScriptedTrail) -> RingVerifier:
    verifier = TrailVerifier(TERMS)
    for logged, witness in script.placed():
        verifier.check(logged, witness)
    verifier.finish()
    return verifier.ring


# ---------------------------------------------------------------------- mode and flag


def test_mode_follows_the_events_from_the_first_on() -> None:
    script = ScriptedTrail()
    modes = [ring_of(script).mode]
    for act in (
        script.register,
        script.admit,
        script.arrange,
        lambda: script.attest(0, 1, 2),
        lambda: script.attest(3),
    ):
        act()
        modes.append(ring_of(script).mode)
    script.register()
    modes.append(ring_of(script).mode)
    before = [RingMode.SETUP] * 3 + [RingMode.ATTESTING] * 2
    assert modes == [*before, RingMode.QUERY, RingMode.SETUP]


def test_ring_is_authentic_since_the_block_of_its_flag(script: ScriptedTrail) -> None:
    assert ring_of(script).authentic_since == script.time
    script.arrange(tampered=(1,))
    assert ring_of(script).authentic_since == 0
    script.attest(0, 1, 2, 3)
    assert ring_of(script).authentic_since == 0
    script.order_restore(1)
    script.attest(1)
    assert ring_of(script).authentic_since == script.time
    script.register()
    assert ring_of(script).authentic_since == 0


def test_empty_ring_is_not_authentic() -> None:
    script = ScriptedTrail()
    assert ring_of(script).authentic_since == 0
    assert ring_of(script).mode is RingMode.SETUP


def test_hashes_leaves_and_rounds_are_held_by_seat(script: ScriptedTrail) -> None:
    script.arrange(tampered=(1,))
    assert ring_of(script).seating is not None
    assert ring_of(script).seating.current_hash == ZERO  # type: ignore[union-attr]
    script.attest(0, 1, 2, 3)
    last = script.folded[-1]
    script.order_restore(1)
    script.report_restore(1)
    seating = ring_of(script).seating
    assert seating is not None
    assert (seating.current_hash, set(seating.leaves)) == (script.folded[0], {0, 2, 3})
    assert seating.current_hash != last
    assert seating.recorded_hash == script.recorded
    assert (seating.rounds[Position(1)], seating.reported[Position(1)]) == (1, 1)


def test_key_that_is_registered_last_is_held() -> None:
    script = ScriptedTrail()
    script.admit()
    assert set(ring_of(script).sealing_keys) == {Address(seat.address) for seat in SEATS}
    assert ring_of(script).sealing_keys[OWNER.address] == named(f"key {OWNER.address}")  # type: ignore[index]


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize("version", [0, 1, 3])
def test_model_version_out_of_count_is_refused(script: ScriptedTrail, version: int) -> None:
    script.emit(ModelRegistered(version, named("root"), named("card"), 3))
    failure = failure_of(script)
    assert (failure.field, failure.expected, failure.found) == ("ModelRegistered.version", "2", str(version))


def test_first_model_version_is_the_first() -> None:
    script = ScriptedTrail()
    script.emit(ModelRegistered(2, named("root"), named("card"), 3))
    assert failure_of(script).expected == "1"


@pytest.mark.parametrize("layers", [1, MAX_LAYERS])
def test_model_of_one_or_of_the_most_layers_is_accepted(layers: int) -> None:
    script = ScriptedTrail()
    script.emit(ModelRegistered(1, named("root"), named("card"), layers))
    assert verify(script).events == {"ModelRegistered": 1}


@pytest.mark.parametrize("arrangement", [0, 1, 3])
def test_arrangement_out_of_count_is_refused(script: ScriptedTrail, arrangement: int) -> None:
    script.arrangement = arrangement - 1
    script.arrange()
    failure = failure_of(script)
    assert (failure.field, failure.expected, failure.found) == ("RingArranged.arrangement", "2", str(arrangement))


@pytest.mark.parametrize("seats", [(OWNER, *WORKERS[:2]), (OWNER,)])
def test_arrangement_of_another_number_of_seats_is_refused(script: ScriptedTrail, seats: tuple) -> None:  # type: ignore[type-arg]
    script.arrange(seats)
    failure = failure_of(script)
    assert (failure.field, failure.expected, failure.found) == ("RingArranged.seats (how many)", "4", str(len(seats)))


def test_nothing_is_due_of_a_ring_that_is_not_seated() -> None:
    assert RingVerifier(TERMS.ouroboros).due() is None
