"""Where a hop's time went: measured by the actor, served on its endpoint, shown by `deepring trail --timing`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.cli.timing import print_timing, timing_sheet
from deepring_chain.errors import ConfigError
from deepring_chain.health.timings import Turn, read_turns, time_query
from deepring_chain.ring.folder import RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.telemetry.metrics import ActorMetrics, Identity, Phase
from deepring_chain.telemetry.metrics_endpoint import published
from deepring_chain.types import Address, Attempt, Domain, Hop, QueryId

LEDGER = Address("0x" + "11" * 20)
QUERY, ATTEMPT = QueryId(3), Attempt(1)


@pytest.fixture
def metrics() -> ActorMetrics:
    """Each look at the clock is a second after the one before."""
    seconds: Iterator[int] = count()
    return ActorMetrics(clock=lambda: float(next(seconds)), now=lambda: float(next(seconds)))


def test_phases_count_to_the_turn_that_runs_also_from_another_thread(metrics: ActorMetrics) -> None:
    def seal() -> None:
        with metrics.phase(Phase.SEAL):
            pass

    with metrics.phase(Phase.STORE):
        pass
    with metrics.timings.turn(QUERY, ATTEMPT, Hop(2)):
        for _ in range(2):
            with metrics.phase(Phase.COMPUTE):
                pass
        ThreadPool(1, "test").submit(seal).result()
    (turn,) = metrics.timings.plain()
    assert (turn["query"], turn["attempt"], turn["hop"]) == (3, 1, 2)
    assert turn["phases"] == {"compute": 2.0, "seal": 1.0}
    assert turn["ended"] - turn["began"] == 7.0
    assert metrics.doing is None


def test_turn_that_fails_is_told_too(metrics: ActorMetrics) -> None:
    with pytest.raises(ConfigError), metrics.timings.turn(QUERY, ATTEMPT, Hop(2)):
        raise ConfigError("no")
    assert [turn["hop"] for turn in metrics.timings.plain()] == [2]


def test_turns_of_a_running_actor_are_read_from_its_endpoint(metrics: ActorMetrics, tmp_path: Path) -> None:
    for hop in (4, 1):
        with metrics.timings.turn(QUERY, ATTEMPT, Hop(hop)), metrics.phase(Phase.POST):
            pass
    identity = Identity("worker-1", "worker", LEDGER, Domain(31337, LEDGER))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "worker-2.json").write_text("damaged")
    with published(metrics, identity, tmp_path, ActorOptions()):
        turns = read_turns(tmp_path, 5)
    assert [(turn.actor, turn.hop, turn.phases) for turn in turns] == [
        ("worker-1", 4, {"post": 1.0}),
        ("worker-1", 1, {"post": 1.0}),
    ]
    with pytest.raises(ConfigError, match=r"no actor that runs in .* remembers it"):
        print_timing(RingFolder(tmp_path), QUERY)


def turn(hop: int, began: float, ended: float, query: int = 3, **phases: float) -> Turn:
    return Turn(f"worker-{hop}", QueryId(query), ATTEMPT, Hop(hop), began, ended, phases)


def test_waiting_is_the_pause_between_turns_of_one_query() -> None:
    turns = [turn(0, 1, 2), turn(1, 1.5, 9, query=4), turn(1, 2.5, 4), turn(2, 3.5, 5), turn(3, 7, 8)]
    assert [timed.waited for timed in time_query(turns, QUERY)] == [0, 0.5, 0, 2]


def test_table_has_each_hop_the_sums_and_what_no_phase_accounts_for() -> None:
    timed = time_query([turn(0, 1, 2, post=0.25), turn(1, 2.5, 4, compute=1.0, seal=1.0)], QUERY)
    rows = [[cell for cell in row if cell] for row in timing_sheet(QUERY, timed).rows]
    assert ["0", "worker-0", "0.0", "0.0", "0.0", "0.0", "0.0", "250.0", "750.0", "1,000.0"] in rows
    assert ["1", "worker-1", "500.0", "0.0", "1,000.0", "1,000.0", "0.0", "0.0", "0.0", "1,500.0"] in rows
    assert ["all", "500.0", "0.0", "1,000.0", "1,000.0", "0.0", "250.0", "750.0", "2,500.0"] in rows
