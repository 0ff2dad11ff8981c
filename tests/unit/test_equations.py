"""Each equation of the paper has one named place in the contract, one for actors and one in the verifier."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.equations import FORM, PAGE, Implementation, comparisons, implementations, read_sources, read_table

SOURCES = read_sources()
FOUND = [place for path, text in SOURCES.items() for place in implementations(path, text)]
EQUATIONS = [f"eq. ({number})" for number in range(1, 14)]
"""All but eq. 14, a chance, which nothing computes with."""
RULES = ["3.3", "3.4.4"]
"""The paper's rules without a number: the authenticity flag, and which block is restored."""
LEDGER_HOLDS = ["eq. (1)", "eq. (2)", "eq. (3)", "eq. (9)", "eq. (12)", "eq. (13)", "3.3", "3.4.4"]
"""What is computed or compared in the open; the rest needs a key, or a layer's parameters."""


def test_each_equation_has_a_place() -> None:
    assert {place.equation for place in FOUND} == {*EQUATIONS, *RULES}


@pytest.mark.parametrize("side", ["contract", "verifier"])
def test_what_anyone_can_check_has_a_place_on_the_ledger_and_in_the_verifier(side: str) -> None:
    assert sorted(place.equation for place in FOUND if place.side == side) == sorted(LEDGER_HOLDS)


def test_actors_have_a_place_for_each_equation() -> None:
    """The flag alone they read from the ledger."""
    assert sorted(place.equation for place in FOUND if place.side == "actors") == sorted([*EQUATIONS, "3.4.4"])


def test_no_equation_has_two_places_on_one_side() -> None:
    counted = Counter((place.equation, place.side) for place in FOUND)
    assert [place for place, count in counted.items() if count > 1] == []


def test_specification_names_exactly_these_places() -> None:
    def key(place: Implementation) -> tuple[str, str]:
        return place.equation, place.side

    assert sorted(read_table(PAGE.read_text(encoding="utf-8")), key=key) == sorted(FOUND, key=key)


def test_search_for_an_equation_finds_its_places_and_nothing_else() -> None:
    """`eq. (13)` and "Implements" stand nowhere but in the documentation of a function that the table names."""
    lines = {path: [line for line in text.splitlines() if FORM.search(line)] for path, text in SOURCES.items()}
    tagged = {path: implementations(path, text) for path, text in SOURCES.items()}
    assert {path for path, found in lines.items() if found} == {path for path, found in tagged.items() if found}
    for path, found in lines.items():
        assert sum(line.count("Implements") for line in found) == len({place.name for place in tagged[path]}), path
        assert sum(line.count("eq. (") for line in found) == sum("eq" in place.equation for place in tagged[path]), path


def test_only_the_verifier_compares_with_the_expected_output_by_itself() -> None:
    """Everyone else asks `validation.agrees`, which is told both commitments."""
    found = {path for path, text in SOURCES.items() if path.endswith(".py") and comparisons(text, "expected_output")}
    assert found == {"deepring_chain/protocol/verifier_query.py"}


# ---------------------------------------------------------------- how it is read

PYTHON = '''"""Implements eq. (3): no function."""
class A:
    def f(self):
        """Do it. Implements eq. (1), eq. (2).

        See eq. 5, which this does not implement.
        """
        return self.expected_output != 1 or self.a.expected_output is None
'''
SOLIDITY = """
    /// @notice A sum.
    /// @dev Implements eq. (13): it holds.
    /// @param x one
    function g(uint256 x) internal;

    // Implements eq. (4).
    function h() internal;
"""


def test_places_are_read_from_docstrings_and_natspec_of_functions() -> None:
    assert implementations("deepring_chain/actors/a.py", PYTHON) == [
        Implementation("eq. (1)", "actors", "a.A.f"),
        Implementation("eq. (2)", "actors", "a.A.f"),
    ]
    assert implementations("contracts/B.sol", SOLIDITY) == [Implementation("eq. (13)", "contract", "B.g")]
    assert {place.side for place in implementations("deepring_chain/audit/a.py", PYTHON)} == {"verifier"}
    assert {place.side for place in implementations("deepring_chain/protocol/verifier_a.py", PYTHON)} == {"verifier"}


def test_comparison_by_value_is_found_and_one_by_identity_is_not() -> None:
    assert comparisons(PYTHON, "expected_output") == [8]
    assert comparisons("a.expected_output is None", "expected_output") == []
    assert comparisons("(1, a.expected_output) == b", "expected_output") == [1]


def test_table_is_read_by_row_and_side() -> None:
    rows = "| (1), a hash | `A.f` | `b.g` | |\n| 3.3, a flag | | `c.h` |  |\n"
    assert read_table(rows) == [
        Implementation("eq. (1)", "contract", "A.f"),
        Implementation("eq. (1)", "actors", "b.g"),
        Implementation("3.3", "actors", "c.h"),
    ]
