"""Table 1's simulation."""

from __future__ import annotations

import math
import random
from collections import Counter

from deepring_chain.actors.ouroboros.arranger import draw_seats
from deepring_chain.experiments.guessing import LAYERS, count_guesses
from deepring_chain.types import Address


def test_one_layer_is_always_guessed_right() -> None:
    found = count_guesses(1, 50, 1, lambda _: None)
    assert (found.hits, found.expected) == (50, 1.0)


def test_interval_of_the_measured_chance_holds_one_over_n_factorial() -> None:
    for layers in (2, 3, 5):
        found = count_guesses(layers, 20_000, 4, lambda _: None)
        assert found.low < 1 / math.factorial(layers) < found.high
        assert found.high - found.low < 0.02


def test_whoever_saw_a_query_always_knows_the_next_order() -> None:
    found = count_guesses(7, 300, 1, lambda _: None)
    assert found.known_hits == found.trials == 300


def test_same_seed_gives_the_same_count_and_another_seed_another() -> None:
    counts = [count_guesses(3, 3000, seed, lambda _: None).hits for seed in (1, 1, 2)]
    assert counts[0] == counts[1] != counts[2]


def test_progress_adds_up_to_the_trials() -> None:
    told: list[int] = []
    count_guesses(2, 2500, 1, told.append)
    assert sum(told) == 2500


def test_seats_are_drawn_evenly_with_the_owner_first() -> None:
    owner, workers = Address("owner"), [Address(name) for name in "abc"]
    rng = random.Random(5)  # noqa: S311 - repeatable on purpose
    drawn = Counter(draw_seats(owner, workers, rng) for _ in range(6000))
    assert {seats[0] for seats in drawn} == {owner}
    assert len(drawn) == 6
    assert all(850 < count < 1150 for count in drawn.values())
    assert workers == [Address(name) for name in "abc"]


def test_layers_are_those_of_the_papers_table() -> None:
    assert LAYERS == (2, 3, 5, 7, 10)
