"""When the ring is seated anew, with whom, and under what."""

from __future__ import annotations

import pytest

from deepring_chain.actors.ouroboros.arranger import REQUEST_FILE, request_arrangement
from deepring_chain.attacks.bit_flip import flip_memory_bit
from deepring_chain.protocol.decide.keeping import CARD_SECONDS, LOOK_SECONDS
from deepring_chain.protocol.draws import ArrangementDraw
from deepring_chain.protocol.events import RingArranged
from deepring_chain.protocol.ledger_state import RESTORES_IN_VAIN
from deepring_chain.protocol.notes import open_notes
from deepring_chain.protocol.route import ArrangementNote, arrangement_context
from deepring_chain.types import ArrangementId, QueryPhase, RingMode
from tests.unit.actors.fake_ring import FakeRing, client_of, session_of
from tests.unit.actors.test_router import add_standby


def arrangements(ring: FakeRing) -> list[RingArranged]:
    return [entry.event for entry in ring.ledger.logged if isinstance(entry.event, RingArranged)]


def draw(ring: FakeRing, number: int) -> ArrangementDraw:
    return ring.ouroboros._arranger.draw_of(ArrangementId(number))


def test_ring_is_arranged_at_set_up_and_after_every_query(ring: FakeRing) -> None:
    ring.settle()
    assert len(arrangements(ring)) == 1
    for count in (2, 3):
        ring.ask()
        ring.settle()
        assert len(arrangements(ring)) == count


@pytest.mark.parametrize("every", [2, 3])
def test_ring_is_arranged_after_every_so_many_queries(ring: FakeRing, every: int) -> None:
    ring.ouroboros._arranger._every = every
    ring.settle()
    for _ in range(every - 1):
        ring.ask()
        ring.settle()
    assert len(arrangements(ring)) == 1
    ring.ask()
    ring.settle()
    assert len(arrangements(ring)) == 2


def test_ring_is_arranged_on_request_once(ring: FakeRing) -> None:
    ring.settle()
    request_arrangement(ring.folder / "0")
    ring.settle()
    assert len(arrangements(ring)) == 2
    assert not (ring.folder / "0" / REQUEST_FILE).exists()
    ring.settle()
    assert len(arrangements(ring)) == 2


def test_request_waits_until_no_query_runs_and_new_queries_wait_for_it(ring: FakeRing) -> None:
    ring.settle()
    running = ring.ask()
    ring.settle(2)
    request_arrangement(ring.folder / "0")
    waiting = ring.ask()
    ring.settle(2)
    assert len(arrangements(ring)) == 1
    assert session_of(ring, waiting).phase is QueryPhase.SUBMITTED
    ring.settle()
    assert [session_of(ring, query).phase for query in (running, waiting)] == [QueryPhase.DELIVERED] * 2
    assert session_of(ring, running).arrangements[1] == 1  # type: ignore[index]
    assert session_of(ring, waiting).arrangements[1] == 2  # type: ignore[index]


def test_every_arrangement_has_a_challenge_and_leaves_of_its_own(ring: FakeRing) -> None:
    ring.settle()
    for _ in range(3):
        request_arrangement(ring.folder / "0")
        ring.settle()
    draws = [draw(ring, number) for number in (1, 2, 3, 4)]
    assert len({each.challenge for each in draws}) == 4
    assert len({leaf for each in draws for leaf in each.leaves}) == 16
    assert {each.seats[0] for each in draws} == {ring.members[0].keys.address}
    assert len({each.seats for each in draws}) > 1


def test_challenge_is_told_to_the_seated_alone(ring: FakeRing) -> None:
    """Who knows it beforehand could compute a leaf once and answer from memory."""
    ring.settle()
    made = draw(ring, 1)
    blob = ring.store.get(made.notes)
    assert bytes(made.challenge) not in blob
    info = arrangement_context(client_of(ring.members[0]).domain, ArrangementId(1))
    for member in ring.members[1:]:
        (opened,) = open_notes(blob, member.keys.sealing, info)
        note = ArrangementNote.decode(opened)
        assert (made.seats[note.position], note.challenge) == (member.keys.address, made.challenge)


def test_card_that_the_store_lost_is_put_back_when_it_is_looked_for(ring: FakeRing) -> None:
    ring.settle()
    model = ring.ledger.state.model
    assert model is not None
    (ring.folder / "store" / model.card.hex()[:2] / model.card.hex()).unlink()
    ring.step(0)
    assert not ring.store.has_good(model.card)
    ring.now += CARD_SECONDS
    ring.step(0)
    assert ring.store.has_good(model.card)


# ---------------------------------------------------------------- who is seated


def seats(ring: FakeRing) -> set[str]:
    return set(arrangements(ring)[-1].seats)


def test_first_choice_is_seated_while_it_did_not_fail_more_often(ring: FakeRing) -> None:
    add_standby(ring, 2)
    ring.settle()
    assert ring.members[2].keys.address in seats(ring)
    assert ring.members[4].keys.address not in seats(ring)


def test_worker_that_does_not_attest_in_time_is_replaced(ring: FakeRing) -> None:
    add_standby(ring, 2)
    query = ring.ask()
    ring.settle(2)
    assert ring.ledger.state.mode is RingMode.ATTESTING
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.settle(2)
    assert ring.members[4].keys.address in seats(ring)
    assert session_of(ring, query).phase is QueryPhase.DELIVERED


def test_worker_that_does_not_attest_is_waited_for_until_then(ring: FakeRing) -> None:
    add_standby(ring, 2)
    ring.settle(2)
    ring.now += client_of(ring.members[0]).hop_seconds - 1
    ring.settle(2)
    assert len(arrangements(ring)) == 1


def test_worker_without_a_standby_is_waited_for(ring: FakeRing) -> None:
    """To seat it once more would only cost gas."""
    ring.settle(2)
    for _ in range(3):
        ring.now += client_of(ring.members[0]).hop_seconds + 1
        ring.settle(2)
    assert len(arrangements(ring)) == 1
    ring.settle()
    assert ring.ledger.state.mode is RingMode.QUERY


def test_absent_worker_is_not_chosen_again_after_the_ouroboros_restarted(ring: FakeRing) -> None:
    """What it remembers of absences is on the ledger."""
    add_standby(ring, 2)
    ring.settle(2)
    ring.now += client_of(ring.members[0]).hop_seconds + 1
    ring.settle(2)
    arranger = ring.ouroboros._arranger
    ring.members[0].follower.refresh()
    assert ring.members[0].state.absences[ring.members[2].keys.address] == 1
    assert ring.members[4].keys.address in arranger._choose_workers()
    request_arrangement(ring.folder / "0")
    ring.settle()
    assert ring.members[4].keys.address in seats(ring)


# ---------------------------------------------------------------- who cannot be restored


def spoil(ring: FakeRing, layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes its restored parameters and changes them at once."""
    block = ring.blocks[layer - 1]
    restore = block.restore

    def flip() -> None:
        assert block.layers is not None
        flip_memory_bit((block.layers.own,), f"layer.{layer}.weight", 1)

    def undo(parameters: bytes) -> list[str]:
        changed = restore(parameters)
        flip()
        return changed

    flip()
    monkeypatch.setattr(block, "restore", undo)


def test_worker_that_is_false_after_every_restore_is_replaced(ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """It attests at once, so nobody waits for it in vain; yet the ring would never be authentic again."""
    add_standby(ring, 2)._block = ring._block(2)  # one of its own
    spoil(ring, 2, monkeypatch)
    query = ring.ask()
    ring.settle()
    assert len(client_calls(ring, "order_restore")) == RESTORES_IN_VAIN
    assert ring.members[4].keys.address in seats(ring)
    assert session_of(ring, query).phase is QueryPhase.DELIVERED
    # Nor is it taken back as soon as the ring is arranged again.
    ring.restart(0)
    ring.members[0].follower.refresh()
    assert ring.members[0].state.absences[ring.members[2].keys.address] == 1


def test_false_worker_that_nobody_can_replace_gets_ever_fewer_orders(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each order costs the owner gas: a worker that changes its parameters at once could drain its account."""
    spoil(ring, 2, monkeypatch)
    ring.settle()
    assert len(client_calls(ring, "order_restore")) == RESTORES_IN_VAIN
    for pause in (4.0, 8.0, 16.0):
        before = len(client_calls(ring, "order_restore"))
        ring.now += pause - 0.1
        ring.settle()
        assert len(client_calls(ring, "order_restore")) == before
        ring.now += 0.2
        ring.settle()
        assert len(client_calls(ring, "order_restore")) == before + 1


def client_calls(ring: FakeRing, name: str) -> list[str]:
    return [call for call in client_of(ring.members[0]).calls if call.startswith(name)]


def test_worker_that_is_restored_less_often_stays(ring: FakeRing) -> None:
    add_standby(ring, 2)
    block = ring.blocks[1]
    assert block.layers is not None
    flip_memory_bit((block.layers.own,), "layer.2.weight", 1)
    ring.settle()
    assert len(client_calls(ring, "order_restore")) == 1
    assert ring.members[2].keys.address in seats(ring)


def test_notes_that_the_store_lost_are_put_back_while_workers_wait_for_them(ring: FakeRing) -> None:
    ring.step(0)
    current = ring.ledger.state.arrangement
    assert current is not None
    notes = current.arranged.notes
    ring.step(0)
    ring.store._fs.rm_file(ring.store._path(notes))
    for _ in range(4):  # the ouroboros's own leaf goes first
        ring.now += LOOK_SECONDS
        ring.step(0)
    assert ring.store.has_good(notes)
