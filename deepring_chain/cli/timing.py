"""`deepring trail QUERY --timing`: where a query's time went, hop by hop."""

from __future__ import annotations

from collections.abc import Sequence

from deepring_chain.cli.tables import Sheet, print_sheet
from deepring_chain.errors import ConfigError
from deepring_chain.health.timings import Timed, read_turns, time_query
from deepring_chain.ring.folder import RingFolder
from deepring_chain.telemetry.metrics import Phase
from deepring_chain.types import QueryId

TIMEOUT_SECONDS = 5.0
PHASES = tuple(phase.value for phase in Phase)
REMARKS = (
    "milliseconds, as the actors here measured them (not on the ledger)",
    "waited: since the turn before ended",
    "sealing and writing run beside computing, so that phases may add up to more than the turn",
)


def print_timing(folder: RingFolder, query: QueryId) -> None:
    """Prints the turns of a query.

    Raises:
        ConfigError: no running actor remembers the query.
    """
    timed = time_query(read_turns(folder.path, TIMEOUT_SECONDS), query)
    if not timed:
        raise ConfigError(
            f"query {query}: no actor that runs in {folder.path} remembers it; they forget their hops when they stop"
        )
    print_sheet(timing_sheet(query, timed))


def timing_sheet(query: QueryId, timed: Sequence[Timed]) -> Sheet:
    """One row for each turn, and the sums."""
    rows = []
    for each in timed:
        turn = each.turn
        phases = [turn.phases.get(name, 0.0) for name in PHASES]
        rows.append([str(turn.hop), turn.actor, *_cells(each.waited, *phases, _other(each), turn.seconds)])
    totals = [sum(each.turn.phases.get(name, 0.0) for each in timed) for name in PHASES]
    rest = sum(map(_other, timed)), sum(each.turn.seconds for each in timed)
    rows.append(["all", "", *_cells(sum(each.waited for each in timed), *totals, *rest)])
    columns = ("hop", "served by", "waited", *PHASES, "other", "turn")
    return Sheet(columns, rows, f"timing of query {query}", REMARKS, ("other", "waited", "open", "seal", "store"))


def _other(timed: Timed) -> float:
    """What no phase accounts for: signing, the journal, reading notes."""
    return max(0.0, timed.turn.seconds - sum(timed.turn.phases.values()))


def _cells(*seconds: float) -> list[str]:
    return [f"{1000 * value:,.1f}" for value in seconds]
