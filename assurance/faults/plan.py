"""What goes wrong in a run: drawn from its seed alone, so that the same seed gives the same faults."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Kinds of faults, in the words of the table."""

    KILL_ACTOR = "actor killed (-9)"
    STOP_ACTOR = "actor ended and started"
    PAUSE_ACTOR = "actor paused"
    KILL_HOST = "all actors killed (-9)"
    KILL_NODE = "node killed (-9), back as a moment before"
    RESTART_NODE = "node stopped and started"
    PAUSE_NODE = "node paused"
    CUT_RPC = "RPC cut"
    HANG_RPC = "RPC hangs"
    SLOW_RPC = "RPC slow"
    LOSE_ANSWERS = "RPC answers lost"
    FAIL_STORE = "store fails"
    SLOW_STORE = "store slow"
    HIDE_STORE = "store away"
    LOSE_BLOB = "blob lost"
    CORRUPT_BLOB = "blob corrupted"
    CUT_BLOB = "blob cut short"
    FILL_DISK = "disk full"
    FILL_QUOTA = "actor may write no more"
    DRAIN = "balance drained"
    REORG = "blocks reverted (reorg)"
    REORDER = "blocks reordered (reorg)"
    REVERT = "chain set back (revert)"
    SLOW_BLOCKS = "blocks by interval"


AT_ACTOR = frozenset(
    {Kind.KILL_ACTOR, Kind.STOP_ACTOR, Kind.PAUSE_ACTOR, Kind.FAIL_STORE, Kind.SLOW_STORE, Kind.FILL_QUOTA}
)
"""These hit one actor."""

AT_ACCOUNT = frozenset({Kind.CUT_RPC, Kind.HANG_RPC, Kind.SLOW_RPC, Kind.LOSE_ANSWERS, Kind.DRAIN})
"""These hit one actor or one querent."""

BLOBS = frozenset({Kind.LOSE_BLOB, Kind.CORRUPT_BLOB, Kind.CUT_BLOB})
SET_BACK = frozenset({Kind.KILL_NODE, Kind.REORG, Kind.REORDER, Kind.REVERT})
"""After these, a query may be gone from the ledger, and whoever asked asks again."""

ABRUPT = frozenset({Kind.KILL_ACTOR, Kind.STOP_ACTOR, Kind.KILL_HOST, Kind.REORG, Kind.REORDER, *BLOBS})
"""These are over as soon as they have begun."""

LASTS = (0.3, 3.0)
"""Seconds that a fault lasts, at least and at most."""

DENSE = (1, 12)
"""Events on the ledger between two faults; a query makes about nine."""

STEP = 5
"""Has no divisor in common with the number of kinds."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: what goes wrong.
        target: actor or querent; "" where it hits the node, the store or all.
        after: events on the ledger between the fault before and this one.
        seconds: how long it lasts.
        draw: a number from which the rest is drawn, such as the blob that is lost.
    """

    kind: Kind
    target: str
    after: int
    seconds: float
    draw: int

    def __str__(self) -> str:
        where = f" {self.target}" if self.target else ""
        lasts = "" if self.kind in ABRUPT else f", {self.seconds:.1f} s"
        return f"{self.after} events later: {self.kind.value}{where}{lasts}"


@dataclass(frozen=True)
class Plan:
    """A run's faults and questions.

    Attributes:
        seed: what it was drawn from.
        faults: in order.
        queries: images of each query.
    """

    seed: int
    faults: tuple[Fault, ...]
    queries: tuple[int, ...]

    def kinds(self) -> set[Kind]:
        """What goes wrong at all."""
        return {fault.kind for fault in self.faults}


def draw_fault(
    rng: random.Random, kind: Kind, actors: Sequence[str], querents: Sequence[str], spread: tuple[int, int]
) -> Fault:
    """A fault of a kind."""
    target = ""
    if kind in AT_ACTOR:
        target = rng.choice(actors)
    elif kind in AT_ACCOUNT:
        target = rng.choice([*actors, *querents])
    seconds = round(rng.uniform(*LASTS), 1)
    return Fault(kind, target, rng.randint(*spread), seconds, rng.randrange(1000))


def draw_plan(
    seed: int,
    actors: Sequence[str],
    querents: Sequence[str],
    queries: int,
    faults: int,
    spread: tuple[int, int] = DENSE,
) -> Plan:
    """A run's plan. Neighboring seeds begin with kinds next to each other, so that a few runs see all of them."""
    rng = random.Random(seed)  # noqa: S311 - it must be repeatable, not secret
    kinds = list(Kind)
    chosen = [kinds[(seed * STEP) % len(kinds)], *(rng.choice(kinds) for _ in range(faults - 1))]
    drawn = tuple(draw_fault(rng, kind, actors, querents, spread) for kind in chosen)
    return Plan(seed, drawn, tuple(rng.randint(1, 3) for _ in range(queries)))
