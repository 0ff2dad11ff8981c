"""What tells two ouroboroi from one: arrangements that its journal lacks, and those that one would have waited with."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.actors.journal import Journal
from deepring_chain.health.races import RACE_BLOCKS, Arranged, Races, find_races, read_draws
from deepring_chain.protocol.draws import ArrangementDraw
from deepring_chain.types import Address, ArrangementId, Challenge, Digest, Leaf, Pointer

NOTES = [Pointer(Digest(bytes([number]) * 32)) for number in range(8)]


def arranged(*places: tuple[int, int | None]) -> list[Arranged]:
    """Arrangements from their blocks, and the blocks of those that they cut short."""
    return [
        Arranged(ArrangementId(number), block, NOTES[number], cut_short)
        for number, (block, cut_short) in enumerate(places, 1)
    ]


def found(history: list[Arranged], head: int, draws: dict[ArrangementId, Digest] | None = None) -> Races:
    return find_races(history, head, 60, lambda block: block, draws)


def drawn(*numbers: int) -> dict[ArrangementId, Digest]:
    return {ArrangementId(number): NOTES[number] for number in numbers}


def test_arrangements_that_the_journal_drew_are_its_own() -> None:
    assert found(arranged((5, None), (9, None)), 12, drawn(1, 2)) == Races()


def test_ring_without_arrangements_has_no_races() -> None:
    assert found([], 12, drawn()) == Races()


@pytest.mark.parametrize("draws", [drawn(1), {**drawn(1), ArrangementId(2): NOTES[7]}])
def test_arrangement_that_is_missing_or_drawn_otherwise_is_foreign(draws: dict[ArrangementId, Digest]) -> None:
    assert found(arranged((5, None), (9, None)), 12, draws) == Races(foreign=(ArrangementId(2),))


def test_without_a_journal_nothing_is_foreign() -> None:
    assert found(arranged((5, None)), 12, None) == Races()


def test_old_arrangement_is_no_news_and_the_one_in_force_always_is() -> None:
    history = arranged((5, None), (9, None))
    assert found(history, 9 + RACE_BLOCKS, drawn()) == Races(foreign=(ArrangementId(2),))
    assert found(history, 8 + RACE_BLOCKS, drawn(2)) == Races()
    assert found(history, 4 + RACE_BLOCKS, drawn(2)) == Races(foreign=(ArrangementId(1),))


def test_arrangement_within_a_hops_time_of_one_that_was_being_attested_is_hasty() -> None:
    history = arranged((5, None), (64, 5), (124, 64), (130, None))
    assert found(history, 100) == Races(hasty=(ArrangementId(2),))


def draw(notes: Pointer) -> bytes:
    return ArrangementDraw((Address("0x" + "11" * 20),), Challenge(NOTES[0]), (Leaf(NOTES[1]),), notes).encode()


def test_draws_are_read_from_a_journal_that_is_in_use_and_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record_once("arrangement/1", lambda: draw(NOTES[3]))
    journal.record_once("arrangement/12", lambda: draw(NOTES[4]))
    journal.record_once("arrangements", lambda: b"other")
    journal.record_once("route/1/1", lambda: b"other")
    expected = {ArrangementId(1): NOTES[3], ArrangementId(12): NOTES[4]}
    assert read_draws(tmp_path / "journal.sqlite") == expected
    journal.close()
    before = (tmp_path / "journal.sqlite").read_bytes()
    assert read_draws(tmp_path / "journal.sqlite") == expected
    assert (tmp_path / "journal.sqlite").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite"]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(100)])
def test_damaged_or_absent_journal_says_nothing(tmp_path: Path, content: bytes) -> None:
    assert read_draws(tmp_path / "absent.sqlite") is None
    (tmp_path / "journal.sqlite").write_bytes(content)
    assert read_draws(tmp_path / "journal.sqlite") is None


def test_damaged_draw_says_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record_once("arrangement/1", lambda: b"damaged")
    journal.close()
    assert read_draws(tmp_path / "journal.sqlite") is None
