"""The specification's rules have numbers of their own, and the functions and tests that they name exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.specification import PAGE, Rule, named_files, read_rules

ROOT = Path(__file__).resolve().parents[2]
TEXT = PAGE.read_text(encoding="utf-8")
NUMBERS = re.findall(r"\*\*\[(DR-\d+)\]\*\*", TEXT)
RULES = read_rules(TEXT)
ELSEWHERE = frozenset({"ECDSA.recover", "multicall"})
"""Functions of OpenZeppelin."""


def test_each_rule_has_a_number_of_its_own() -> None:
    assert len(NUMBERS) > 50
    assert [rule for rule, count in Counter(NUMBERS).items() if count > 1] == []


def test_each_rule_is_read() -> None:
    assert [rule.number for rule in RULES] == NUMBERS


def test_rules_that_are_referred_to_exist() -> None:
    assert set(re.findall(r"\bDR-\d+", TEXT)) <= set(NUMBERS)


@pytest.mark.parametrize("name", named_files(TEXT))
def test_named_test_exists(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_what_a_rule_names_exists(rule: Rule) -> None:
    """A function by its last name, wherever it is; a test in its file."""
    names = {function.rpartition(".")[2] for function in rule.functions if function not in ELSEWHERE}
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", SOURCES)] == []
    for test in rule.tests:
        file, _, name = test.partition("::")
        assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test


SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder, kind in (("deepring_chain", "*.py"), ("contracts", "*.sol"))
    for path in (ROOT / folder).rglob(kind)
)


def test_rule_names_functions_files_and_single_tests() -> None:
    text = (
        "- **[DR-01]** It holds for `a b`. eq. 1. `openRoute`, `Worker._do` / `module.run`. unit/a/test_b,\n"
        "  e2e/test_c (`test_one`, `test_two`), chain/test_d (its sample); `make faults`. `Late`.\n"
        "- **[DR-02]** Next. `f`. unit/test_e.\n\n## Title\n"
    )
    tests = ("tests/unit/a/test_b.py", "tests/e2e/test_c.py::test_one", "tests/e2e/test_c.py::test_two")
    assert read_rules(text) == [
        Rule("DR-01", ("openRoute", "Worker._do", "module.run", "Late"), (*tests, "tests/chain/test_d.py")),
        Rule("DR-02", ("f",), ("tests/unit/test_e.py",)),
    ]
