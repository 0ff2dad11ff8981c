"""Two ouroboroi with one key: the owner's folder was copied, or a backup was started beside the original.

Who: an operator's mistake; a thief of the owner's folder.
Wants: two answers, two verdicts, two routes; honest workers blamed for the confusion.
Stopped by: DR-29 (what is signed comes from the journal), DR-22, DR-41, DR-52.
Outcome: refused: no wrong answer, nobody convicted. While both run the ring may stand still: not stopped.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.protocol.decide.keeping import LOOK_SECONDS
from deepring_chain.runtime.actor import Actor
from deepring_chain.types import QueryPhase, RingMode


def copied(ring: SteppedRing, to: Path) -> Path:
    """A copy of the whole ring's folder, of which only the owner's is used."""
    shutil.copytree(ring.folder.path, to / "copy")
    return to / "copy" / "ouroboros"


def run_both(ring: SteppedRing, twin: Actor, rounds: int = 25) -> None:
    """Both act, in turns with all the others."""
    for _ in range(rounds):
        for name in ring.names:
            ring.step(name)
            if name == "ouroboros":
                ring.step("twin", twin)
    ring.now += LOOK_SECONDS


@refused
def test_two_processes_on_one_folder_say_the_same(own_ring: SteppedRing) -> None:
    """Their journal is one: what the one drew or signed the other reads."""
    twin = own_ring.load("ouroboros")
    for _ in range(2):
        query = own_ring.ask()
        run_both(own_ring, twin)
        own_ring.expect_answered(query)
        assert own_ring.guilt(query) == []
    own_ring.expect_well()


@refused
@pytest.mark.parametrize("moment", ["before a query", "during a query"])
def test_copy_of_the_folder_convicts_nobody_and_the_original_goes_on_when_it_ends(
    own_ring: SteppedRing, tmp_path: Path, moment: str
) -> None:
    """The copy lacks what the original drew since, and draws its own; no draw of its own fits the ledger's."""
    folder = copied(own_ring, tmp_path)
    query = own_ring.ask()
    if moment == "during a query":
        own_ring.settle(until=lambda: own_ring.session(query).next_hop >= 2)
    twin = own_ring.load("ouroboros", folder)
    run_both(own_ring, twin)
    assert all(kind.name != "GUILTY" for _, kind in own_ring.guilt(query))
    twin.member.journal.close()
    own_ring.restart("ouroboros")
    own_ring.arrange()
    for _ in range(4):
        own_ring.wait(own_ring.client().hop_seconds + 1)
        own_ring.settle()
    assert own_ring.state.mode is RingMode.QUERY
    session = own_ring.session(query)
    assert session.phase in {QueryPhase.DELIVERED, QueryPhase.REJECTED}
    if session.phase is QueryPhase.DELIVERED:
        assert own_ring.answer(query) == own_ring.plain()
    own_ring.expect_answered(own_ring.ask())
    own_ring.expect_well()


@not_stopped("Two ouroboroi.")
def test_not_stopped_copy_that_keeps_arranging_holds_the_ring_up(own_ring: SteppedRing, tmp_path: Path) -> None:
    """Each new arrangement of the one is unknown to the other: leaves do not fit, and queries wait."""
    twin = own_ring.load("ouroboros", copied(own_ring, tmp_path))
    before = own_ring.arrangement
    first = own_ring.ask()
    run_both(own_ring, twin, rounds=40)
    assert own_ring.arrangement > before
    second = own_ring.ask()
    run_both(own_ring, twin, rounds=10)
    open_ones = [query for query in (first, second) if own_ring.session(query).is_open]
    assert open_ones or twin.member.state.mode is not RingMode.QUERY or own_ring.troubles
