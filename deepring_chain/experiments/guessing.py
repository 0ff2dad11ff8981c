"""Table 1: how often a blind guess names the order in which the seats of a ring act (eq. 14).

Seats and routes are drawn by the functions that the ouroboros draws them with.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from deepring_chain.actors.ouroboros.arranger import draw_seats
from deepring_chain.experiments.statistics import wilson_interval
from deepring_chain.protocol.decide.routing import route_signers
from deepring_chain.protocol.roster import Roster
from deepring_chain.types import Address

PAPER_PERCENT: Mapping[int, float] = MappingProxyType({2: 50.0, 3: 16.66, 5: 0.83, 7: 0.019, 10: 2.7e-5})
"""The paper's Table 1: number of layers, chance in percent."""

LAYERS = tuple(PAPER_PERCENT)

REPORT_EVERY = 1000


@dataclass(frozen=True)
class GuessCount:
    """One row of the table.

    Attributes:
        layers: n.
        trials: fresh rings, each guessed once.
        hits: guesses that were right.
        low: lower end of the 95 % interval of the chance (Wilson).
        high: its upper end.
        expected: 1 / n!.
        known_hits: right guesses of somebody who saw one query before, in the same trials.
    """

    layers: int
    trials: int
    hits: int
    low: float
    high: float
    expected: float
    known_hits: int

    def as_json(self) -> dict[str, float | int]:
        """For the results' file."""
        return asdict(self)


def count_guesses(layers: int, trials: int, seed: int, on_trials: Callable[[int], None]) -> GuessCount:
    """Draws fresh rings and guesses their routes.

    The guesser knows the seats and who sits there, as the ledger shows it, and names the order in which they will act.
    Blind, it shuffles. Once it has seen a query it knows which layer each account serves, and need not guess.

    Args:
        layers: n, at least 1.
        trials: how many rings.
        seed: of rings and guesses.
        on_trials: told how many trials were done since it was last called.
    """
    rng = random.Random(f"{seed}/{layers}")  # noqa: S311 - repeatable on purpose
    owner, workers = Address("owner"), [Address(f"worker-{number}") for number in range(layers)]
    hits = known_hits = 0
    for trial in range(1, trials + 1):
        rng.shuffle(workers)
        roster = Roster(owner, {layer: (worker,) for layer, worker in enumerate(workers, start=1)})
        seats = draw_seats(owner, workers, rng)
        route = _route(seats, roster)
        hits += _guess_blind(seats, rng) == route
        known_hits += route == _route(draw_seats(owner, workers, rng), roster)
        if trial % REPORT_EVERY == 0 or trial == trials:
            on_trials((trial - 1) % REPORT_EVERY + 1)
    low, high = wilson_interval(hits, trials)
    return GuessCount(layers, trials, hits, low, high, 1 / math.factorial(layers), known_hits)


def _route(seats: tuple[Address, ...], roster: Roster) -> tuple[Address, ...]:
    """Who signs each hop, as the ouroboros finds it."""
    return route_signers({seat: roster.layer_of(seat) for seat in seats})


def _guess_blind(seats: tuple[Address, ...], rng: random.Random) -> tuple[Address, ...]:
    """Hop 0 is the ouroboros, as everyone knows; the others in any order."""
    others = list(seats[1:])
    rng.shuffle(others)
    return (seats[0], *others)
