"""Whether two ouroboroi arrange one ring against each other: what the ledger and one's journal tell of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.draws import ArrangementDraw
from deepring_chain.types import ArrangementId, Digest, Pointer

RACE_BLOCKS = 64
"""Blocks before the newest one in which an arrangement counts as recent."""


@dataclass(frozen=True)
class Arranged:
    """One arrangement on the ledger.

    Attributes:
        arrangement: its number.
        block: where it was made.
        notes: the blob of its notes, which tells one draw from another.
        cut_short: the block of the one before, if that was still being attested, without a restore.
    """

    arrangement: ArrangementId
    block: int
    notes: Pointer
    cut_short: int | None


@dataclass(frozen=True)
class Races:
    """Recent arrangements that one ouroboros alone would not have made.

    Attributes:
        foreign: not as its journal has drawn them.
        hasty: made while the one before was being attested, before a hop's time had passed.
    """

    foreign: tuple[ArrangementId, ...] = ()
    hasty: tuple[ArrangementId, ...] = ()


def find_races(
    history: Sequence[Arranged],
    head: int,
    hop_seconds: int,
    time_of: Callable[[int], int],
    draws: Mapping[ArrangementId, Digest] | None,
) -> Races:
    """The recent arrangements that speak of a second ouroboros; the one in force is always looked at.

    Args:
        history: all arrangements in order.
        head: the newest block.
        hop_seconds: the ledger's: an ouroboros waits as long for attestations.
        time_of: Unix time of a block.
        draws: the notes of the draws in the ouroboros's journal; None if it is not here.
    """
    recent = [one for one in history if one.block > head - RACE_BLOCKS or one is history[-1]]

    def is_hasty(one: Arranged) -> bool:
        return one.cut_short is not None and time_of(one.block) - time_of(one.cut_short) < hop_seconds

    return Races(
        tuple(one.arrangement for one in recent if draws is not None and draws.get(one.arrangement) != one.notes),
        tuple(one.arrangement for one in recent if is_hasty(one)),
    )


def read_draws(journal: Path) -> dict[ArrangementId, Digest] | None:
    """The notes of each arrangement that a journal has drawn; None if it cannot be read. Nothing is written."""
    if not journal.is_file():
        return None
    try:
        # Without a log beside it nobody uses it; SQLite would make one for a reader too, and leave it.
        in_use = journal.with_name(journal.name + "-wal").exists()
        place = f"{journal.absolute().as_uri()}?{'mode=ro' if in_use else 'immutable=1'}"
        database = sqlite3.connect(place, uri=True)
        try:
            rows = database.execute(
                "SELECT key, payload FROM record WHERE key >= 'arrangement/' AND key < 'arrangement0'"
            ).fetchall()
        finally:
            database.close()
        return {
            ArrangementId(int(key.rpartition("/")[2])): ArrangementDraw.decode(payload).notes for key, payload in rows
        }
    except (sqlite3.Error, ProtocolError, ValueError, TypeError, AttributeError):
        return None
